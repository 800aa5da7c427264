// Follows the frames of HTTP/2 in what a program writes (RFC 9113 §4.1), so that only a new
// request's HEADERS shuts the gate, and everything else (the body of a request that was let
// through, PING, SETTINGS, WINDOW_UPDATE) passes without the daemon.
//
//     ┌ preface (24) ┐┌ header (9) ┬ payload ┐┌ header (9) ┬ payload …
//                      ▲                       ▲ flow.frame_end
//                      └ HEADERS: flow.request_begin
//
// Where a frame's header is cut in two by writes, or frames are too many, they are not followed any
// more: then each write waits until the daemon has read it, which is right as well, and slower.
#ifndef SLUICE_HTTP2_BPF_H
#define SLUICE_HTTP2_BPF_H

#include "maps.bpf.h"

#define HTTP2_PREFACE 0x5448202a20495250ULL // "PRI * HT", little-endian (RFC 9113 §3.4)
enum {
	HTTP2_PREFACE_BYTES = 24,
	HTTP2_FRAME_BYTES = 9,
	HTTP2_HEADERS = 1,
	HTTP2_MAX_FRAMES = 128, // in one write
};

struct frames {
	__u64 buffer, start, end; // of the write, and its offsets in the plaintext
	__u64 next;               // offset of the next frame
	__u64 headers;            // offset of the last HEADERS; 0: none
	__u64 lost;
};

static long follow_frame(__u32 index, void *data)
{
	struct frames *frames = data;
	__u8 header[HTTP2_FRAME_BYTES];

	if (frames->next >= frames->end)
		return 1;
	if (index == HTTP2_MAX_FRAMES - 1 || frames->next + sizeof(header) > frames->end ||
	    bpf_probe_read_user(header, sizeof(header),
				(void *)(frames->buffer + (frames->next - frames->start)))) {
		frames->lost = 1;
		return 1;
	}
	if (header[3] == HTTP2_HEADERS)
		frames->headers = frames->next;
	frames->next +=
		sizeof(header) + ((__u64)header[0] << 16 | (__u64)header[1] << 8 | header[2]);
	return 0;
}

static __always_inline int is_preface(__u64 buffer, __u64 length)
{
	__u64 begin = 0;

	return length >= HTTP2_PREFACE_BYTES &&
	       !bpf_probe_read_user(&begin, sizeof(begin), (void *)buffer) &&
	       begin == HTTP2_PREFACE;
}

// A write of `length` bytes at `buffer` enters, whose first byte stands at offset `start`. One that
// is called again with the same bytes changes nothing.
static __always_inline void follow_frames(struct sluice_flow *flow, __u64 start, __u64 buffer,
					  __u64 length)
{
	struct frames frames = {.buffer = buffer, .start = start, .end = start + length};

	if (!start && is_preface(buffer, length)) {
		flow->follows_frames = 1;
		flow->frame_end = HTTP2_PREFACE_BYTES;
	}
	if (!flow->follows_frames)
		return;
	frames.next = flow->frame_end;
	frames.lost = frames.next < start;
	if (!frames.lost)
		bpf_loop(HTTP2_MAX_FRAMES, follow_frame, &frames, 0);
	if (frames.headers > flow->request_begin)
		flow->request_begin = frames.headers;
	if (frames.lost)
		flow->follows_frames = 0;
	else
		flow->frame_end = frames.next;
}

// The write has returned and has taken less than it was given: what follows may be other frames.
static __always_inline void lose_frames(struct sluice_flow *flow)
{
	flow->follows_frames = 0;
}

#endif
