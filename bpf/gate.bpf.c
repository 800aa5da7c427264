// The gate: each packet that leaves a governed socket passes here, and new data stays in the
// socket's own write queue while the gate is shut.
//
//   packet ─▶ no payload, RST, retransmission, handshake ──────────────────▶ pass
//          ─▶ ClientHello: host governed? its process probed?  ── not yet ─▶ keep ≤ 1 s
//          ─▶ data: granted, as include/sluice/abi.h says? ── no ─────────▶ keep
//
// Keeping: tcp_write_xmit() gets -EPERM from ip_queue_xmit() and stops before the segment counts
// as sent, so it is neither lost nor retransmitted, and the next push or timer tries it again.
#include "emit.bpf.h"
#include "records.bpf.h"

enum { KEEP = 0, PASS = 1, JUDGE = 2 };
enum { CONNECT_SEGMENTS = 8 };
#define CONNECT_METHOD 0x434f4e4e45435420ULL // "CONNECT "

static __always_inline int daemon_is_dead(void)
{
	// The daemon may stamp a time later than the one read a moment before.
	__s64 age = bpf_ktime_get_ns() - heartbeat_ns;

	return age > (__s64)SLUICE_HEARTBEAT_STALE_NS;
}

static __always_inline void let_expire(struct sluice_flow *flow)
{
	flow->flags |= SLUICE_FLOW_EXPIRED;
	count(SLUICE_COUNT_EXPIRED_FLOWS);
}

// The daemon has a bounded time to know a flow; after it, the flow passes and is counted.
static __always_inline int wait_for_daemon(struct sluice_flow *flow, __u64 at_most_ns)
{
	__u64 now = bpf_ktime_get_ns();

	if (!flow->undecided_ns)
		flow->undecided_ns = now;
	if (now - flow->undecided_ns < at_most_ns)
		return KEEP;
	let_expire(flow);
	return PASS;
}

static __always_inline void lower_case(struct host_key *host)
{
	for (int i = 0; i < SLUICE_HOST_BYTES; i++)
		if (host->name[i] >= 'A' && host->name[i] <= 'Z')
			host->name[i] |= 0x20;
}

// "*.suffix" stands in the map as ".suffix" and covers one label, as in certificates
// (RFC 6125 §6.4.3).
static __always_inline int is_wildcard_host(struct __sk_buff *skb, __u32 at, __u32 length,
					    const struct host_key *host)
{
	struct host_key suffix = {};
	__u32 dot = 0;

	for (int i = 0; i < 64 && !dot; i++)
		if (host->name[i] == '.')
			dot = i;
	if (!dot || dot >= length)
		return 0;
	length = ((length - dot - 1) & (SLUICE_HOST_BYTES - 1)) + 1;
	if (length >= SLUICE_HOST_BYTES || bpf_skb_load_bytes(skb, at + dot, &suffix, length))
		return 0;
	lower_case(&suffix);
	return bpf_map_lookup_elem(&hosts, &suffix) != NULL;
}

// Whether the ClientHello is for a governed host; *host is filled with the name it gives.
static __always_inline int is_governed_host(struct __sk_buff *skb, __u32 hello,
					    const struct sluice_flow *flow, struct host_key *host)
{
	__u32 at = 0, length = 0;

	if (find_server_name(skb, hello, &at, &length))
		count_lost(SLUICE_LOST_HELLO);
	if (length && length < SLUICE_HOST_BYTES) {
		__u32 bytes = ((length - 1) & (SLUICE_HOST_BYTES - 1)) + 1; // 6.1: provably >= 1

		if (bytes < SLUICE_HOST_BYTES && bpf_skb_load_bytes(skb, at, host, bytes))
			return 0;
		lower_case(host);
		if (bpf_map_lookup_elem(&hosts, host) || is_wildcard_host(skb, at, length, host))
			return 1;
	}
	// A proxy's address says nothing of who is behind it.
	return !(flow->flags & SLUICE_FLOW_CONNECT) &&
	       bpf_map_lookup_elem(&addresses, flow->address) != NULL;
}

