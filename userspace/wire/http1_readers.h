// The two directions of an HTTP/1.1 connection, each read by itself; http1.h pairs them.
//
// A reader is given plaintext bytes in pieces of any size. Heads and chunks are libhttp-parser's.
// Between messages a reader is 0.5 KB, whatever has passed.
#ifndef SLUICE_WIRE_HTTP1_READERS_H
#define SLUICE_WIRE_HTTP1_READERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "wire/conversation.h"

// REQUEST_STARTED, REQUEST_HEAD (r->body_begin is set, and r->end if it can be known),
// REQUEST_COMPLETE, or CONVERSATION_OPAQUE: nothing more is read, request_reader_why() tells.
//
// `r` is valid during the call only, and is filled as far as bytes have been seen; NULL for
// CONVERSATION_OPAQUE between requests. The reader must not be fed or freed from within the call.
typedef void (*request_event_fn)(void *owner, enum conversation_event event,
				 const struct request *r);

struct request_reader;
struct request_reader *request_reader_new(request_event_fn fn, void *owner); // NULL: no memory
void request_reader_free(struct request_reader *reader);
// From now on keeps these headers' values, see request_labels_keep(). `names` is borrowed. 0, or
// -ENOMEM: of the request that is being read, what was asked for before is kept.
int request_reader_keep_headers(struct request_reader *reader, const char *const *names);
// What the request that is being read says of itself; in the call for REQUEST_COMPLETE, all of it.
// NULL between requests.
const struct request_labels *request_reader_labels(const struct request_reader *reader);
// Feeds `len` bytes that stand at plaintext offset `at`; a connection begins at 0. Bytes before the
// offset already reached are skipped (a TLS write retried after WANT_WRITE is reported twice). A
// gap makes the reader opaque, unless it lies within a body of known length or within one chunk:
// then the gap is counted in body_bytes, and only the rest of the body is given up.
void request_reader_feed(struct request_reader *reader, uint64_t at, const void *data, size_t len);
// Tells of bytes that were written but not captured. Same rule for a gap as above.
void request_reader_skip(struct request_reader *reader, uint64_t at, uint64_t len);
// What is known of the request that is being read now; NULL between requests.
const struct request *request_reader_current(const struct request_reader *reader);
const char *request_reader_why(const struct request_reader *reader);
uint64_t request_reader_reached(const struct request_reader *reader);
// Whether it waits behind a request that asks for another protocol (Upgrade, or CONNECT): nothing
// is read until request_reader_go_on() says that HTTP/1.1 goes on.
bool request_reader_waits(const struct request_reader *reader);
void request_reader_go_on(struct request_reader *reader);

// RESPONSE_HEAD, RESPONSE_COMPLETE, UPGRADED_WEBSOCKET (any upgrade: 101, or 2xx to CONNECT; what
// follows is not HTTP), or RESPONSES_UNKNOWN: nothing more is read. `r`: as above.
typedef void (*response_event_fn)(void *owner, enum conversation_event event,
				  const struct response *r);

struct response_reader;
struct response_reader *response_reader_new(response_event_fn fn, void *owner);
void response_reader_free(struct response_reader *reader);
// Must be called once for each request sent, in order, before its response is fed: a response to
// HEAD has no body. More than 64 that wait for a response end the reading.
void response_reader_expect(struct response_reader *reader, const char *method);
// As for requests. A body that runs to the end of the connection bears gaps, too, and an event
// stream is read on behind one.
void response_reader_feed(struct response_reader *reader, uint64_t at, const void *data,
			  size_t len);
void response_reader_skip(struct response_reader *reader, uint64_t at, uint64_t len);
// What is known of the response that is being read now; NULL between responses.
const struct response *response_reader_current(const struct response_reader *reader);
// The connection has ended: completes a response whose body runs to the end of the connection.
void response_reader_end(struct response_reader *reader);
// Ends the reading, with RESPONSES_UNKNOWN.
void response_reader_give_up(struct response_reader *reader);
uint64_t response_reader_reached(const struct response_reader *reader);
// In the call for UPGRADED_WEBSOCKET: the value of Sec-WebSocket-Extensions, "" if none, if that is
// what it has been upgraded to; else NULL.
const char *response_reader_websocket(const struct response_reader *reader);

#endif
