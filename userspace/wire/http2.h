// HTTP/2 (RFC 9113) on one connection, both directions, behind the client's preface.
//
//     http2_frames ─▶ header blocks ─▶ http2_hpack ─▶ fields ─┐
//          └────────▶ data ───────────────────────────────────┴▶ builders, one pair a stream
//
// Only what requests and responses consist of is looked at. Flow control, priorities and settings
// are the peers' own affair; what is pushed by the server is decoded, since HPACK wants it, and
// ignored, as are trailers. What only the peers' honesty keeps true (that DATA fits content-length,
// say) is not checked: the receiver, whose affair it is, resets such a stream.
//
// Memory: see conversation.h; the larger part of an idle connection are HPACK's empty tables.
#ifndef SLUICE_WIRE_HTTP2_H
#define SLUICE_WIRE_HTTP2_H

#include "wire/conversation.h"

#define HTTP2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // section 3.4
#define HTTP2_PREFACE_BYTES 24

struct http2;
// The events are told as conversation.h says. NULL: no memory.
struct http2 *http2_new(conversation_event_fn fn, void *owner);
void http2_free(struct http2 *h);
// `names` is borrowed. Else as conversation_keep_headers().
int http2_keep_headers(struct http2 *h, const char *const *names);

void http2_sent(struct http2 *h, uint64_t at, const void *data, size_t len);
void http2_sent_unseen(struct http2 *h, uint64_t at, uint64_t len);
void http2_received(struct http2 *h, uint64_t at, const void *data, size_t len);
void http2_received_unseen(struct http2 *h, uint64_t at, uint64_t len);

const char *http2_why(const struct http2 *h); // it is opaque; NULL: it is not
uint64_t http2_reached(const struct http2 *h);
const struct request *http2_request(const struct http2 *h, uint64_t stream);
const struct response *http2_response(const struct http2 *h, uint64_t stream);
const struct request_labels *http2_labels(const struct http2 *h, uint64_t stream);

#endif
