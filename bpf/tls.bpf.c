// Probes on a TLS library's write and read functions: what the program says, before it is
// encrypted, and what it is told.
//
// A write's entry raises flow.write_end before a byte of it can be sent, so the gate is shut in
// time whatever the daemon does. Its return commits what the library took: a write that
// failed with WANT_WRITE is called again with the same data and counts once.
#include "emit.bpf.h"
#include <bpf/bpf_tracing.h>

// The flow of an SSL object, by the client random that the object holds; NULL if it is none of
// ours. *ret_learned is 0 where the library's layout is not known.
static __always_inline struct sluice_flow *flow_of(__u64 ssl, __u32 library_id, __u64 *ret_cookie,
						   int *ret_learned)
{
	struct sluice_library *library = bpf_map_lookup_elem(&libraries, &library_id);
	struct random_key random;
	struct sluice_flow *flow;
	__u64 *cookie;

	*ret_learned = library && library->learned;
	if (!*ret_learned)
		return NULL;
	if (library->pointer_offset != SLUICE_NO_POINTER &&
	    bpf_probe_read_user(&ssl, sizeof(ssl), (void *)(ssl + library->pointer_offset)))
		return NULL;
	if (bpf_probe_read_user(&random, sizeof(random), (void *)(ssl + library->random_offset)))
		return NULL;
	cookie = bpf_map_lookup_elem(&by_random, &random);
	if (!cookie)
		return NULL;
	*ret_cookie = *cookie;
	flow = bpf_map_lookup_elem(&flows, cookie);
	// A server on this host holds the same random in its own SSL object.
	return flow && flow->tgid == bpf_get_current_pid_tgid() >> 32 ? flow : NULL;
}

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

static __always_inline struct call *this_call(void)
{
	struct call *call = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), NULL,
						 BPF_LOCAL_STORAGE_GET_F_CREATE);

	count(SLUICE_COUNT_PROBE_HITS);
	if (!call)
		count_lost(SLUICE_LOST_CALLS);
	return call;
}

static __always_inline struct sluice_session session_of(__u64 ssl)
{
	return (struct sluice_session){.ssl = ssl, .tgid = bpf_get_current_pid_tgid() >> 32};
}

static __always_inline void emit_object(const struct piece *write)
{
	struct piece object = *write;

	object.buffer = write->ssl;
	object.length = SLUICE_OBJECT_BYTES;
	object.direction = SLUICE_OBJECT;
	emit_piece(&object, 0, SLUICE_OBJECT_BYTES, 0, SLUICE_OBJECT_BYTES);
}

// Before its library is learned, an SSL object's bytes are counted under its own address.
static __always_inline void write_unbound(struct call *call, __u64 length, struct piece *piece)
{
	struct sluice_session session = session_of(call->ssl);
	struct sluice_session_bytes none = {.since_ns = bpf_ktime_get_ns()}, *bytes;
	__u32 tgid = session.tgid;

	if (!bpf_map_lookup_elem(&tapped, &tgid)) // a library probed widely: no governed process
		return;
	bpf_map_update_elem(&unbound, &session, &none, BPF_NOEXIST);
	bytes = bpf_map_lookup_elem(&unbound, &session);
	if (!bytes)
		return;
	call->cookie = 0;
	call->start = bytes->written;
	call->under_way = SLUICE_WRITE + 1;
	bytes->write_end = bytes->written + length;
	piece->offset = bytes->written;
	emit_object(piece);
	emit_chunk(piece);
}

// The first write after the library was learned: takes over what was counted before.
static __always_inline void adopt(struct sluice_flow *flow, __u64 ssl)
{
	struct sluice_session session = session_of(ssl);
	struct sluice_session_bytes *bytes = bpf_map_lookup_elem(&unbound, &session);

	if (!bytes)
		return;
	if (!flow->written && bytes->since_ns >= flow->born_ns)
		flow->written = bytes->written;
	bpf_map_delete_elem(&unbound, &session);
}

static __always_inline int enter_write(struct pt_regs *ctx, __u64 length, __u64 length_pointer)
{
	struct call untracked = {}, *found = this_call(), *call = found ?: &untracked;
	struct piece piece = {.ssl = PT_REGS_PARM1(ctx),
			      .buffer = PT_REGS_PARM2(ctx),
			      .length = length,
			      .library = bpf_get_attach_cookie(ctx),
			      .direction = SLUICE_WRITE};
	const struct sluice_gate *gate;
	struct sluice_flow *flow;
	int learned;

	call->under_way = 0;
	call->ssl = piece.ssl;
	call->length_pointer = length_pointer;
	flow = flow_of(piece.ssl, piece.library, &piece.cookie, &learned);
	if (!learned && length)
		write_unbound(call, length, &piece);
	if (!flow || !length || flow->flags & SLUICE_FLOW_EXPIRED)
		return 0;
	gate = bpf_map_lookup_elem(&gates, &piece.cookie);
	if (gate && gate->mode == SLUICE_GATE_OPAQUE)
		return 0;
	adopt(flow, piece.ssl);
	flow->write_end = flow->written + length;
	call->cookie = piece.cookie;
	call->start = piece.offset = flow->written;
	call->under_way = SLUICE_WRITE + 1;
	if (!found) // no return will be seen: taken for written, rather than not seen at all
		flow->written = flow->write_end;
	emit_chunk(&piece);
	return 0;
}

