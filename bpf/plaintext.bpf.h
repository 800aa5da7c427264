// What a program writes and reads, once a probe knows the flow, the buffer and the length: whose
// function it was (a C library's, tls.bpf.c, or Go's, gotls.bpf.c) makes no difference from here.
//
//     begin_write()   flow.write_end is raised before a byte of it can be sent, so the gate is shut
//                     in time whatever the daemon does
//     end_write()     commits what the library took: a write that failed with WANT_WRITE comes
//                     again with the same data and counts once
//     end_read()      what the program has been told
#ifndef SLUICE_PLAINTEXT_BPF_H
#define SLUICE_PLAINTEXT_BPF_H

#include "emit.bpf.h"
#include "http2.bpf.h"

// Plaintext to be told to the daemon.
struct piece {
	__u64 cookie, ssl, offset, buffer, length; // of the whole chunk
	__u32 library, direction;
};

// Copies `want` bytes of `capacity` at most into an event. `capacity` is a constant at each call,
// as bpf_ringbuf_reserve() wants it.
static __always_inline void emit_piece(const struct piece *c, __u64 done, __u64 want, __u64 skipped,
				       const __u32 capacity)
{
	struct sluice_chunk *chunk = bpf_ringbuf_reserve(&events, sizeof(*chunk) + capacity, 0);

	if (!chunk) {
		count_lost(SLUICE_LOST_RING_FULL);
		return;
	}
	start_event(&chunk->event, SLUICE_EVENT_CHUNK, c->cookie);
	chunk->ssl = c->ssl;
	chunk->tgid = bpf_get_current_pid_tgid() >> 32;
	chunk->library = c->library;
	chunk->direction = c->direction;
	chunk->offset = c->offset + done;
	chunk->skipped = skipped;
	barrier_var(want); // keeps the compiler from leaving out what only the verifier needs
	if (want > capacity)
		want = capacity;
	chunk->length = want;
	if (bpf_probe_read_user(chunk->data, want, (void *)(c->buffer + done))) {
		count_lost(SLUICE_LOST_FAULT);
		bpf_ringbuf_discard(chunk, BPF_RB_NO_WAKEUP);
		return;
	}
	bpf_ringbuf_submit(chunk, 0);
}

static long emit_next_piece(__u32 index, void *data)
{
	const struct piece *c = data;
	__u64 done = (__u64)index * SLUICE_PIECE_BYTES, left = c->length - done, skipped = 0;

	if (done >= c->length)
		return 1;
	if (left > SLUICE_PIECE_BYTES && index == SLUICE_MAX_PIECES - 1)
		skipped = left - SLUICE_PIECE_BYTES;
	// Room by need: small writes and reads are the many.
	if (left <= 512)
		emit_piece(c, done, left, skipped, 512);
	else if (left <= 4096)
		emit_piece(c, done, left, skipped, 4096);
	else
		emit_piece(c, done, left, skipped, SLUICE_PIECE_BYTES);
	return 0;
}

static __always_inline void emit_chunk(struct piece *c)
{
	bpf_loop(SLUICE_MAX_PIECES, emit_next_piece, c, 0);
}

// Nobody asks any more what is written, or read, on this flow.
static __always_inline int is_passed_by(const struct sluice_flow *flow, __u64 cookie)
{
	const struct sluice_gate *gate = bpf_map_lookup_elem(&gates, &cookie);

	return flow->flags & SLUICE_FLOW_EXPIRED || (gate && gate->mode != SLUICE_GATE_GOVERNED);
}

static __always_inline __u32 family_of(__u32 tgid)
{
	__u32 *root = bpf_map_lookup_elem(&families, &tgid);

	return root ? *root : tgid;
}

// Whether the process that runs is the one that opened the connection, or one of its family: a
// server that forks its workers may have opened it for them. Another process may know its random
// or have been sent its descriptor: a server on this very host does.
static __always_inline int is_of_family(const struct sluice_flow *flow)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	return flow->tgid == tgid || family_of(flow->tgid) == family_of(tgid);
}

// A write of piece->length bytes at piece->buffer enters for this flow. `call` is where its return
// will find it; NULL: no return will be seen, so it is taken for written, rather than not seen at
// all.
static __always_inline void begin_write(struct sluice_flow *flow, struct call *call,
					struct piece *piece)
{
	piece->offset = flow->written;
	follow_frames(flow, piece->offset, piece->buffer, piece->length);
	flow->write_end = flow->written + piece->length;
	if (call) {
		call->cookie = piece->cookie;
		call->start = piece->offset;
		call->length = piece->length;
		call->under_way = SLUICE_WRITE + 1;
	} else {
		flow->written = flow->write_end;
	}
	emit_chunk(piece);
}

// The write has returned, and the library has taken `moved` bytes, one at least. (After none, it
// will be called again: what was encrypted may be half in the socket, so the gate stays shut.)
static __always_inline void end_write(struct sluice_flow *flow, const struct call *call,
				      __u64 moved)
{
	if (moved != call->length) // what follows may be other frames than it began with
		lose_frames(flow);
	flow->written = flow->write_end = call->start + moved;
}

// A read has returned with piece->length bytes at piece->buffer.
static __always_inline void end_read(struct sluice_flow *flow, struct piece *piece)
{
	if (is_passed_by(flow, piece->cookie))
		return;
	piece->offset = flow->read;
	flow->read += piece->length;
	emit_chunk(piece);
}

#endif
