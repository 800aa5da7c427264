// Processes that the daemon has probed, and those that they fork.
//
//     fork   the child has the same connections, but no probes: the daemon is told, and its
//            writes on them count as its family's (plaintext.bpf.h)
//     exec   the probes are of another program: its ClientHellos are to wait again, and the daemon
//     exit   takes its probes down
//
// A child of vfork() is not told of: it has its parent's memory, and becomes another program before
// its parent goes on.
#include "emit.bpf.h"
#include <bpf/bpf_core_read.h>

static __always_inline void forget_process(void)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u32 tgid = pid_tgid >> 32;
	int was_forked = !bpf_map_delete_elem(&families, &tgid);

	if (!bpf_map_delete_elem(&tapped, &tgid) || was_forked)
		emit_plain(SLUICE_EVENT_GONE, tgid);
}

static __always_inline void emit_forked(__u32 parent, __u32 child)
{
	struct sluice_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		count_lost(SLUICE_LOST_RING_FULL);
		return;
	}
	start_event(event, SLUICE_EVENT_FORKED, child);
	event->number = parent;
	bpf_ringbuf_submit(event, 0);
}

SEC("raw_tp/sched_process_fork")
int sluice_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *parent = (void *)ctx->args[0], *child = (void *)ctx->args[1];
	__u32 from = BPF_CORE_READ(parent, tgid), to = BPF_CORE_READ(child, tgid), *root;

	if (from == to || BPF_CORE_READ(parent, mm) == BPF_CORE_READ(child, mm))
		return 0;
	root = bpf_map_lookup_elem(&families, &from);
	if (!root) {
		if (!bpf_map_lookup_elem(&tapped, &from))
			return 0;
		root = &from;
	}
	if (!bpf_map_update_elem(&families, &to, root, BPF_ANY))
		emit_forked(from, to);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int sluice_exit(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if (!BPF_CORE_READ(task, signal, live.counter)) // its last thread
		forget_process();
	return 0;
}

SEC("raw_tp/sched_process_exec")
int sluice_exec(void *ctx)
{
	forget_process();
	return 0;
}
