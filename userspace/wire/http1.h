// HTTP/1.1 (RFC 9112) on one connection: both directions, and which response is whose.
//
// Responses come in the order of requests (section 9.3.2), so request and response number n share
// stream n. Behind a request that asks for another protocol nothing of the client is read until
// its answer says which protocol goes on.
//
// Memory: see conversation.h. A request that is being read takes a request_builder, a response
// a response_builder, each freed at the message's end.
#ifndef SLUICE_WIRE_HTTP1_H
#define SLUICE_WIRE_HTTP1_H

#include "wire/conversation.h"

struct http1;
// The events are told as conversation.h says. NULL: no memory.
struct http1 *http1_new(conversation_event_fn fn, void *owner);
void http1_free(struct http1 *h);
// `names` is borrowed. Else as conversation_keep_headers().
int http1_keep_headers(struct http1 *h, const char *const *names);

void http1_sent(struct http1 *h, uint64_t at, const void *data, size_t len);
void http1_sent_unseen(struct http1 *h, uint64_t at, uint64_t len);
void http1_received(struct http1 *h, uint64_t at, const void *data, size_t len);
void http1_received_unseen(struct http1 *h, uint64_t at, uint64_t len);
void http1_end(struct http1 *h);

const char *http1_why(const struct http1 *h); // it is opaque; NULL: it is not
uint64_t http1_reached(const struct http1 *h);
// Where the server's plaintext goes on, and Sec-WebSocket-Extensions: in the call for
// UPGRADED_WEBSOCKET.
uint64_t http1_received_reached(const struct http1 *h);
const char *http1_extensions(const struct http1 *h);
const struct request *http1_request(const struct http1 *h, uint64_t stream);
const struct response *http1_response(const struct http1 *h, uint64_t stream);
const struct request_labels *http1_labels(const struct http1 *h, uint64_t stream);

#endif
