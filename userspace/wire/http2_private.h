// What the two directions of an HTTP/2 connection share: http2_client.c, http2_server.c, http2.c.
#ifndef SLUICE_WIRE_HTTP2_PRIVATE_H
#define SLUICE_WIRE_HTTP2_PRIVATE_H

#include "wire/http2.h"
#include "wire/http2_frames.h"
#include "wire/http2_hpack.h"
#include "wire/http2_streams.h"
#include "wire/key_digest.h"

#define HTTP2_NO_MEMORY "no memory for it is left"

// A header block that is being read. Its stream is looked up each time: it may be gone before the
// block ends.
struct http2_block {
	enum { BLOCK_IGNORED, BLOCK_HEAD, BLOCK_TRAILERS } kind;
	uint32_t stream;
	bool ends_stream;
};

struct http2_direction {
	struct http2_frames frames;
	struct hpack *hpack;
	struct http2_block block;
};

struct http2 {
	conversation_event_fn fn;
	void *owner;
	const char *why; // it is opaque; nothing is told any more
	const char *const *asked;
	struct key_digest key;
	struct http2_direction client, server;
	struct http2_streams streams;
	uint32_t last_stream; // the highest that the client has opened
	uint32_t last_served; // by the server's GOAWAY: streams above are lost
	bool responses_unknown;
};

extern const struct http2_frame_callbacks http2_client_callbacks, http2_server_callbacks;
void http2_client_field(void *owner, const char *name, size_t name_bytes, const char *value,
			size_t value_bytes);
void http2_server_field(void *owner, const char *name, size_t name_bytes, const char *value,
			size_t value_bytes);

// Feeds a direction's header block; false: it cannot be decoded, and the direction has failed.
bool http2_block_feed(struct http2_direction *direction, const void *data, size_t len,
		      bool is_last);
void http2_make_opaque(struct http2 *h, const char *why);
void http2_tell_request(struct http2 *h, enum conversation_event event,
			const struct http2_stream *stream);
void http2_tell_response(struct http2 *h, enum conversation_event event,
			 const struct http2_stream *stream);
// Tells STREAM_LOST and forgets it.
void http2_lose(struct http2 *h, struct http2_stream *stream);
// Forgets a stream of which nothing more is awaited.
void http2_drop_if_over(struct http2 *h, struct http2_stream *stream);
// Copies a field's name or value, cut if it does not fit.
void http2_copy(char *dst, size_t size, const char *src, size_t len);

#endif