// How many bytes the call that returns now has moved: its value, or for the _ex functions, which
// return 1 for success, what they stored through their last argument.
static __always_inline __u64 bytes_moved(struct pt_regs *ctx, const struct call *call)
{
	int value = PT_REGS_RC(ctx);
	__u64 bytes = 0;

	if (value <= 0)
		return 0;
	if (!call->length_pointer)
		return value;
	bpf_probe_read_user(&bytes, sizeof(bytes), (void *)call->length_pointer);
	return bytes;
}

static __always_inline int leave_write(struct pt_regs *ctx)
{
	struct call *call = this_call();
	__u64 moved;

	if (!call || call->under_way != SLUICE_WRITE + 1)
		return 0;
	call->under_way = 0;
	moved = bytes_moved(ctx, call);
	if (!moved) // to be called again: what was encrypted may be half in the socket, so stay
		    // shut
		return 0;
	if (call->cookie) {
		struct sluice_flow *flow = bpf_map_lookup_elem(&flows, &call->cookie);

		if (flow)
			flow->written = flow->write_end = call->start + moved;
	} else {
		struct sluice_session session = session_of(call->ssl);
		struct sluice_session_bytes *bytes = bpf_map_lookup_elem(&unbound, &session);

		if (bytes)
			bytes->written = bytes->write_end = call->start + moved;
	}
	return 0;
}

static __always_inline int enter_read(struct pt_regs *ctx, __u64 length_pointer)
{
	struct call *call = this_call();

	if (!call)
		return 0;
	call->ssl = PT_REGS_PARM1(ctx);
	call->buffer = PT_REGS_PARM2(ctx);
	call->length_pointer = length_pointer;
	call->under_way = SLUICE_READ + 1;
	return 0;
}

static __always_inline int leave_read(struct pt_regs *ctx)
{
	struct call *call = this_call();
	struct piece piece = {.library = bpf_get_attach_cookie(ctx), .direction = SLUICE_READ};
	const struct sluice_gate *gate;
	struct sluice_flow *flow;
	int learned;

	if (!call || call->under_way != SLUICE_READ + 1)
		return 0;
	call->under_way = 0;
	piece.length = bytes_moved(ctx, call);
	if (!piece.length)
		return 0;
	piece.ssl = call->ssl;
	piece.buffer = call->buffer;
	flow = flow_of(piece.ssl, piece.library, &piece.cookie, &learned);
	if (!flow)
		return 0;
	gate = bpf_map_lookup_elem(&gates, &piece.cookie);
	if (!gate || gate->mode == SLUICE_GATE_OPAQUE)
		return 0;
	piece.offset = flow->read;
	flow->read += piece.length;
	emit_chunk(&piece);
	return 0;
}

// int SSL_write(SSL *ssl, const void *buf, int num)
SEC("uprobe")
int sluice_ssl_write(struct pt_regs *ctx)
{
	int length = PT_REGS_PARM3(ctx);

	return enter_write(ctx, length > 0 ? length : 0, 0);
}

// int SSL_write_ex(SSL *s, const void *buf, size_t num, size_t *written)
SEC("uprobe")
int sluice_ssl_write_ex(struct pt_regs *ctx)
{
	return enter_write(ctx, PT_REGS_PARM3(ctx), PT_REGS_PARM4(ctx));
}

SEC("uretprobe")
int sluice_ssl_write_return(struct pt_regs *ctx)
{
	return leave_write(ctx);
}

// int SSL_read(SSL *ssl, void *buf, int num)
SEC("uprobe")
int sluice_ssl_read(struct pt_regs *ctx)
{
	return enter_read(ctx, 0);
}

// int SSL_read_ex(SSL *ssl, void *buf, size_t num, size_t *readbytes)
SEC("uprobe")
int sluice_ssl_read_ex(struct pt_regs *ctx)
{
	return enter_read(ctx, PT_REGS_PARM4(ctx));
}

SEC("uretprobe")
int sluice_ssl_read_return(struct pt_regs *ctx)
{
	return leave_read(ctx);
}
