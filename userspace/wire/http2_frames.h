// Where the frames of HTTP/2 (RFC 9113 section 4) begin and end in one direction of a connection.
//
//     9 bytes of header │ pad length, priority, … │ what it carries │ padding
//                         "prefix", ≤ 8 bytes       "content"
//
// Frames are never kept: content is passed on in the pieces in which it came, whatever its length.
// Here is also checked what must hold for the frames behind to mean anything: that a header block
// is in one piece (section 6.10), that a frame is as long as its type says, and that it is on a
// stream or on none, as it must be.
//
// A gap is borne only within bytes that change nothing else: the data and padding of one DATA
// frame, and frames of which nothing is wanted. Memory is this struct, about 120 bytes.
#ifndef SLUICE_WIRE_HTTP2_FRAMES_H
#define SLUICE_WIRE_HTTP2_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum http2_type { // section 6
	HTTP2_DATA = 0,
	HTTP2_HEADERS = 1,
	HTTP2_PRIORITY = 2,
	HTTP2_RST_STREAM = 3,
	HTTP2_SETTINGS = 4,
	HTTP2_PUSH_PROMISE = 5,
	HTTP2_PING = 6,
	HTTP2_GOAWAY = 7,
	HTTP2_WINDOW_UPDATE = 8,
	HTTP2_CONTINUATION = 9,
};

#define HTTP2_END_STREAM 0x01 // of DATA and HEADERS
#define HTTP2_ACK 0x01        // of SETTINGS
#define HTTP2_END_HEADERS 0x04
#define HTTP2_PADDED 0x08
#define HTTP2_HAS_PRIORITY 0x20

#define HTTP2_PREFIX_SIZE 8

struct http2_frame {
	uint64_t begin;  // offset of its header
	uint32_t length; // of all behind the header
	uint32_t stream;
	uint8_t type;
	uint8_t flags;
	// What stands in front of its content: of RST_STREAM and GOAWAY all that is wanted.
	unsigned char prefix[HTTP2_PREFIX_SIZE];
};

struct http2_frame_callbacks {
	// Its header was read. Of types that are not wanted nothing is told.
	void (*begin)(void *owner, const struct http2_frame *frame);
	// Of DATA, and of the types that carry a header block.
	void (*content)(void *owner, const struct http2_frame *frame, const void *data, size_t len);
	void (*data_lost)(void *owner, const struct http2_frame *frame, uint64_t len);
	void (*end)(void *owner, const struct http2_frame *frame); // its last byte was read
	void (*fail)(void *owner, const char *why);                // once; nothing more is read
};

struct http2_frames {
	const struct http2_frame_callbacks *callbacks;
	void *owner;
	bool is_client;
	bool has_begun;    // the first frame was SETTINGS
	uint32_t in_block; // the stream whose header block is open, 0: none
	uint64_t reached;  // offset of the next byte
	enum { FRAME_HEADER, FRAME_PREFIX, FRAME_CONTENT, FRAME_PADDING, FRAME_CLOSED } state;
	uint32_t left;    // bytes of this state to come
	uint32_t padding; // bytes of it, behind the content
	struct http2_frame frame;
	unsigned char header[9];
};

// Begins at plaintext offset `reached`: behind the client's preface, or at 0.
void http2_frames_init(struct http2_frames *f, const struct http2_frame_callbacks *callbacks,
		       void *owner, bool is_client, uint64_t reached);
// As framing_feed() and framing_skip().
void http2_frames_feed(struct http2_frames *f, uint64_t at, const void *data, size_t len);
void http2_frames_skip(struct http2_frames *f, uint64_t at, uint64_t len);
// Nothing more is read; fail() is not called.
void http2_frames_close(struct http2_frames *f);
void http2_frames_fail(struct http2_frames *f, const char *why);

#endif
