// The end of a process that the daemon has probed, by exit or exec: its ClientHellos are to wait
// again, and the daemon takes its probes down.
#include "emit.bpf.h"
#include <bpf/bpf_core_read.h>

static __always_inline void forget_process(void)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u32 tgid = pid_tgid >> 32;

	if (!bpf_map_delete_elem(&tapped, &tgid))
		emit_plain(SLUICE_EVENT_GONE, tgid);
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