static __always_inline int emit_hello(__u64 cookie, const struct sluice_flow *flow,
				      const struct packet *p, const struct host_key *host, int held)
{
	struct sluice_hello *hello = bpf_ringbuf_reserve(&events, sizeof(*hello), 0);

	if (!hello) {
		count_lost(SLUICE_LOST_RING_FULL);
		return -1;
	}
	start_event(&hello->event, SLUICE_EVENT_HELLO, cookie);
	__builtin_memcpy(&hello->flow, flow, sizeof(*flow));
	__builtin_memcpy(hello->host, host->name, sizeof(hello->host));
	__builtin_memcpy(hello->local_address, p->source, sizeof(hello->local_address));
	hello->local_port = p->source_port;
	hello->held = held;
	hello->padding = 0;
	bpf_ringbuf_submit(hello, 0);
	return 0;
}

// A CONNECT to a proxy (RFC 9110 §9.3.6), and what may come before the ClientHello behind it: a
// second one with credentials.
static __always_inline int is_connect(struct __sk_buff *skb, struct sluice_flow *flow,
				      const struct packet *p)
{
	__u64 start;

	if (flow->flags & SLUICE_FLOW_CONNECT)
		return flow->burst++ < CONNECT_SEGMENTS;
	if (bpf_skb_load_bytes(skb, p->header_bytes, &start, sizeof(start)) ||
	    start != bpf_cpu_to_be64(CONNECT_METHOD))
		return 0;
	flow->flags |= SLUICE_FLOW_CONNECT;
	return 1;
}

static __always_inline int forget(__u64 cookie)
{
	bpf_map_delete_elem(&flows, &cookie); // not ours: no further cost
	return PASS;
}

// A proxy on this host hands on what a program has written, which was governed there.
static __always_inline int is_relayed(const struct sluice_flow *flow, __u64 cookie)
{
	__u64 *known = bpf_map_lookup_elem(&by_random, flow->random), origin;

	if (!known || *known == cookie)
		return 0;
	origin = *known;
	return bpf_map_lookup_elem(&flows, &origin) != NULL;
}

// The first data segment of a connection: JUDGE it if the flow is one of ours, which the daemon is
// told.
static __always_inline int first_segment(struct __sk_buff *skb, __u64 cookie,
					 struct sluice_flow *flow, const struct packet *p)
{
	struct host_key host = {};
	struct record record;
	__u32 tgid = flow->tgid;
	int must_wait;

	if (!is_client_hello(skb, p->header_bytes)) {
		if (is_connect(skb, flow, p))
			return PASS;
		count(SLUICE_COUNT_NOT_TLS);
		return forget(cookie);
	}
	if (bpf_skb_load_bytes(skb, p->header_bytes, &record, sizeof(record)) ||
	    bpf_skb_load_bytes(skb, p->header_bytes + RANDOM_AT, flow->random,
			       sizeof(flow->random)) ||
	    !is_governed_host(skb, p->header_bytes, flow, &host))
		return forget(cookie);
	if (is_relayed(flow, cookie))
		return forget(cookie);
	if (bpf_map_update_elem(&by_random, flow->random, &cookie, BPF_ANY))
		count_lost(SLUICE_LOST_FLOWS_FULL);
	must_wait = mode != SLUICE_MODE_OFF && !bpf_map_lookup_elem(&tapped, &tgid);
	flow->flags |= SLUICE_FLOW_HELLO;
	flow->family = p->family;
	flow->handshake_end = flow->record_end =
		p->seq + TLS_RECORD_BYTES + (record.length[0] << 8 | record.length[1]);
	flow->burst = 0;
	flow->wire_end = p->seq;                             // nothing sent yet
	if (emit_hello(cookie, flow, p, &host, must_wait)) { // the daemon will never know of it
		let_expire(flow);
		return PASS;
	}
	return JUDGE;
}

// Whether the probes of its process are in place, or need not be waited for.
static __always_inline int may_say_hello(struct sluice_flow *flow)
{
	__u32 tgid = flow->tgid;

	if (bpf_map_lookup_elem(&tapped, &tgid))
		return PASS;
	return wait_for_daemon(flow, SLUICE_HELLO_NS);
}

