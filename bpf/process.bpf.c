// The end of a process that the daemon has probed, by exit or exec: its ClientHellos are to wait
// again, and the daemon takes its probes down.
#include "emit.bpf.h"

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
	__u64 pid_tgid = bpf_get_current_pid_tgid();

	if (pid_tgid >> 32 == (__u32)pid_tgid) // the thread-group leader
		forget_process();
	return 0;
}

SEC("raw_tp/sched_process_exec")
int sluice_exec(void *ctx)
{
	forget_process();
	return 0;
}
