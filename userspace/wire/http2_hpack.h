// HPACK (RFC 7541) of one direction of a connection, by libnghttp2's inflater. Header blocks are
// decoded as their pieces come, and never kept.
//
// The dynamic table is what the sender makes it, up to 64 KB (as section 4.1 counts it). The limit
// that the receiver sets (SETTINGS_HEADER_TABLE_SIZE) need not be known: the sender must say when
// the size changes (section 4.2), and the inflater is told to allow any size up to ours. Raising
// its limit does not touch the table in use (nghttp2_hd_inflate_change_table_size()). A sender
// that makes its table larger is not understood any more.
//
// What the sender puts into the table stays there, an API key, too, if it is sent so. Such memory
// is overwritten before it is freed, and all of it counts for wire/memory.h.
#ifndef SLUICE_WIRE_HTTP2_HPACK_H
#define SLUICE_WIRE_HTTP2_HPACK_H

#include <stdbool.h>
#include <stddef.h>

// A whole field; name and value are valid during the call only, and not ended by '\0'.
typedef void (*hpack_field_fn)(void *owner, const char *name, size_t name_bytes, const char *value,
			       size_t value_bytes);

struct hpack;
struct hpack *hpack_new(hpack_field_fn fn, void *owner); // NULL: no memory
void hpack_free(struct hpack *hpack);
// A piece of a header block; then, with is_last and no bytes, its end. 0, or -EBADMSG (malformed)
// or -ENOMEM: nothing can be decoded any more.
int hpack_feed(struct hpack *hpack, const void *data, size_t len, bool is_last);

#endif