static __always_inline int is_open(const struct sluice_gate *gate, const struct sluice_flow *flow)
{
	__u64 write_end;

	if (!gate || !gate->granted)
		return 0;
	write_end = flow->write_end > gate->unbound_end ? flow->write_end : gate->unbound_end;
	return write_end <= gate->granted ||
	       (flow->follows_frames && flow->request_begin < gate->granted);
}

static __always_inline void emit_burst(__u64 cookie, __u32 number)
{
	struct sluice_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		count_lost(SLUICE_LOST_RING_FULL);
		return;
	}
	start_event(event, SLUICE_EVENT_BURST, cookie);
	event->number = number;
	bpf_ringbuf_submit(event, 0);
}

// All that was written, as far as the probes tell, had left before this burst began: they have
// failed, or another process writes, or a function that is not probed. The first burst's plaintext
// may have come under its session's name (map `unbound`).
static __always_inline int is_unseen(const struct sluice_gate *gate, const struct sluice_flow *flow)
{
	return gate && gate->mode == SLUICE_GATE_GOVERNED && flow->burst > 1 &&
	       flow->write_end == flow->told_end;
}

static __always_inline void count_bursts(__u64 cookie, const struct sluice_gate *gate,
					 struct sluice_flow *flow, const struct packet *p,
					 const struct records *r)
{
	if (!r->has_data || !begins_burst(flow, p))
		return;
	begin_burst(flow, p);
	if (is_unseen(gate, flow))
		flow->flags |= SLUICE_FLOW_UNSEEN;
	if (flow->flags & SLUICE_FLOW_UNSEEN || (gate && gate->mode == SLUICE_GATE_BURSTS))
		emit_burst(cookie, flow->burst);
}

// Of a flow whose plaintext is read (or may be yet). In TLS 1.3 the Finished looks like data: one
// short record is let by in a connection's life.
static __always_inline int decide_on_plaintext(const struct sluice_gate *gate,
					       struct sluice_flow *flow, const struct records *r)
{
	if (flow->flags & SLUICE_FLOW_UNSEEN)
		return wait_for_daemon(flow, SLUICE_UNDECIDED_NS);
	if (is_open(gate, flow))
		return PASS;
	if (!r->has_data && !r->n_short)
		return PASS; // handshake, or an alert
	if (!r->has_data && r->n_short == 1 && !(flow->flags & SLUICE_FLOW_SHORT_PASSED)) {
		flow->flags |= SLUICE_FLOW_SHORT_PASSED;
		return PASS;
	}
	if (gate)
		return KEEP;
	// The daemon has not entered it yet. If its plaintext was seen, it will decide on the
	// request, unless the event was lost. If not, no probe told whose data this is.
	return wait_for_daemon(flow,
			       flow->write_end ? SLUICE_HEARTBEAT_STALE_NS : SLUICE_UNDECIDED_NS);
}

static __always_inline int decide_on_burst(const struct sluice_gate *gate,
					   const struct sluice_flow *flow, const struct records *r)
{
	if (!r->has_data && flow->short_bytes + r->short_bytes <= SHORT_BYTES_MOST)
		return PASS;
	return flow->burst <= gate->granted ? PASS : KEEP;
}

static __always_inline int decide(struct __sk_buff *skb, __u64 cookie, struct sluice_flow *flow,
				  const struct packet *p, struct records *r)
{
	const struct sluice_gate *gate;

	if (!(flow->flags & SLUICE_FLOW_HELLO)) {
		int verdict = first_segment(skb, cookie, flow, p);

		if (verdict != JUDGE)
			return verdict;
	}
	scan_records(skb, p, flow, r);
	gate = bpf_map_lookup_elem(&gates, &cookie);
	count_bursts(cookie, gate, flow, p, r);
	// An expired flow's past is unknown, whatever the daemon thinks by now.
	if (mode == SLUICE_MODE_OFF || flow->flags & SLUICE_FLOW_EXPIRED ||
	    (gate && gate->mode == SLUICE_GATE_PASS) || (daemon_is_dead() && !shut_on_failure))
		return PASS;
	// The ClientHello, or the rest of one.
	if (!flow->burst && seq_before(p->seq, flow->handshake_end))
		return gate ? PASS : may_say_hello(flow);
	if (mode != SLUICE_MODE_ENFORCE)
		return PASS;
	return gate && gate->mode == SLUICE_GATE_BURSTS ? decide_on_burst(gate, flow, r)
							: decide_on_plaintext(gate, flow, r);
}

