// One connection's plaintext, in both directions, whatever it speaks: HTTP/1.1, HTTP/2 (RFC 9113),
// or, behind an upgrade, WebSocket (RFC 6455). Which one is found from the client's first bytes.
//
//     plaintext at an offset ─▶ http1 or http2 ─▶ request_builder, response_builder ─▶ events
//
// Each request has a stream number of its own: 1, 2, 3 … in the order of requests in HTTP/1.1, the
// protocol's own in HTTP/2. Offsets are of the client's plaintext and count from its first byte.
//
// Memory is bounded whatever the bytes say, for all connections together by wire/memory.h. What
// does not fit, and what cannot be understood, makes a direction unknown for good; nothing is ever
// guessed. As measured by the unit tests, in KB, without decoders of Content-Encoding and 0.3 for
// each header that is kept of a request:
//
//              idle   each request read   each that waits   each response read   at most
//     HTTP/1.1  1.2                 6.1               none                  1.2         9
//     HTTP/2    3.4                 6.2                0.1                  1.4      2700
//
// (At most: 256 requests at once, and header tables of 64 KB full of the smallest entries.)
#ifndef SLUICE_WIRE_CONVERSATION_H
#define SLUICE_WIRE_CONVERSATION_H

#include <stddef.h>
#include <stdint.h>
#include "wire/request.h"
#include "wire/request_labels.h"
#include "wire/response.h"

enum conversation_event {
	REQUEST_STARTED,   // its first byte was seen: request->begin is set
	REQUEST_HEAD,      // headers complete
	REQUEST_COMPLETE,  // to its last byte; over HTTP/1.1 request->end is known
	RESPONSE_HEAD,     // a final (not 1xx) status and all headers
	RESPONSE_COMPLETE, // to its last byte
	// The stream ends before its request and its response are whole: RST_STREAM of either side,
	// or the server's GOAWAY. Nothing more is told of it. `response` is what was read of one
	// that had begun; NULL if it had not, or was told to be complete (a server may answer
	// before it has all of a request, and then reset the stream: RFC 9113 section 8.1).
	STREAM_LOST,
	// The response of an upgrade to WebSocket (status 101) was read. The stream is complete
	// from now on, and so is the request.
	UPGRADED_WEBSOCKET,
	// The provider has told what one turn on a WebSocket took (`response.done`): `response` has
	// the usage, the stream is the upgrade's.
	WEBSOCKET_TURN,
	// Responses cannot be told apart any more (or HPACK state is lost); requests still can.
	RESPONSES_UNKNOWN,
	// Nothing more is read in either direction; conversation_why() says why.
	CONVERSATION_OPAQUE,
};

// stream is 0 for RESPONSES_UNKNOWN and CONVERSATION_OPAQUE, which are told once.
// request is NULL for events of responses, response for those of requests. Both are valid during
// the call only. The conversation must not be fed or freed from within it.
typedef void (*conversation_event_fn)(void *owner, enum conversation_event event, uint64_t stream,
				      const struct request *request,
				      const struct response *response);

enum conversation_protocol { PROTOCOL_UNKNOWN, PROTOCOL_HTTP1, PROTOCOL_HTTP2, PROTOCOL_WEBSOCKET };

struct conversation;
struct conversation *conversation_new(conversation_event_fn fn, void *owner); // NULL: no memory
void conversation_free(struct conversation *c);
// From now on keeps these headers' values; see request_labels_keep(). 0 or -ENOMEM.
int conversation_keep_headers(struct conversation *c, const char *const *names);

// What the client wrote: `len` bytes at plaintext offset `at`. Bytes before the offset already
// reached are skipped (a TLS write that is retried is reported twice). A gap makes the conversation
// opaque, unless it lies within a body (http1: see framing.h; http2: within one DATA frame, or
// one of those that are not read). What is sent on a WebSocket is not read.
void conversation_sent(struct conversation *c, uint64_t at, const void *data, size_t len);
// Bytes that were written but not captured. Same rule.
void conversation_sent_unseen(struct conversation *c, uint64_t at, uint64_t len);
// What the client was answered; a gap elsewhere than in a body makes the responses unknown.
void conversation_received(struct conversation *c, uint64_t at, const void *data, size_t len);
void conversation_received_unseen(struct conversation *c, uint64_t at, uint64_t len);
// The connection has ended: completes a response whose body runs to the end of the connection.
void conversation_end(struct conversation *c);

enum conversation_protocol conversation_protocol(const struct conversation *c);
// Why it became opaque: a static text; NULL if it did not.
const char *conversation_why(const struct conversation *c);
// The offset up to which the client's plaintext was read and understood: in HTTP/2, the end of the
// last frame that was read whole, or the place in a frame that was begun. 0 while its first bytes
// may be those of either protocol; of a WebSocket, the end of what was sent.
uint64_t conversation_reached(const struct conversation *c);

// What is known of a request (until REQUEST_COMPLETE) or of a response (from RESPONSE_HEAD until
// RESPONSE_COMPLETE) that is being read now; else NULL.
const struct request *conversation_request(const struct conversation *c, uint64_t stream);
const struct response *conversation_response(const struct conversation *c, uint64_t stream);
// What the request that is being read says of itself; in the call for REQUEST_COMPLETE, all of it.
// NULL: no such request.
const struct request_labels *conversation_labels(const struct conversation *c, uint64_t stream);

#endif
