// The fallback push, for sockets whose descriptor the daemon cannot borrow: walks the TCP table
// of the reader's network namespace and makes each socket in `to_push` try to send.
// Setting TCP_NODELAY calls tcp_push_pending_frames(); what the program had set is put back.
#include "maps.bpf.h"

#define IPPROTO_TCP_LEVEL 6
#define TCP_NODELAY 1

SEC("iter/tcp")
int sluice_push(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	int on = 1, was = 0;
	struct tcp_sock *tp;
	__u64 cookie;

	if (!common)
		return 0;
	tp = bpf_skc_to_tcp_sock(common);
	if (!tp)
		return 0;
	cookie = bpf_get_socket_cookie(tp);
	if (!bpf_map_lookup_elem(&to_push, &cookie))
		return 0;
	bpf_getsockopt(tp, IPPROTO_TCP_LEVEL, TCP_NODELAY, &was, sizeof(was));
	if (!bpf_setsockopt(tp, IPPROTO_TCP_LEVEL, TCP_NODELAY, &on, sizeof(on)) && !was)
		bpf_setsockopt(tp, IPPROTO_TCP_LEVEL, TCP_NODELAY, &was, sizeof(was));
	bpf_map_delete_elem(&to_push, &cookie);
	return 0;
}
