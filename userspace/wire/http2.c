// HTTP/2 on one connection, see http2.h: what is common to both directions.
#include "wire/http2.h"

#include <errno.h>
#include <string.h>
#include "wire/http2_private.h"
#include "wire/memory.h"

void http2_make_opaque(struct http2 *h, const char *why)
{
	if (h->why)
		return;
	h->why = why;
	http2_frames_close(&h->client.frames);
	http2_frames_close(&h->server.frames);
	key_digest_abandon(&h->key);
	http2_streams_clear(&h->streams);
	h->fn(h->owner, CONVERSATION_OPAQUE, 0, NULL, NULL);
}

void http2_tell_request(struct http2 *h, enum conversation_event event,
			const struct http2_stream *stream)
{
	h->fn(h->owner, event, stream->id, &stream->request->request, NULL);
}

void http2_tell_response(struct http2 *h, enum conversation_event event,
			 const struct http2_stream *stream)
{
	h->fn(h->owner, event, stream->id, NULL, &stream->response->response);
}

void http2_lose(struct http2 *h, struct http2_stream *stream)
{
	const struct response *r =
		stream->response_head_told && stream->response ? &stream->response->response : NULL;

	h->fn(h->owner, STREAM_LOST, stream->id, NULL, r);
	http2_streams_remove(&h->streams, stream);
}

void http2_drop_if_over(struct http2 *h, struct http2_stream *stream)
{
	if (stream->request_over && (stream->response_over || h->responses_unknown))
		http2_streams_remove(&h->streams, stream);
}

void http2_copy(char *dst, size_t size, const char *src, size_t len)
{
	if (len > size - 1)
		len = size - 1;
	memcpy(dst, src, len);
	dst[len] = '\0';
}

bool http2_block_feed(struct http2_direction *direction, const void *data, size_t len, bool is_last)
{
	int error = hpack_feed(direction->hpack, data, len, is_last);

	if (error)
		http2_frames_fail(&direction->frames, error == -ENOMEM
							      ? HTTP2_NO_MEMORY
							      : "its HPACK state is unknown");
	return !error;
}

struct http2 *http2_new(conversation_event_fn fn, void *owner)
{
	struct http2 *h = wire_alloc(sizeof(*h));

	if (!h)
		return NULL;
	if (key_digest_init(&h->key) < 0) {
		wire_free(h);
		return NULL;
	}
	h->fn = fn;
	h->owner = owner;
	h->last_served = UINT32_MAX;
	http2_frames_init(&h->client.frames, &http2_client_callbacks, h, true, HTTP2_PREFACE_BYTES);
	http2_frames_init(&h->server.frames, &http2_server_callbacks, h, false, 0);
	h->client.hpack = hpack_new(http2_client_field, h);
	h->server.hpack = hpack_new(http2_server_field, h);
	if (h->client.hpack && h->server.hpack)
		return h;
	http2_free(h);
	return NULL;
}

void http2_free(struct http2 *h)
{
	if (!h)
		return;
	http2_streams_clear(&h->streams);
	hpack_free(h->client.hpack);
	hpack_free(h->server.hpack);
	key_digest_release(&h->key);
	wire_free(h);
}

int http2_keep_headers(struct http2 *h, const char *const *names)
{
	struct http2_stream *stream;
	int error = 0;

	h->asked = names;
	for (unsigned int i = 0; i < HTTP2_BUCKETS; i++)
		LIST_FOREACH (stream, &h->streams.buckets[i], in_bucket)
			if (stream->request && request_labels_keep(&stream->request->labels, names))
				error = -ENOMEM;
	return error;
}

void http2_sent(struct http2 *h, uint64_t at, const void *data, size_t len)
{
	http2_frames_feed(&h->client.frames, at, data, len);
}

void http2_sent_unseen(struct http2 *h, uint64_t at, uint64_t len)
{
	http2_frames_skip(&h->client.frames, at, len);
}

void http2_received(struct http2 *h, uint64_t at, const void *data, size_t len)
{
	http2_frames_feed(&h->server.frames, at, data, len);
}

void http2_received_unseen(struct http2 *h, uint64_t at, uint64_t len)
{
	http2_frames_skip(&h->server.frames, at, len);
}

const char *http2_why(const struct http2 *h)
{
	return h->why;
}

uint64_t http2_reached(const struct http2 *h)
{
	const struct http2_frames *f = &h->client.frames;

	// A header that is cut in two may be that of HEADERS.
	return f->state == FRAME_HEADER ? f->reached - (sizeof(f->header) - f->left) : f->reached;
}

const struct request *http2_request(const struct http2 *h, uint64_t stream)
{
	const struct http2_stream *found = http2_streams_find(&h->streams, stream);

	return found && found->request ? &found->request->request : NULL;
}

const struct response *http2_response(const struct http2 *h, uint64_t stream)
{
	const struct http2_stream *found = http2_streams_find(&h->streams, stream);

	return found && found->response && found->response_head_told ? &found->response->response
								     : NULL;
}

const struct request_labels *http2_labels(const struct http2 *h, uint64_t stream)
{
	const struct http2_stream *found = http2_streams_find(&h->streams, stream);

	return found && found->request ? &found->request->labels : NULL;
}
