// What an HTTP/2 server sends: responses, and the end of streams before their time. See http2.h.
#include <string.h>
#include "wire/http2_private.h"

#define NAME_SIZE 64
#define VALUE_SIZE 256

static struct http2_stream *stream_of(const struct http2 *h, uint32_t id)
{
	return http2_streams_find(&h->streams, id);
}

// What is pushed stands on streams that the client has not opened, and is passed over.
static void headers_begin(struct http2 *h, const struct http2_frame *frame)
{
	struct http2_stream *stream = stream_of(h, frame->stream);

	h->server.block = (struct http2_block){
		.stream = frame->stream,
		.ends_stream = frame->flags & HTTP2_END_STREAM,
	};
	if (!stream || stream->response_over)
		return;
	h->server.block.kind = stream->response ? BLOCK_TRAILERS : BLOCK_HEAD;
	if (stream->response)
		return;
	stream->status = 0;
	stream->response = response_builder_new();
	if (!stream->response)
		http2_frames_fail(&h->server.frames, HTTP2_NO_MEMORY);
}

static void on_begin(void *owner, const struct http2_frame *frame)
{
	struct http2 *h = owner;

	if (frame->type == HTTP2_HEADERS)
		headers_begin(h, frame);
	else if (frame->type == HTTP2_PUSH_PROMISE)
		h->server.block = (struct http2_block){.kind = BLOCK_IGNORED};
}

// Three digits (RFC 9110 section 15); 0: it is none.
static int read_status(const char *value, size_t len)
{
	int status = 0;

	if (len != 3)
		return 0;
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9')
			return 0;
		status = status * 10 + value[i] - '0';
	}
	return status;
}

void http2_server_field(void *owner, const char *name, size_t name_bytes, const char *value,
			size_t value_bytes)
{
	struct http2 *h = owner;
	struct http2_stream *stream = stream_of(h, h->server.block.stream);
	char name_copy[NAME_SIZE], value_copy[VALUE_SIZE];

	if (h->server.block.kind != BLOCK_HEAD || !stream || !stream->response)
		return;
	http2_copy(name_copy, sizeof(name_copy), name, name_bytes);
	if (!strcmp(name_copy, ":status")) {
		stream->status = read_status(value, value_bytes);
	} else if (response_head_wants(name_copy)) {
		http2_copy(value_copy, sizeof(value_copy), value, value_bytes);
		response_head_field(&stream->response->head, name_copy, value_copy);
	}
}

static void response_over(struct http2 *h, struct http2_stream *stream)
{
	if (!stream->response_head_told) { // section 8.1.1: malformed
		http2_lose(h, stream);
		return;
	}
	response_builder_end(stream->response);
	stream->response_over = true;
	http2_tell_response(h, RESPONSE_COMPLETE, stream);
	http2_stream_drop_response(stream);
	http2_drop_if_over(h, stream);
}

// False: the connection has become opaque, and the stream is gone.
static bool response_head(struct http2 *h, struct http2_stream *stream, bool has_body)
{
	if (stream->status < 200) { // RFC 9110 section 15.2: the final one is yet to come
		http2_stream_drop_response(stream);
		return true;
	}
	if (stream->is_connect && stream->status < 300) {
		http2_make_opaque(h, "upgraded to another protocol");
		return false;
	}
	response_builder_head(stream->response, stream->status, has_body);
	stream->response_head_told = true;
	http2_tell_response(h, RESPONSE_HEAD, stream);
	return true;
}

static void block_ends(struct http2 *h)
{
	const struct http2_block *block = &h->server.block;
	struct http2_stream *stream;

	if (!http2_block_feed(&h->server, NULL, 0, true) || block->kind == BLOCK_IGNORED)
		return;
	stream = stream_of(h, block->stream);
	if (!stream || !stream->response)
		return;
	if (block->kind == BLOCK_HEAD && !response_head(h, stream, !block->ends_stream))
		return;
	if (block->ends_stream)
		response_over(h, stream);
}

static void on_content(void *owner, const struct http2_frame *frame, const void *data, size_t len)
{
	struct http2 *h = owner;
	struct http2_stream *stream;

	if (frame->type != HTTP2_DATA) {
		http2_block_feed(&h->server, data, len, false);
		return;
	}
	stream = stream_of(h, frame->stream);
	if (stream && stream->response && stream->response_head_told)
		response_builder_body(stream->response, data, len);
}

static void on_data_lost(void *owner, const struct http2_frame *frame, uint64_t len)
{
	struct http2 *h = owner;
	struct http2_stream *stream = stream_of(h, frame->stream);

	if (stream && stream->response && stream->response_head_told)
		response_builder_body_lost(stream->response, len);
}

// Section 6.8. A server that winds up says 2^31 - 1 first, and later which was really the last.
static void on_goaway(struct http2 *h, const struct http2_frame *frame)
{
	const unsigned char *p = frame->prefix;
	uint32_t last =
		(uint32_t)(p[0] & 0x7f) << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];

	if (last < h->last_served)
		h->last_served = last;
	for (unsigned int i = 0; i < HTTP2_BUCKETS; i++) {
		struct http2_stream *stream = LIST_FIRST(&h->streams.buckets[i]);

		while (stream) {
			struct http2_stream *next = LIST_NEXT(stream, in_bucket);

			if (stream->id > last)
				http2_lose(h, stream);
			stream = next;
		}
	}
}

static void on_end(void *owner, const struct http2_frame *frame)
{
	struct http2 *h = owner;
	struct http2_stream *stream;

	if (frame->type == HTTP2_GOAWAY) {
		on_goaway(h, frame);
		return;
	}
	if (frame->type != HTTP2_DATA && frame->type != HTTP2_RST_STREAM) {
		if (frame->flags & HTTP2_END_HEADERS)
			block_ends(h);
		return;
	}
	stream = stream_of(h, frame->stream);
	if (!stream)
		return;
	if (frame->type == HTTP2_RST_STREAM)
		http2_lose(h, stream);
	else if (frame->flags & HTTP2_END_STREAM && !stream->response_over)
		response_over(h, stream);
}

// Requests can still be read; those whose end was read have no more to come.
static void on_fail(void *owner, const char *why)
{
	struct http2 *h = owner;

	(void)why;
	if (h->why || h->responses_unknown)
		return;
	h->responses_unknown = true;
	for (unsigned int i = 0; i < HTTP2_BUCKETS; i++) {
		struct http2_stream *stream = LIST_FIRST(&h->streams.buckets[i]);

		while (stream) {
			struct http2_stream *next = LIST_NEXT(stream, in_bucket);

			http2_stream_drop_response(stream);
			stream->response_head_told = false;
			http2_drop_if_over(h, stream);
			stream = next;
		}
	}
	h->fn(h->owner, RESPONSES_UNKNOWN, 0, NULL, NULL);
}

const struct http2_frame_callbacks http2_server_callbacks = {
	.begin = on_begin,
	.content = on_content,
	.data_lost = on_data_lost,
	.end = on_end,
	.fail = on_fail,
};
