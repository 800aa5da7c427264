// The open streams of an HTTP/2 connection: what is being read of each.
//
// A stream is kept from its first HEADERS until both its request and its response are whole, or it
// is reset. It takes 80 bytes while it waits; its builders are kept only while a message is read.
#ifndef SLUICE_WIRE_HTTP2_STREAMS_H
#define SLUICE_WIRE_HTTP2_STREAMS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include "wire/request_builder.h"
#include "wire/response_builder.h"

#define HTTP2_MAX_STREAMS 256
#define HTTP2_BUCKETS 32

struct http2_stream {
	LIST_ENTRY(http2_stream) in_bucket;
	uint32_t id;
	bool request_head_told;
	bool request_over;
	bool response_head_told;
	bool response_over;
	bool is_connect;
	uint64_t content_length;           // REQUEST_ABSENT: it has none
	int status;                        // of the header block that is being read
	struct request_builder *request;   // until it is over
	struct response_builder *response; // from its first header block until it is over
};

struct http2_streams {
	LIST_HEAD(, http2_stream) buckets[HTTP2_BUCKETS];
	unsigned int n;
};

struct http2_stream *http2_streams_find(const struct http2_streams *streams, uint64_t id);
// NULL: no memory.
struct http2_stream *http2_streams_add(struct http2_streams *streams, uint32_t id);
void http2_streams_remove(struct http2_streams *streams, struct http2_stream *stream);
void http2_streams_clear(struct http2_streams *streams);
void http2_stream_drop_request(struct http2_stream *stream);
void http2_stream_drop_response(struct http2_stream *stream);

#endif
