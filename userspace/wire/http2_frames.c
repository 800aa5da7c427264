// HTTP/2 frames, see http2_frames.h.
#include "wire/http2_frames.h"

#include <string.h>

#define MALFORMED "malformed HTTP/2"
#define GAP "not all of it was seen"
#define GAP_IN_BLOCK "its HPACK state is unknown"

#define HEADER_BYTES 9
#define PRIORITY_BYTES 5

static uint32_t read_u32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool carries_block(uint8_t type)
{
	return type == HTTP2_HEADERS || type == HTTP2_PUSH_PROMISE || type == HTTP2_CONTINUATION;
}

static bool is_wanted(uint8_t type)
{
	return type == HTTP2_DATA || carries_block(type) || type == HTTP2_RST_STREAM ||
	       type == HTTP2_GOAWAY;
}

static bool may_be_padded(uint8_t type)
{
	return type == HTTP2_DATA || type == HTTP2_HEADERS || type == HTTP2_PUSH_PROMISE;
}

static uint32_t prefix_bytes(const struct http2_frame *frame)
{
	uint32_t bytes = may_be_padded(frame->type) && frame->flags & HTTP2_PADDED ? 1 : 0;

	switch (frame->type) {
	case HTTP2_HEADERS:
		return bytes + (frame->flags & HTTP2_HAS_PRIORITY ? PRIORITY_BYTES : 0);
	case HTTP2_PUSH_PROMISE:
		return bytes + 4; // the promised stream
	case HTTP2_RST_STREAM:
		return 4;
	case HTTP2_GOAWAY:
		return 8;
	default:
		return bytes;
	}
}

void http2_frames_close(struct http2_frames *f)
{
	f->state = FRAME_CLOSED;
}

void http2_frames_fail(struct http2_frames *f, const char *why)
{
	if (f->state == FRAME_CLOSED)
		return;
	f->state = FRAME_CLOSED;
	f->callbacks->fail(f->owner, why);
}

// Section 6, for each type: which are of a stream, and which of the connection.
static bool is_on_right_stream(const struct http2_frame *frame)
{
	switch (frame->type) {
	case HTTP2_SETTINGS:
	case HTTP2_PING:
	case HTTP2_GOAWAY:
		return !frame->stream;
	case HTTP2_DATA:
	case HTTP2_RST_STREAM:
		return frame->stream;
	default:
		return frame->stream || !carries_block(frame->type);
	}
}

// Whether such a frame may come now.
static bool is_in_order(const struct http2_frames *f)
{
	const struct http2_frame *frame = &f->frame;

	if (!f->has_begun) // section 3.4
		return frame->type == HTTP2_SETTINGS && !(frame->flags & HTTP2_ACK);
	if (f->in_block)
		return frame->type == HTTP2_CONTINUATION && frame->stream == f->in_block;
	if (frame->type == HTTP2_PUSH_PROMISE && f->is_client)
		return false;
	return frame->type != HTTP2_CONTINUATION;
}

static bool is_long_enough(const struct http2_frame *frame)
{
	if (frame->type == HTTP2_RST_STREAM)
		return frame->length == 4;
	return frame->length >= prefix_bytes(frame);
}

static void header_over(struct http2_frames *f)
{
	const unsigned char *p = f->header;
	struct http2_frame *frame = &f->frame;

	*frame = (struct http2_frame){
		.begin = f->reached - HEADER_BYTES,
		.length = read_u32(p) >> 8,
		.type = p[3],
		.flags = p[4],
		.stream = read_u32(p + 5) & INT32_MAX, // section 4.1: the first bit means nothing
	};
	if (!is_on_right_stream(frame) || !is_in_order(f) || !is_long_enough(frame)) {
		http2_frames_fail(f, MALFORMED);
		return;
	}
	f->has_begun = true;
	if (carries_block(frame->type))
		f->in_block = frame->flags & HTTP2_END_HEADERS ? 0 : frame->stream;
	f->state = FRAME_PREFIX;
	f->left = prefix_bytes(frame);
	f->padding = 0;
	if (is_wanted(frame->type))
		f->callbacks->begin(f->owner, frame);
}

static void prefix_over(struct http2_frames *f)
{
	struct http2_frame *frame = &f->frame;
	uint32_t left = frame->length - prefix_bytes(frame);

	if (may_be_padded(frame->type) && frame->flags & HTTP2_PADDED)
		f->padding = frame->prefix[0];
	if (f->padding > left) { // section 6.1
		http2_frames_fail(f, MALFORMED);
		return;
	}
	f->state = FRAME_CONTENT;
	f->left = left - f->padding;
}

