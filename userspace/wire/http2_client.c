// What an HTTP/2 client sends: requests, and their end before their time. See http2.h.
#include <string.h>
#include "wire/http2_private.h"
#include "wire/text.h"

static struct http2_stream *stream_of(const struct http2 *h, uint32_t id)
{
	return http2_streams_find(&h->streams, id);
}

static struct http2_stream *new_stream(struct http2 *h, const struct http2_frame *frame)
{
	struct http2_stream *stream;

	if (h->streams.n == HTTP2_MAX_STREAMS) {
		http2_frames_fail(&h->client.frames, "more than 256 requests at once");
		return NULL;
	}
	stream = http2_streams_add(&h->streams, frame->stream);
	if (stream)
		stream->request = request_builder_new(&h->key, h->asked, frame->begin);
	if (!stream || !stream->request) {
		http2_frames_fail(&h->client.frames, HTTP2_NO_MEMORY);
		return NULL;
	}
	stream->request->request.is_http11_or_later = true;
	return stream;
}

static void request_begins(struct http2 *h, const struct http2_frame *frame)
{
	struct http2_stream *stream;

	if (frame->stream % 2 == 0) { // section 5.1.1
		http2_frames_fail(&h->client.frames, "malformed HTTP/2");
		return;
	}
	h->last_stream = frame->stream;
	stream = new_stream(h, frame);
	if (!stream)
		return;
	h->client.block.kind = BLOCK_HEAD;
	http2_tell_request(h, REQUEST_STARTED, stream);
	if (stream->id > h->last_served)
		http2_lose(h, stream); // section 6.8: nobody will answer it
}

static void headers_begin(struct http2 *h, const struct http2_frame *frame)
{
	h->client.block = (struct http2_block){
		.stream = frame->stream,
		.ends_stream = frame->flags & HTTP2_END_STREAM,
	};
	if (frame->stream > h->last_stream)
		request_begins(h, frame);
	else if (stream_of(h, frame->stream))
		h->client.block.kind = BLOCK_TRAILERS;
}

static void on_begin(void *owner, const struct http2_frame *frame)
{
	struct http2 *h = owner;
	struct http2_stream *stream;

	if (frame->type == HTTP2_HEADERS)
		headers_begin(h, frame);
	if (frame->type != HTTP2_DATA)
		return;
	stream = stream_of(h, frame->stream);
	if (stream && stream->request && !stream->request->request.body_begin)
		stream->request->request.body_begin = frame->begin;
}

static void read_field(struct http2_stream *stream, const char *name, char *value,
		       size_t value_bytes)
{
	struct request_builder *builder = stream->request;

	if (!strcmp(name, ":method"))
		request_builder_method(builder, value, value_bytes);
	else if (!strcmp(name, "content-length"))
		text_parse_u64(value, &stream->content_length);
	if (request_builder_wants(builder, name) == REQUEST_FIELD_WANTED)
		request_builder_field(builder, name, value);
}

void http2_client_field(void *owner, const char *name, size_t name_bytes, const char *value,
			size_t value_bytes)
{
	struct http2 *h = owner;
	struct http2_stream *stream = stream_of(h, h->client.block.stream);
	char name_copy[REQUEST_HEADER_NAME_SIZE + 1], value_copy[REQUEST_FIELD_SIZE];

	if (h->client.block.kind != BLOCK_HEAD || !stream || !stream->request)
		return;
	http2_copy(name_copy, sizeof(name_copy), name, name_bytes);
	if (!strcmp(name_copy, ":path")) {
		request_builder_target(stream->request, value, value_bytes);
	} else if (request_builder_wants(stream->request, name_copy) == REQUEST_FIELD_SECRET) {
		request_builder_secret(stream->request, name_copy, value, value_bytes);
		request_builder_secret_end(stream->request);
	} else {
		http2_copy(value_copy, sizeof(value_copy), value, value_bytes);
		read_field(stream, name_copy, value_copy, strlen(value_copy));
	}
}

static void request_over(struct http2 *h, struct http2_stream *stream)
{
	request_builder_end(stream->request);
	stream->request_over = true;
	http2_tell_request(h, REQUEST_COMPLETE, stream);
	http2_stream_drop_request(stream);
	http2_drop_if_over(h, stream);
}

static void request_head(struct http2 *h, struct http2_stream *stream, bool has_body)
{
	struct request *r = &stream->request->request;

	request_builder_head(stream->request, has_body ? stream->content_length : 0);
	stream->is_connect = !strcmp(r->method, "CONNECT");
	stream->request_head_told = true;
	http2_tell_request(h, REQUEST_HEAD, stream);
}

static void block_ends(struct http2 *h)
{
	const struct http2_block *block = &h->client.block;
	struct http2_stream *stream;

	if (!http2_block_feed(&h->client, NULL, 0, true) || block->kind == BLOCK_IGNORED)
		return;
	stream = stream_of(h, block->stream);
	if (!stream || !stream->request)
		return;
	if (block->kind == BLOCK_HEAD)
		request_head(h, stream, !block->ends_stream);
	if (block->ends_stream)
		request_over(h, stream);
}

static void on_content(void *owner, const struct http2_frame *frame, const void *data, size_t len)
{
	struct http2 *h = owner;
	struct http2_stream *stream;

	if (frame->type != HTTP2_DATA) {
		http2_block_feed(&h->client, data, len, false);
		return;
	}
	stream = stream_of(h, frame->stream);
	if (stream && stream->request)
		request_builder_body(stream->request, data, len);
}

static void on_data_lost(void *owner, const struct http2_frame *frame, uint64_t len)
{
	struct http2 *h = owner;
	struct http2_stream *stream = stream_of(h, frame->stream);

	if (stream && stream->request)
		request_builder_body_lost(stream->request, len);
}

// GOAWAY of a client is about what the server pushes (section 6.8), and changes nothing here.
static void on_end(void *owner, const struct http2_frame *frame)
{
	struct http2 *h = owner;
	struct http2_stream *stream;

	if ((frame->type == HTTP2_HEADERS || frame->type == HTTP2_CONTINUATION) &&
	    frame->flags & HTTP2_END_HEADERS) {
		block_ends(h);
		return;
	}
	stream = stream_of(h, frame->stream);
	if (!stream)
		return;
	if (frame->type == HTTP2_RST_STREAM)
		http2_lose(h, stream);
	else if (frame->type == HTTP2_DATA && frame->flags & HTTP2_END_STREAM && stream->request)
		request_over(h, stream);
}

static void on_fail(void *owner, const char *why)
{
	http2_make_opaque(owner, why);
}

const struct http2_frame_callbacks http2_client_callbacks = {
	.begin = on_begin,
	.content = on_content,
	.data_lost = on_data_lost,
	.end = on_end,
	.fail = on_fail,
};
