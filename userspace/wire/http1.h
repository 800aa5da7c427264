// HTTP/1.1 in both directions of one connection, fed in pieces of any size.
//
// The readers are given the plaintext bytes in order, and call back at the moments the daemon acts
// on. Heads and chunks are libhttp-parser's; memory per reader is constant (requests: 5.5 KB, and
// up to 5 KB for headers that are kept; responses: 1.2 KB), whatever the size of a body or of a
// header.
#ifndef SLUICE_WIRE_HTTP1_H
#define SLUICE_WIRE_HTTP1_H

#include <stddef.h>
#include <stdint.h>
#include "wire/request.h"
#include "wire/request_labels.h"
#include "wire/response.h"

enum request_event {
	REQUEST_STARTED,  // its first byte was seen (r->begin is set)
	REQUEST_HEAD,     // headers complete: r->body_begin is set, and r->end if it can be known
	REQUEST_COMPLETE, // r->end is the offset behind its last byte
	// Nothing more is read: not HTTP/1.x (garbage; HTTP/2's preface, whose 'P' has already been
	// taken for the start of a request), a head that can be read in two ways, a gap, or the end
	// of a request that upgrades the connection.
	REQUEST_OPAQUE,
};

// `r` is valid during the call only, and is filled as far as bytes have been seen. The reader must
// not be fed or freed from within the call.
typedef void (*request_event_fn)(void *owner, enum request_event event, const struct request *r);

struct request_reader;
struct request_reader *request_reader_new(request_event_fn fn, void *owner); // NULL: out of memory
void request_reader_free(struct request_reader *reader);
// From now on keeps these headers' values, see request_labels_keep(). Of a request whose head was
// read before, those that were kept then are still known. 0 or -ENOMEM.
int request_reader_keep_headers(struct request_reader *reader, const char *const *names);
// What the request that is being read says of itself; in the call for REQUEST_COMPLETE, all of it.
const struct request_labels *request_reader_labels(const struct request_reader *reader);
// Feeds `len` bytes that stand at plaintext offset `at`; a connection begins at 0. Bytes before the
// offset already reached are skipped (a TLS write retried after WANT_WRITE is reported twice). A
// gap makes the reader opaque, unless it lies within a body of known length or within one chunk:
// then the gap is counted in body_bytes, and only the rest of the JSON is given up.
void request_reader_feed(struct request_reader *reader, uint64_t at, const void *data, size_t len);
// Tells of bytes that were written but not captured. Same rule for a gap as above.
void request_reader_skip(struct request_reader *reader, uint64_t at, uint64_t len);
// What is known of the request that is being read now; NULL between requests.
const struct request *request_reader_current(const struct request_reader *reader);

enum response_event {
	RESPONSE_HEAD,     // a final (not 1xx) status line and all headers were read
	RESPONSE_COMPLETE, // to its last byte
	RESPONSE_UPGRADED, // 101, or 2xx to CONNECT: what follows is not HTTP
	RESPONSE_OPAQUE,   // as REQUEST_OPAQUE
};

typedef void (*response_event_fn)(void *owner, enum response_event event, const struct response *r);

struct response_reader;
struct response_reader *response_reader_new(response_event_fn fn, void *owner);
void response_reader_free(struct response_reader *reader);
// Must be called once for each request sent, in order, before its response is fed: a response to
// HEAD has no body. More than 64 that wait for a response make the reader opaque.
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

#endif
