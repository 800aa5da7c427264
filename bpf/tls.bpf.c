// Probes on the write and read functions of TLS libraries with C's calling convention: OpenSSL,
// BoringSSL and LibreSSL (SSL_*), GnuTLS (gnutls_record_*). They find whose plaintext it is, by the
// client random in the library's own object; plaintext.bpf.h does the rest.
//
// GnuTLS, as lib/record.c and lib/record_range.c of 3.7 have it:
//
//     gnutls_record_send ──▶ gnutls_record_send2    one record at most; or, corked, all of it
//     gnutls_record_uncork ─▶ gnutls_record_send    of what the corked writes had been given
//     gnutls_record_send_range                      several records, on its own
//     gnutls_record_recv
//
// Not probed: gnutls_record_send_early_data (before there is a random), _recv_seq (DTLS) and
// _recv_packet. What is written by them alone makes a flow an opaque one.
#include "plaintext.bpf.h"
#include <bpf/bpf_tracing.h>

// The plaintext of a TLS record (RFC 8446 §5.1).
enum { RECORD_BYTES = 16384 };

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
	return flow && is_of_family(flow) ? flow : NULL;
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

// Before its library is learned, an SSL object's bytes are counted under its own address. NULL: it
// is of no governed process (a library that is probed widely), or there is no room.
static __always_inline struct sluice_session_bytes *unbound_bytes(__u64 ssl)
{
	struct sluice_session session = session_of(ssl);
	struct sluice_session_bytes none = {.since_ns = bpf_ktime_get_ns()};
	__u32 tgid = session.tgid;

	if (!bpf_map_lookup_elem(&tapped, &tgid))
		return NULL;
	bpf_map_update_elem(&unbound, &session, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&unbound, &session);
}

static __always_inline void begin_unbound_write(struct call *call, struct piece *piece)
{
	struct sluice_session_bytes *bytes = unbound_bytes(piece->ssl);

	if (!bytes)
		return;
	if (call) {
		call->cookie = 0;
		call->start = bytes->written;
		call->length = piece->length;
		call->under_way = SLUICE_WRITE + 1;
	}
	bytes->write_end = bytes->written + piece->length;
	piece->offset = bytes->written;
	emit_object(piece);
	emit_chunk(piece);
}

// HTTP/2's server speaks before it is asked.
static __always_inline void end_unbound_read(struct piece *piece)
{
	struct sluice_session_bytes *bytes = unbound_bytes(piece->ssl);

	if (!bytes)
		return;
	piece->offset = bytes->read;
	bytes->read += piece->length;
	emit_chunk(piece);
}

static __always_inline void end_unbound_write(const struct call *call, __u64 moved)
{
	struct sluice_session session = session_of(call->ssl);
	struct sluice_session_bytes *bytes = bpf_map_lookup_elem(&unbound, &session);

	if (bytes)
		bytes->written = bytes->write_end = call->start + moved;
}

// The first write after the library was learned: takes over what was counted before, by the process
// that opened the connection.
static __always_inline void adopt(struct sluice_flow *flow, __u64 ssl)
{
	struct sluice_session session = {.ssl = ssl, .tgid = flow->tgid};
	struct sluice_session_bytes *bytes = bpf_map_lookup_elem(&unbound, &session);

	if (!bytes)
		return;
	if (!flow->written && bytes->since_ns >= flow->born_ns) {
		flow->written = bytes->written;
		flow->write_end = bytes->write_end;
		// It may have left before it could be told whose it was.
		flow->told_end =
			flow->data_bytes < flow->write_end ? flow->data_bytes : flow->write_end;
	}
	bpf_map_delete_elem(&unbound, &session);
}

// A write of nothing, which with GnuTLS goes on with the one that was interrupted, and returns what
// that would have.
static __always_inline void resume_write(struct call *call, struct sluice_flow *flow, __u64 cookie,
					 int learned)
{
	struct sluice_session session = session_of(call->ssl);
	struct sluice_session_bytes *bytes =
		learned ? NULL : bpf_map_lookup_elem(&unbound, &session);

	call->cookie = cookie;
	if (flow)
		call->start = flow->written;
	else if (bytes)
		call->start = bytes->written;
	else
		return;
	call->length = (flow ? flow->write_end : bytes->write_end) - call->start;
	call->under_way = SLUICE_WRITE + 1;
}

