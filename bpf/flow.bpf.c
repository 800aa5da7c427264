// The birth and the end of a flow: connect() to a governed port records who calls, and the
// release of the socket tells that nobody waits for an answer any more.
#include "emit.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

char LICENSE[] SEC("license") = "GPL";

enum { CONTINUE = 1 };

static __always_inline void begin_flow(struct bpf_sock_addr *ctx, struct sluice_flow *flow)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 cookie = bpf_get_socket_cookie(ctx);

	flow->born_ns = bpf_ktime_get_ns();
	flow->cgroup_id = bpf_get_current_cgroup_id();
	flow->tgid = bpf_get_current_pid_tgid() >> 32;
	flow->uid = bpf_get_current_uid_gid();
	flow->port = bpf_ntohs(ctx->user_port);
	flow->netns = BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
	bpf_get_current_comm(flow->comm, sizeof(flow->comm));
	if (bpf_map_update_elem(&flows, &cookie, flow, BPF_ANY))
		count_lost(SLUICE_LOST_FLOWS_FULL);
}

SEC("cgroup/connect4")
int sluice_connect4(struct bpf_sock_addr *ctx)
{
	struct sluice_flow flow = {};
	__u32 address = ctx->user_ip4;

	if (ctx->protocol != IPPROTO_TCP || !is_governed_port(bpf_ntohs(ctx->user_port)))
		return CONTINUE;
	flow.address[10] = flow.address[11] = 0xff;
	__builtin_memcpy(flow.address + 12, &address, sizeof(address));
	begin_flow(ctx, &flow);
	return CONTINUE;
}

SEC("cgroup/connect6")
int sluice_connect6(struct bpf_sock_addr *ctx)
{
	struct sluice_flow flow = {};
	__u32 address[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};

	if (ctx->protocol != IPPROTO_TCP || !is_governed_port(bpf_ntohs(ctx->user_port)))
		return CONTINUE;
	__builtin_memcpy(flow.address, address, sizeof(address));
	begin_flow(ctx, &flow);
	return CONTINUE;
}

// inet_release(): the last descriptor of the socket is closed, by close() or by death. A flow
// whose host is governed stays in the maps until the daemon has dealt with what it held.
SEC("cgroup/sock_release")
int sluice_release(struct bpf_sock *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct sluice_flow *flow = bpf_map_lookup_elem(&flows, &cookie);

	if (!flow)
		return CONTINUE;
	if (flow->flags & SLUICE_FLOW_HELLO)
		emit_plain(SLUICE_EVENT_CLOSED, cookie);
	else
		bpf_map_delete_elem(&flows, &cookie);
	return CONTINUE;
}
