// Undoes a Content-Encoding (RFC 9110 section 8.4.1): gzip, deflate, br, zstd.
//
//     encoded bytes ─▶ zlib, libbrotlidec or libzstd ─▶ pieces of 16 KB at most ─▶ fn
//
// Nothing is kept but the library's own state, which is taken from wire/memory.h's bound: 40 KB
// for gzip; what the window asks for with the others, and zstd's window is held to 8 MB. A body
// that decodes to more than DECODED_MOST_BYTES is given up: answers that say what they used are
// shorter, and a bomb is not worth the time.
#ifndef SLUICE_WIRE_DECODE_H
#define SLUICE_WIRE_DECODE_H

#include <stddef.h>

#define DECODED_MOST_BYTES (64u << 20)

struct decoder;
typedef void (*decoded_fn)(void *owner, const void *data, size_t len);

// content_encoding: the header's value, one coding. NULL: it is unknown, or there is no memory.
struct decoder *decoder_new(const char *content_encoding, decoded_fn fn, void *owner);
// 0. -EBADMSG: malformed; -E2BIG: too large; -ENOMEM. After an error nothing more is decoded.
int decoder_feed(struct decoder *decoder, const void *data, size_t len);
void decoder_free(struct decoder *decoder); // NULL: nothing to do

#endif