static __always_inline int enter_write(struct pt_regs *ctx, __u64 length, __u64 length_pointer)
{
	struct call *call = this_call();
	struct piece piece = {.ssl = PT_REGS_PARM1(ctx),
			      .buffer = PT_REGS_PARM2(ctx),
			      .length = length,
			      .library = bpf_get_attach_cookie(ctx),
			      .direction = SLUICE_WRITE};
	struct sluice_flow *flow;
	int learned;

	if (call && call->uncorking) // its bytes were counted when they were given
		return 0;
	if (call) {
		call->under_way = 0;
		call->ssl = piece.ssl;
		call->buffer = piece.buffer;
		call->length_pointer = length_pointer;
		call->library = piece.library;
	}
	flow = flow_of(piece.ssl, piece.library, &piece.cookie, &learned);
	if (flow && is_passed_by(flow, piece.cookie))
		return 0;
	if (flow)
		adopt(flow, piece.ssl);
	if (!length) {
		if (call)
			resume_write(call, flow, piece.cookie, learned);
	} else if (flow) {
		begin_write(flow, call, &piece);
	} else if (!learned) {
		begin_unbound_write(call, &piece);
	}
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

// A corked session has taken more than a record, which is all that was told at the entry.
static __always_inline void emit_rest(const struct call *call, __u64 moved)
{
	struct piece rest = {.cookie = call->cookie,
			     .ssl = call->ssl,
			     .offset = call->start + call->length,
			     .buffer = call->buffer + call->length,
			     .length = moved - call->length,
			     .library = call->library,
			     .direction = SLUICE_WRITE};

	emit_chunk(&rest);
}

static __always_inline int leave_write(struct pt_regs *ctx)
{
	struct call *call = this_call();
	struct sluice_flow *flow;
	__u64 moved;

	if (!call || call->under_way != SLUICE_WRITE + 1)
		return 0;
	call->under_way = 0;
	moved = bytes_moved(ctx, call);
	if (!moved)
		return 0;
	if (moved > call->length && call->buffer)
		emit_rest(call, moved);
	if (!call->cookie) {
		end_unbound_write(call, moved);
		return 0;
	}
	flow = bpf_map_lookup_elem(&flows, &call->cookie);
	if (flow)
		end_write(flow, call, moved);
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
	if (flow) {
		adopt(flow, piece.ssl);
		end_read(flow, &piece);
	} else if (!learned) {
		end_unbound_read(&piece);
	}
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

// ssize_t gnutls_record_send(gnutls_session_t session, const void *data, size_t data_size), and
// _send2, which has more arguments behind these. It is called again for what did not go into a
// record.
SEC("uprobe")
int sluice_gnutls_send(struct pt_regs *ctx)
{
	__u64 length = PT_REGS_PARM3(ctx);

	return enter_write(ctx, length < RECORD_BYTES ? length : RECORD_BYTES, 0);
}

// ssize_t gnutls_record_send_range(gnutls_session_t session, const void *data, size_t data_size,
//                                  const gnutls_range_st *range)
SEC("uprobe")
int sluice_gnutls_send_range(struct pt_regs *ctx)
{
	return enter_write(ctx, PT_REGS_PARM3(ctx), 0);
}

SEC("uretprobe")
int sluice_tls_write_return(struct pt_regs *ctx)
{
	return leave_write(ctx);
}

// int gnutls_record_uncork(gnutls_session_t session, unsigned int flags)
SEC("uprobe")
int sluice_gnutls_uncork(struct pt_regs *ctx)
{
	struct call *call = this_call();

	if (call)
		call->uncorking = 1;
	return 0;
}

SEC("uretprobe")
int sluice_gnutls_uncork_return(struct pt_regs *ctx)
{
	struct call *call = this_call();

	if (call)
		call->uncorking = 0;
	return 0;
}

// int SSL_read(SSL *ssl, void *buf, int num)
// ssize_t gnutls_record_recv(gnutls_session_t session, void *data, size_t data_size)
SEC("uprobe")
int sluice_tls_read(struct pt_regs *ctx)
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
int sluice_tls_read_return(struct pt_regs *ctx)
{
	return leave_read(ctx);
}
