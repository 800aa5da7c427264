// HPACK, see http2_hpack.h.
#include "wire/http2_hpack.h"

#include <errno.h>
#include <stdint.h>
#include <nghttp2/nghttp2.h>
#include "wire/memory.h"

#define MAX_TABLE_BYTES 65536

struct hpack {
	hpack_field_fn fn;
	void *owner;
	nghttp2_hd_inflater *inflater;
};

static void *allocate(size_t bytes, void *context)
{
	(void)context;
	return wire_alloc(bytes);
}

static void release(void *memory, void *context)
{
	(void)context;
	wire_free_secret(memory);
}

static void *allocate_array(size_t n, size_t bytes, void *context)
{
	(void)context;
	return bytes && n > SIZE_MAX / bytes ? NULL : wire_alloc(n * bytes);
}

static void *reallocate(void *memory, size_t bytes, void *context)
{
	(void)context;
	return wire_realloc(memory, bytes);
}

static nghttp2_mem memory = {NULL, allocate, release, allocate_array, reallocate};

struct hpack *hpack_new(hpack_field_fn fn, void *owner)
{
	struct hpack *hpack = wire_alloc(sizeof(*hpack));

	if (!hpack)
		return NULL;
	hpack->fn = fn;
	hpack->owner = owner;
	if (nghttp2_hd_inflate_new2(&hpack->inflater, &memory)) {
		wire_free(hpack);
		return NULL;
	}
	nghttp2_hd_inflate_change_table_size(hpack->inflater, MAX_TABLE_BYTES);
	return hpack;
}

void hpack_free(struct hpack *hpack)
{
	if (!hpack)
		return;
	nghttp2_hd_inflate_del(hpack->inflater);
	wire_free(hpack);
}

int hpack_feed(struct hpack *hpack, const void *data, size_t len, bool is_last)
{
	const uint8_t *p = len ? data : (const uint8_t *)"";
	nghttp2_nv field;
	int flags;

	do {
		ssize_t n;

		flags = 0;
		n = nghttp2_hd_inflate_hd2(hpack->inflater, &field, &flags, p, len, is_last);
		if (n < 0)
			return n == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EBADMSG;
		p += n;
		len -= (size_t)n;
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			hpack->fn(hpack->owner, (const char *)field.name, field.namelen,
				  (const char *)field.value, field.valuelen);
	} while (!(flags & NGHTTP2_HD_INFLATE_FINAL) && (len || flags & NGHTTP2_HD_INFLATE_EMIT));
	if (!is_last)
		return 0;
	if (!(flags & NGHTTP2_HD_INFLATE_FINAL))
		return -EBADMSG;
	nghttp2_hd_inflate_end_headers(hpack->inflater);
	return 0;
}
