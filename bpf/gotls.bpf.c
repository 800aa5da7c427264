// Probes on crypto/tls.(*Conn).Write and .Read of programs written in Go.
//
// A write takes all that it is given, or the connection cannot be written to any more (crypto/tls,
// Conn.SetWriteDeadline), so it counts as written when it begins. A read is told when it returns:
// by each return instruction of the function, and known by its goroutine, for that may go on in
// another thread. (A uretprobe's changed return address stops a program whose runtime unwinds and
// moves its stacks.) Where a function begins is behind its check of the stack, for after that has
// grown the function starts again (tap/go_code.c).
//
// Whose plaintext it is, is found by following the Conn to its descriptor, and in the kernel the
// descriptor to its socket:
//
//     tls.Conn ─▶ conn net.Conn     at 0, an interface: its data at 8
//              ─▶ net.TCPConn       conn, of which fd *netFD at 0
//              ─▶ net.netFD         pfd poll.FD at 0
//              ─▶ poll.FD           Sysfd at 16, behind fdmu
//
// That is so in the source of Go 1.19, 1.21, 1.23, 1.26 and 1.27 (crypto/tls/conn.go, net/net.go,
// net/tcpsock.go, net/fd_posix.go, internal/poll/fd_unix.go and fd_mutex.go). Where a program has
// put something of its own between TLS and TCP that begins with the net.Conn it wraps, as what
// embeds one does, that is followed too. Otherwise the numbers that are read are no descriptor of a
// governed connection of this process, and the flow becomes an opaque one.
#include "plaintext.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

// Go's internal calling convention (Go's cmd/compile/abi-internal.md).
#if defined(__TARGET_ARCH_x86)
#define GO_RECEIVER(ctx) ((ctx)->ax)
#define GO_BUFFER(ctx) ((ctx)->bx)
#define GO_LENGTH(ctx) ((ctx)->cx)
#define GO_RESULT(ctx) ((ctx)->ax)
#define GO_GOROUTINE(ctx) ((ctx)->r14)
#elif defined(__TARGET_ARCH_arm64)
#define GO_REGISTER(ctx, n) (((const struct user_pt_regs *)(ctx))->regs[n])
#define GO_RECEIVER(ctx) GO_REGISTER(ctx, 0)
#define GO_BUFFER(ctx) GO_REGISTER(ctx, 1)
#define GO_LENGTH(ctx) GO_REGISTER(ctx, 2)
#define GO_RESULT(ctx) GO_REGISTER(ctx, 0)
#define GO_GOROUTINE(ctx) GO_REGISTER(ctx, 28)
#endif

enum {
	MAX_WRAPPERS = 3, // the TCPConn itself, and two around it
	DATA_OF_INTERFACE = 8,
	SYSFD_OF_NETFD = 16,
	S_FORMAT = 0170000, // of a file's mode, inode(7)
	S_SOCKET = 0140000,
};

// The Read that a goroutine is in. Written by the probes; what a process leaves behind is deleted
// by the daemon. Full: the call counts as SLUICE_LOST_CALLS. The buffer stays where it is: the
// argument escapes, so the compiler puts none on a stack.
struct go_read {
	__u64 conn;
	__u64 buffer;
	__u64 length;
	__u64 cookie; // of the flow
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct sluice_goroutine);
	__type(value, struct go_read);
} go_reads SEC(".maps");

static __always_inline struct sluice_goroutine this_goroutine(struct pt_regs *ctx)
{
	return (struct sluice_goroutine){.g = GO_GOROUTINE(ctx),
					 .tgid = bpf_get_current_pid_tgid() >> 32};
}

// Sysfd beneath the net.TCPConn at `tcp`; if there is none, some number, or -1.
static __always_inline __s64 descriptor_of(__u64 tcp)
{
	__s64 descriptor = -1;
	__u64 netfd = 0;

	if (bpf_probe_read_user(&netfd, sizeof(netfd), (void *)tcp) ||
	    bpf_probe_read_user(&descriptor, sizeof(descriptor), (void *)(netfd + SYSFD_OF_NETFD)))
		return -1;
	return descriptor;
}

