// See decode.h. Each library is fed what has come, and drained until it asks for more.
#include "wire/decode.h"

#include <brotli/decode.h>
#include <errno.h>
#include <stdbool.h>
#include <strings.h>
#include <zlib.h>
#define ZSTD_STATIC_LINKING_ONLY // for ZSTD_createDCtx_advanced(), which Debian's library exports
#include <zstd.h>
#include "wire/memory.h"

#define PIECE_BYTES 16384
#define ZSTD_WINDOW_LOG_MOST 23 // 8 MB, which decoders must bear (RFC 8878 section 3.1.1.1.2)
#define WINDOW_BITS_GZIP_OR_ZLIB (15 + 32)
#define WINDOW_BITS_RAW (-15)

struct codec {
	const char *name;
	int (*begin)(struct decoder *d);
	// Decodes from *data on, moving it. 0 or -errno.
	int (*feed)(struct decoder *d, const uint8_t *data, size_t len);
	void (*end)(struct decoder *d);
};

struct decoder {
	const struct codec *codec;
	decoded_fn fn;
	void *owner;
	size_t decoded_bytes;
	int error;
	union {
		struct {
			z_stream stream;
			bool is_deflate, has_begun, is_over;
		} zlib;
		BrotliDecoderState *brotli;
		ZSTD_DCtx *zstd;
	};
	uint8_t piece[PIECE_BYTES];
};

static void *allocate(void *nothing, size_t bytes)
{
	(void)nothing;
	return wire_alloc(bytes);
}

static void *allocate_items(void *nothing, unsigned items, unsigned bytes)
{
	return allocate(nothing, (size_t)items * bytes);
}

static void release(void *nothing, void *memory)
{
	(void)nothing;
	wire_free(memory);
}

static int hand_on(struct decoder *d, size_t len)
{
	d->decoded_bytes += len;
	if (d->decoded_bytes > DECODED_MOST_BYTES)
		return -E2BIG;
	if (len)
		d->fn(d->owner, d->piece, len);
	return 0;
}

static int begin_zlib(struct decoder *d)
{
	d->zlib.stream.zalloc = allocate_items;
	d->zlib.stream.zfree = release;
	return inflateInit2(&d->zlib.stream, WINDOW_BITS_GZIP_OR_ZLIB) == Z_OK ? 0 : -ENOMEM;
}

static int begin_deflate(struct decoder *d)
{
	d->zlib.is_deflate = true;
	return begin_zlib(d);
}

// HTTP's "deflate" is the zlib format, but some send the bare one (RFC 9110 section 8.4.1.2). The
// first byte of the former says method 8 and a window of at most 32 KB (RFC 1950 section 2.2).
static void choose_deflate(struct decoder *d, uint8_t first)
{
	if (!d->zlib.has_begun && d->zlib.is_deflate && (first & 0x8f) != 0x08)
		inflateReset2(&d->zlib.stream, WINDOW_BITS_RAW);
	d->zlib.has_begun = true;
}

static int feed_zlib(struct decoder *d, const uint8_t *data, size_t len)
{
	z_stream *z = &d->zlib.stream;
	int code = Z_OK, err = 0;

	choose_deflate(d, *data);
	z->next_in = (uint8_t *)data;
	z->avail_in = (unsigned)len;
	do {
		if (d->zlib.is_over) // another member may follow (RFC 1952 section 2.2)
			inflateReset(z);
		d->zlib.is_over = false;
		z->next_out = d->piece;
		z->avail_out = PIECE_BYTES;
		code = inflate(z, Z_NO_FLUSH);
		d->zlib.is_over = code == Z_STREAM_END;
		if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
			return code == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
		err = hand_on(d, PIECE_BYTES - z->avail_out);
	} while (!err && code != Z_BUF_ERROR && (z->avail_in || !z->avail_out));
	return err;
}

static void end_zlib(struct decoder *d)
{
	inflateEnd(&d->zlib.stream);
}

static int begin_brotli(struct decoder *d)
{
	d->brotli = BrotliDecoderCreateInstance(allocate, release, NULL);
	return d->brotli ? 0 : -ENOMEM;
}

static int feed_brotli(struct decoder *d, const uint8_t *data, size_t len)
{
	BrotliDecoderResult result;
	int err;

	do {
		uint8_t *out = d->piece;
		size_t room = PIECE_BYTES;

		result = BrotliDecoderDecompressStream(d->brotli, &len, &data, &room, &out, NULL);
		if (result == BROTLI_DECODER_RESULT_ERROR)
			return -EBADMSG;
		err = hand_on(d, PIECE_BYTES - room);
	} while (!err && result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT);
	return err;
}

static void end_brotli(struct decoder *d)
{
	BrotliDecoderDestroyInstance(d->brotli);
}

static int begin_zstd(struct decoder *d)
{
	d->zstd = ZSTD_createDCtx_advanced((ZSTD_customMem){allocate, release, NULL});
	if (!d->zstd)
		return -ENOMEM;
	ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MOST);
	return 0;
}

static int feed_zstd(struct decoder *d, const uint8_t *data, size_t len)
{
	ZSTD_inBuffer in = {data, len, 0};
	ZSTD_outBuffer out;
	int err;

	do {
		size_t code;

		out = (ZSTD_outBuffer){d->piece, PIECE_BYTES, 0};
		code = ZSTD_decompressStream(d->zstd, &out, &in);
		if (ZSTD_isError(code))
			return -EBADMSG;
		err = hand_on(d, out.pos);
	} while (!err && (in.pos < in.size || out.pos == PIECE_BYTES));
	return err;
}

static void end_zstd(struct decoder *d)
{
	ZSTD_freeDCtx(d->zstd);
}

static const struct codec codecs[] = {
	{"gzip", begin_zlib, feed_zlib, end_zlib},
	{"x-gzip", begin_zlib, feed_zlib, end_zlib},
	{"deflate", begin_deflate, feed_zlib, end_zlib},
	{"br", begin_brotli, feed_brotli, end_brotli},
	{"zstd", begin_zstd, feed_zstd, end_zstd},
};

static const struct codec *find_codec(const char *name)
{
	for (size_t i = 0; i < sizeof(codecs) / sizeof(*codecs); i++)
		if (!strcasecmp(codecs[i].name, name))
			return &codecs[i];
	return NULL;
}

struct decoder *decoder_new(const char *content_encoding, decoded_fn fn, void *owner)
{
	const struct codec *codec = find_codec(content_encoding);
	struct decoder *d = codec ? wire_alloc(sizeof(*d)) : NULL;

	if (!d)
		return NULL;
	d->codec = codec;
	d->fn = fn;
	d->owner = owner;
	if (codec->begin(d)) {
		wire_free(d);
		return NULL;
	}
	return d;
}

int decoder_feed(struct decoder *d, const void *data, size_t len)
{
	if (!d->error && len)
		d->error = d->codec->feed(d, data, len);
	return d->error;
}

void decoder_free(struct decoder *d)
{
	if (!d)
		return;
	d->codec->end(d);
	wire_free(d);
}
