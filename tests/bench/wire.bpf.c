// When a released request reaches its peer: from the system call with which sluiced opens a gate to
// the arrival of data at the server's socket. See wire.c.
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define MAX_SAMPLES 4096
#define LEAST_REQUEST_BYTES 100

// struct parameters of wire.c
const volatile struct {
	__u32 sluiced, bpf_syscall, server_port;
} parameters;

__u64 opened_ns, n_samples;

// Written here, read by wire.c; what comes after MAX_SAMPLES is only counted.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SAMPLES);
	__type(key, __u32);
	__type(value, __u64);
} samples SEC(".maps");

SEC("raw_tp/sys_enter")
int BPF_PROG(on_system_call, struct pt_regs *regs, long number)
{
	if (number != parameters.bpf_syscall ||
	    bpf_get_current_pid_tgid() >> 32 != parameters.sluiced ||
	    PT_REGS_PARM1_CORE_SYSCALL(regs) != BPF_MAP_UPDATE_ELEM)
		return 0;
	opened_ns = bpf_ktime_get_ns();
	return 0;
}

// trace_tcp_probe() in tcp_rcv_established(): the socket is the one that receives.
SEC("raw_tp/tcp_probe")
int BPF_PROG(on_arrival, struct sock *sk, struct sk_buff *skb)
{
	__u64 now = bpf_ktime_get_ns(), taken = now - opened_ns;
	__u32 slot = n_samples;

	if (!opened_ns || BPF_CORE_READ(sk, __sk_common.skc_num) != parameters.server_port ||
	    BPF_CORE_READ(skb, len) < LEAST_REQUEST_BYTES)
		return 0;
	opened_ns = 0;
	n_samples++;
	bpf_map_update_elem(&samples, &slot, &taken, BPF_ANY);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
