// Streams of HTTP/2, see http2_streams.h.
#include "wire/http2_streams.h"

#include "wire/memory.h"

// Clients use odd numbers only (RFC 9113 section 5.1.1).
static unsigned int bucket_of(uint64_t id)
{
	return id / 2 % HTTP2_BUCKETS;
}

struct http2_stream *http2_streams_find(const struct http2_streams *streams, uint64_t id)
{
	struct http2_stream *stream;

	LIST_FOREACH (stream, &streams->buckets[bucket_of(id)], in_bucket)
		if (stream->id == id)
			return stream;
	return NULL;
}

struct http2_stream *http2_streams_add(struct http2_streams *streams, uint32_t id)
{
	struct http2_stream *stream = wire_alloc(sizeof(*stream));

	if (!stream)
		return NULL;
	stream->id = id;
	stream->content_length = REQUEST_ABSENT;
	LIST_INSERT_HEAD(&streams->buckets[bucket_of(id)], stream, in_bucket);
	streams->n++;
	return stream;
}

void http2_stream_drop_request(struct http2_stream *stream)
{
	request_builder_free(stream->request);
	stream->request = NULL;
}

void http2_stream_drop_response(struct http2_stream *stream)
{
	response_builder_free(stream->response);
	stream->response = NULL;
}

void http2_streams_remove(struct http2_streams *streams, struct http2_stream *stream)
{
	LIST_REMOVE(stream, in_bucket);
	streams->n--;
	http2_stream_drop_request(stream);
	http2_stream_drop_response(stream);
	wire_free(stream);
}

void http2_streams_clear(struct http2_streams *streams)
{
	for (unsigned int i = 0; i < HTTP2_BUCKETS; i++)
		while (!LIST_EMPTY(&streams->buckets[i]))
			http2_streams_remove(streams, LIST_FIRST(&streams->buckets[i]));
}