// The cookie of the socket behind a descriptor of this process; 0: it is none, or none that was
// ever asked for its cookie, as each governed one was at connect().
static __always_inline __u64 cookie_of(__s64 descriptor)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd), *file = NULL;
	struct socket *socket;

	if (descriptor < 0 || descriptor >= BPF_CORE_READ(table, max_fds) ||
	    bpf_probe_read_kernel(&file, sizeof(file), files + descriptor) || !file ||
	    (BPF_CORE_READ(file, f_inode, i_mode) & S_FORMAT) != S_SOCKET)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	if (BPF_CORE_READ(socket, file) != file)
		return 0;
	return BPF_CORE_READ(socket, sk, __sk_common.skc_cookie.counter);
}

static __always_inline struct sluice_flow *flow_of_tcp(__u64 tcp, __u64 *ret_cookie)
{
	struct sluice_flow *flow;

	*ret_cookie = cookie_of(descriptor_of(tcp));
	if (!*ret_cookie)
		return NULL;
	flow = bpf_map_lookup_elem(&flows, ret_cookie);
	return flow && flow->flags & SLUICE_FLOW_HELLO && is_of_family(flow) ? flow : NULL;
}

// The flow beneath a tls.Conn that anybody still asks about; NULL: none of ours.
static __always_inline struct sluice_flow *flow_of_conn(__u64 conn, __u64 *ret_cookie)
{
	struct sluice_flow *flow = NULL;

	for (int i = 0; i < MAX_WRAPPERS && !flow; i++) {
		if (bpf_probe_read_user(&conn, sizeof(conn), (void *)(conn + DATA_OF_INTERFACE)))
			return NULL;
		flow = flow_of_tcp(conn, ret_cookie);
	}
	return flow && !is_passed_by(flow, *ret_cookie) ? flow : NULL;
}

// func (c *Conn) Write(b []byte) (int, error)
SEC("uprobe")
int sluice_go_write(struct pt_regs *ctx)
{
	struct piece piece = {.ssl = GO_RECEIVER(ctx),
			      .buffer = GO_BUFFER(ctx),
			      .length = GO_LENGTH(ctx),
			      .library = bpf_get_attach_cookie(ctx),
			      .direction = SLUICE_WRITE};
	struct sluice_flow *flow = flow_of_conn(piece.ssl, &piece.cookie);

	count(SLUICE_COUNT_PROBE_HITS);
	if (flow && piece.length)
		begin_write(flow, NULL, &piece);
	return 0;
}

// func (c *Conn) Read(b []byte) (int, error)
SEC("uprobe")
int sluice_go_read(struct pt_regs *ctx)
{
	struct sluice_goroutine goroutine = this_goroutine(ctx);
	struct go_read read = {
		.conn = GO_RECEIVER(ctx), .buffer = GO_BUFFER(ctx), .length = GO_LENGTH(ctx)};

	count(SLUICE_COUNT_PROBE_HITS);
	if (!flow_of_conn(read.conn, &read.cookie))
		return 0;
	if (bpf_map_update_elem(&go_reads, &goroutine, &read, BPF_ANY))
		count_lost(SLUICE_LOST_CALLS);
	return 0;
}

SEC("uprobe")
int sluice_go_read_return(struct pt_regs *ctx)
{
	struct sluice_goroutine goroutine = this_goroutine(ctx);
	struct piece piece = {.library = bpf_get_attach_cookie(ctx), .direction = SLUICE_READ};
	struct go_read *read = bpf_map_lookup_elem(&go_reads, &goroutine);
	__s64 moved = GO_RESULT(ctx);
	struct sluice_flow *flow;

	count(SLUICE_COUNT_PROBE_HITS);
	if (!read)
		return 0;
	if (moved > 0 && moved <= read->length)
		piece.length = moved;
	piece.ssl = read->conn;
	piece.cookie = read->cookie;
	piece.buffer = read->buffer;
	bpf_map_delete_elem(&go_reads, &goroutine);
	flow = bpf_map_lookup_elem(&flows, &piece.cookie);
	if (flow && piece.length)
		end_read(flow, &piece);
	return 0;
}