static void frame_over(struct http2_frames *f)
{
	f->state = FRAME_HEADER;
	f->left = HEADER_BYTES;
	if (is_wanted(f->frame.type))
		f->callbacks->end(f->owner, &f->frame);
}

// To the state that bytes are wanted for.
static void advance(struct http2_frames *f)
{
	while (!f->left && f->state != FRAME_CLOSED) {
		switch (f->state) {
		case FRAME_HEADER:
			header_over(f);
			break;
		case FRAME_PREFIX:
			prefix_over(f);
			break;
		case FRAME_CONTENT:
			f->state = FRAME_PADDING;
			f->left = f->padding;
			break;
		case FRAME_PADDING:
			frame_over(f);
			break;
		case FRAME_CLOSED:
			break;
		}
	}
}

// `n` bytes, none of which is beyond this state.
static void take(struct http2_frames *f, const unsigned char *p, uint32_t n)
{
	f->reached += n;
	f->left -= n;
	switch (f->state) {
	case FRAME_HEADER:
		memcpy(f->header + HEADER_BYTES - f->left - n, p, n);
		break;
	case FRAME_PREFIX:
		memcpy(f->frame.prefix + prefix_bytes(&f->frame) - f->left - n, p, n);
		break;
	case FRAME_CONTENT:
		if (f->frame.type == HTTP2_DATA || carries_block(f->frame.type))
			f->callbacks->content(f->owner, &f->frame, p, n);
		break;
	case FRAME_PADDING:
	case FRAME_CLOSED:
		break;
	}
	advance(f);
}

static bool may_lose(const struct http2_frames *f, uint64_t len)
{
	if (f->state == FRAME_PADDING)
		return len <= f->left;
	return f->state == FRAME_CONTENT && !carries_block(f->frame.type) &&
	       len <= (uint64_t)f->left + f->padding;
}

static void skip_gap(struct http2_frames *f, uint64_t len)
{
	uint32_t of_content = f->state == FRAME_CONTENT && len < f->left ? (uint32_t)len
			      : f->state == FRAME_CONTENT                ? f->left
									 : 0;

	if (!may_lose(f, len)) {
		bool is_in_block =
			f->in_block || (f->state != FRAME_HEADER && carries_block(f->frame.type));

		http2_frames_fail(f, is_in_block ? GAP_IN_BLOCK : GAP);
		return;
	}
	if (of_content) {
		f->reached += of_content;
		f->left -= of_content;
		if (f->frame.type == HTTP2_DATA)
			f->callbacks->data_lost(f->owner, &f->frame, of_content);
		advance(f);
	}
	if (len > of_content && f->state != FRAME_CLOSED) {
		f->reached += len - of_content;
		f->left -= (uint32_t)(len - of_content);
		advance(f);
	}
}

// As in framing.c: handles what lies between the offset reached and the `len` bytes at `at`.
// Returns how many of them were seen before; all of them if there is nothing to read.
static uint64_t bytes_seen(struct http2_frames *f, uint64_t at, uint64_t len)
{
	if (len > INT64_MAX - (at < INT64_MAX ? at : INT64_MAX))
		http2_frames_fail(f, GAP);
	if (f->state != FRAME_CLOSED && len && at > f->reached)
		skip_gap(f, at - f->reached);
	if (f->state == FRAME_CLOSED || at >= f->reached)
		return f->state == FRAME_CLOSED ? len : 0;
	return f->reached - at < len ? f->reached - at : len;
}

void http2_frames_init(struct http2_frames *f, const struct http2_frame_callbacks *callbacks,
		       void *owner, bool is_client, uint64_t reached)
{
	*f = (struct http2_frames){
		.callbacks = callbacks,
		.owner = owner,
		.is_client = is_client,
		.reached = reached,
		.state = FRAME_HEADER,
		.left = HEADER_BYTES,
	};
}

void http2_frames_feed(struct http2_frames *f, uint64_t at, const void *data, size_t len)
{
	const unsigned char *p = data;
	size_t seen = (size_t)bytes_seen(f, at, len);

	for (p += seen, len -= seen; len && f->state != FRAME_CLOSED;) {
		uint32_t n = len < f->left ? (uint32_t)len : f->left;

		take(f, p, n);
		p += n;
		len -= n;
	}
}

void http2_frames_skip(struct http2_frames *f, uint64_t at, uint64_t len)
{
	uint64_t seen = bytes_seen(f, at, len);

	if (len > seen)
		skip_gap(f, len - seen);
}