static __always_inline void note_passed(struct sluice_flow *flow, const struct packet *p)
{
	if (!(flow->flags & SLUICE_FLOW_SENT) || seq_before(flow->acked, p->ack))
		flow->acked = p->ack;
	if (!p->payload_bytes)
		return;
	// Of a flow that is older than the daemon nothing was known until now.
	if (!(flow->flags & SLUICE_FLOW_SENT) ||
	    seq_before(flow->wire_end, p->seq + p->payload_bytes))
		flow->wire_end = p->seq + p->payload_bytes;
	flow->flags = (flow->flags | SLUICE_FLOW_SENT) & ~SLUICE_FLOW_HELD;
	flow->undecided_ns = 0; // the next wait, if there is one, has its own time
}

// The peer never gets the ACK that a kept segment carries, and would retransmit: the daemon sends
// it the headers alone.
static __always_inline void emit_twin(struct __sk_buff *skb, __u64 cookie, const struct packet *p)
{
	struct sluice_twin *twin = bpf_ringbuf_reserve(&events, sizeof(*twin), 0);
	__u32 length = ((p->header_bytes - 1) & 127) + 1; // 1..128, as 6.1's verifier can prove

	if (!twin) {
		count_lost(SLUICE_LOST_RING_FULL);
		return;
	}
	start_event(&twin->event, SLUICE_EVENT_TWIN, cookie);
	twin->family = p->family;
	twin->length = length;
	if (bpf_skb_load_bytes(skb, 0, twin->headers, length)) {
		bpf_ringbuf_discard(twin, 0);
		return;
	}
	bpf_ringbuf_submit(twin, 0);
}

static __always_inline void note_kept(struct __sk_buff *skb, __u64 cookie, struct sluice_flow *flow,
				      const struct packet *p)
{
	count(SLUICE_COUNT_REFUSED_SEGMENTS);
	if (!(flow->flags & SLUICE_FLOW_HELD)) {
		flow->flags |= SLUICE_FLOW_HELD;
		emit_plain(SLUICE_EVENT_HELD, cookie);
	}
	if ((flow->flags & SLUICE_FLOW_SENT) && seq_before(flow->acked, p->ack)) {
		flow->acked = p->ack;
		emit_twin(skb, cookie, p);
	}
}

SEC("cgroup_skb/egress")
int sluice_gate(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk; // one load: the verifier tracks this copy only
	struct records records = {};
	struct packet p = {};
	struct sluice_flow *flow;
	int is_new;
	__u64 cookie;

	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	if (!sk || sk->protocol != IPPROTO_TCP || !is_governed_port(bpf_ntohs(sk->dst_port)))
		return PASS;
	cookie = bpf_get_socket_cookie(skb);
	flow = bpf_map_lookup_elem(&flows, &cookie);
	if (!flow || read_packet(skb, &p) || p.flags & (TCP_FLAG_SYN_BIT | TCP_FLAG_RST_BIT))
		return PASS;
	// A retransmission passes, as it has passed before.
	is_new = p.payload_bytes &&
		 !(flow->flags & SLUICE_FLOW_SENT && seq_before(p.seq, flow->wire_end));
	if (is_new && decide(skb, cookie, flow, &p, &records) == KEEP) {
		note_kept(skb, cookie, flow, &p);
		return KEEP;
	}
	note_passed(flow, &p);
	if (is_new && flow->flags & SLUICE_FLOW_HELLO)
		note_records(flow, &p, &records);
	return PASS;
}
