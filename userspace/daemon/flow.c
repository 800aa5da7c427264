// Connections: birth at the ClientHello, binding, opaqueness, end.
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "govern/teams.h"

struct flow *flow_find(struct daemon *d, uint64_t cookie)
{
	struct flow *flow;

	LIST_FOREACH (flow, &d->flows[cookie % FLOW_BUCKETS], in_bucket)
		if (flow->target.cookie == cookie)
			return flow;
	return NULL;
}

void flow_each(struct daemon *d, void (*fn)(struct daemon *d, struct flow *flow, void *arg),
	       void *arg)
{
	for (int i = 0; i < FLOW_BUCKETS; i++) {
		struct flow *flow, *following;

		for (flow = LIST_FIRST(&d->flows[i]); flow; flow = following) {
			following = LIST_NEXT(flow, in_bucket);
			fn(d, flow, arg);
		}
	}
}

static bool is_host_of(const struct provider *provider, const char *host, const char *address)
{
	for (char **h = provider->hosts; *h; h++) {
		const char *dot = strchr(host, '.');

		if (!strcmp(*h, host) || !strcmp(*h, address) ||
		    ((*h)[0] == '*' && dot && !strcmp(*h + 1, dot)))
			return true;
	}
	return false;
}

static void address_text(const uint8_t address[16], char *ret, size_t bytes)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (!memcmp(address, mapped, sizeof(mapped)))
		inet_ntop(AF_INET, address + 12, ret, bytes);
	else
		inet_ntop(AF_INET6, address, ret, bytes);
}

// Names that depend on the policy: who the process belongs to, whose host it calls.
void flow_assign_team(struct daemon *d, struct flow *flow)
{
	flow->team = team_of_process(d->policy, flow->identity.cgroup, flow->born.uid,
				     flow->identity.user);
	flow->provider = "";
	for (size_t i = 0; i < d->policy->n_providers; i++)
		if (is_host_of(&d->policy->providers[i], flow->host, flow->address)) {
			flow->provider = d->policy->providers[i].name;
			break;
		}
}

static struct flow *flow_new(struct daemon *d, const struct sluice_hello *hello)
{
	struct flow *flow = calloc(1, sizeof(*flow));

	if (!flow)
		return NULL;
	TAILQ_INIT(&flow->exchanges);
	flow->last = (struct timing){UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
	flow->conversation = conversation_new(exchange_on_event, flow);
	flow->timer = evtimer_new(d->base, flow_on_timer, flow);
	flow->process = process_get(d, hello->flow.tgid, true);
	if (!flow->conversation || !flow->timer || !flow->process ||
	    conversation_keep_headers(flow->conversation, d->kept_headers)) {
		conversation_free(flow->conversation);
		if (flow->timer)
			event_free(flow->timer);
		free(flow);
		return NULL;
	}
	return flow;
}

static void describe(struct daemon *d, struct flow *flow, const struct sluice_hello *hello)
{
	flow->number = ++d->next_flow;
	flow->born = hello->flow;
	memcpy(flow->host, hello->host, sizeof(flow->host));
	flow->host[sizeof(flow->host) - 1] = 0;
	address_text(hello->flow.address, flow->address, sizeof(flow->address));
	if (!flow->host[0])
		strcpy(flow->host, flow->address);
	identity_read(&flow->identity, hello->flow.tgid, hello->flow.uid);
	flow->target = (struct target){
		.cookie = hello->event.cookie,
		.tgid = hello->flow.tgid,
		.fd_number = -1,
		.netns = netns_get(&d->namespaces, hello->flow.netns, hello->flow.tgid),
		.family = hello->flow.family,
		.port = hello->flow.port,
		.local_port = hello->local_port,
	};
	memcpy(flow->target.address, hello->flow.address, 16);
	memcpy(flow->target.local_address, hello->local_address, 16);
	flow_assign_team(d, flow);
}

static void wait_for_probes(struct daemon *d, struct flow *flow)
{
	process_probe(d, flow->process);
	flow_set_timer(flow, HELLO_MS);
}

struct flow *flow_add(struct daemon *d, const struct sluice_hello *hello)
{
	struct flow *flow = flow_new(d, hello);

	if (!flow)
		return NULL;
	describe(d, flow, hello);
	LIST_INSERT_HEAD(&d->flows[hello->event.cookie % FLOW_BUCKETS], flow, in_bucket);
	LIST_INSERT_HEAD(&flow->process->flows, flow, in_process);
	d->n_flows++;
	return flow;
}

// Whether it may not speak at all.
static bool is_shut_out(struct daemon *d, const struct flow *flow)
{
	if (!flow->team || !flow->team->deny)
		return false;
	d->n.denied++;
	return d->policy->mode == MODE_ENFORCE;
}

void flow_begin(struct daemon *d, const struct sluice_hello *hello)
{
	struct flow *flow = flow_find(d, hello->event.cookie);

	if (flow && !memcmp(flow->born.random, hello->flow.random, SLUICE_RANDOM_BYTES))
		return; // its second ClientHello, after a HelloRetryRequest
	if (flow) {     // the socket was connected anew
		flow->is_replaced = true;
		flow_free(d, flow);
	}
	flow = flow_add(d, hello);
	if (!flow) { // nothing is known of it: do not keep what could never be released
		log_warning("out of memory: a connection of process %u passes unseen",
			    hello->flow.tgid);
		kernel_forget_flow(d->kernel, hello->event.cookie, hello->flow.random);
		return;
	}
	if (is_shut_out(d, flow))
		flow_abort(d, flow);
	else if (!hello->held) {
		process_probe(d, flow->process);
		process_probe_again(d, flow->process);
	} else if (flow->process->state == PROCESS_PROBED)
		flow_push(d, flow); // it became so since
	else
		wait_for_probes(d, flow);
}

// From now on its plaintext is read.
void flow_bind(struct daemon *d, struct flow *flow, struct library *library)
{
	struct sluice_flow seen;

	if (flow->is_bound || flow->opaque_reason)
		return;
	if (kernel_read_flow(d->kernel, flow->target.cookie, &seen) ||
	    seen.flags & SLUICE_FLOW_EXPIRED) {
		flow_set_opaque(d, flow, "the daemon was too late for it");
		return;
	}
	flow->is_bound = true;
	flow->bound_ns = clock_now_ns();
	flow->library = library;
	flow_set_timer(flow, 0);
	if (flow_set_gate(d, flow, SLUICE_GATE_GOVERNED, 0))
		flow_set_opaque(d, flow, "the kernel's table of flows is full");
}

// HTTP/2's preface is no request, and from there the kernel follows the frames. Where it does not,
// they wait until they have been read.
static void let_frames_go(struct daemon *d, struct flow *flow)
{
	if (flow->granted >= conversation_reached(flow->conversation))
		return;
	if (!flow->granted || flow->is_held || flow_is_kept(d, flow))
		flow_update_gate(d, flow, 0);
}

void flow_take(struct daemon *d, struct flow *flow, const struct sluice_chunk *chunk)
{
	struct conversation *c = flow->conversation;
	uint64_t end = chunk->offset + chunk->length;

	if (flow->opaque_reason || flow->is_aborted)
		return;
	if (chunk->tgid != flow->target.tgid) // a child of its process has the socket, too
		flow->target.other_tgid = chunk->tgid;
	if (chunk->direction == SLUICE_READ) {
		if (!flow->responses_unknown)
			conversation_received(c, chunk->offset, chunk->data, chunk->length);
		if (!flow->responses_unknown && chunk->skipped)
			conversation_received_unseen(c, end, chunk->skipped);
		flow_drop_finished(d, flow);
		flow_submit_if_due(d, flow, false); // what one that left all the same kept waiting
		return;
	}
	conversation_sent(c, chunk->offset, chunk->data, chunk->length);
	if (chunk->skipped)
		conversation_sent_unseen(c, end, chunk->skipped);
	flow_submit_if_due(d, flow, false);
	if (conversation_protocol(c) == PROTOCOL_HTTP2)
		let_frames_go(d, flow);
}

// Whether what it writes is the rest of a request that was let go.
static bool is_writing_rest(const struct flow *flow)
{
	const struct exchange *last = TAILQ_LAST(&flow->exchanges, exchange_list);

	if (flow_first_waiting(flow))
		return false;
	for (; last; last = TAILQ_PREV(last, exchange_list, in_flow))
		if (!last->request_complete)
			return true;
	return false;
}

// How many bursts have left, or were let go.
static uint32_t bursts_past(const struct sluice_flow *seen, bool is_writing)
{
	bool is_rest = is_writing && !(seen->flags & SLUICE_FLOW_UNSEEN);

	return seen->burst && seen->flags & SLUICE_FLOW_HELD && !is_rest ? seen->burst - 1
									 : seen->burst;
}

static void govern_by_bursts(struct daemon *d, struct flow *flow, bool is_writing)
{
	struct sluice_flow seen = {};

	kernel_read_flow(d->kernel, flow->target.cookie, &seen);
	flow->bursts_begun = flow->bursts_granted = bursts_past(&seen, is_writing);
	flow->granted = flow->bursts_granted;
	if (flow_set_gate(d, flow, SLUICE_GATE_BURSTS, flow->granted)) {
		kernel_forget_flow(d->kernel, flow->target.cookie, flow->born.random);
		return;
	}
	flow->counts_bursts = true;
	// From now on the kernel tells of those that begin.
	if (!kernel_read_flow(d->kernel, flow->target.cookie, &seen))
		burst_take(d, flow, seen.burst);
}

// What Sluice does not understand is said to be so, and is governed by what can be seen, let pass,
// or refused, as the policy says.
void flow_set_opaque(struct daemon *d, struct flow *flow, const char *reason)
{
	bool is_writing = is_writing_rest(flow);
	struct exchange *exchange;

	if (flow->opaque_reason || flow->is_aborted)
		return;
	flow->opaque_reason = reason;
	flow->doomed_by = NULL;
	flow_set_timer(flow, 0);
	d->n.opaque++;
	log_debug("flow %" PRIu64 " (pid %u, %s) is opaque: %s", flow->number, flow->born.tgid,
		  flow->born.comm, reason);
	TAILQ_FOREACH (exchange, &flow->exchanges, in_flow) {
		exchange_over(d, exchange,
			      exchange->state >= EXCHANGE_ADMITTED && !exchange->is_detained, NULL);
		exchange->state = EXCHANGE_ADMITTED; // nothing more is known of it
		exchange->request_complete = exchange->response_complete = true;
	}
	if (d->policy->opaque == OPAQUE_DENY && d->policy->mode == MODE_ENFORCE) {
		d->n.denied++;
		flow_abort(d, flow);
		return;
	}
	if (d->policy->opaque == OPAQUE_GOVERN)
		govern_by_bursts(d, flow, is_writing);
	else if (flow_set_gate(d, flow, SLUICE_GATE_PASS, SLUICE_GRANT_ALL))
		kernel_forget_flow(d->kernel, flow->target.cookie, flow->born.random);
	flow_push(d, flow);
}

// The program has closed the socket, or died. What it asked for and nobody waits for is never
// sent: the orphaned connection is destroyed while its gate is still shut.
void flow_end(struct daemon *d, struct flow *flow)
{
	if (flow->is_held && flow_first_waiting(flow) && d->policy->mode == MODE_ENFORCE &&
	    !flow->is_aborted) {
		int err = target_destroy(&flow->target);

		if (err && err != -ENOENT)
			log_warning("cannot destroy the orphaned connection of process %u: %s",
				    flow->born.tgid, strerror(-err));
	}
	conversation_end(flow->conversation);
	flow_free(d, flow);
}

void flow_free(struct daemon *d, struct flow *flow)
{
	struct process *process = flow->process;
	struct exchange *exchange;

	while ((exchange = TAILQ_FIRST(&flow->exchanges))) {
		exchange_lost(d, exchange,
			      conversation_response(flow->conversation, exchange->stream));
		exchange_free(d, exchange);
	}
	if (flow->is_replaced)
		kernel_forget_past(d->kernel, flow->target.cookie, flow->born.random);
	else
		kernel_forget_flow(d->kernel, flow->target.cookie, flow->born.random);
	event_free(flow->timer);
	if (flow->has_twin)
		STAILQ_REMOVE(&d->twins, flow, flow, in_twins);
	conversation_free(flow->conversation);
	netns_put(&d->namespaces, flow->target.netns);
	LIST_REMOVE(flow, in_bucket);
	LIST_REMOVE(flow, in_process);
	d->n_flows--;
	free(flow);
	process_release_if_unused(d, process);
}

const char *flow_protocol(const struct flow *flow)
{
	static const char *const names[] = {
		[PROTOCOL_HTTP1] = "http/1.1",
		[PROTOCOL_HTTP2] = "h2",
		[PROTOCOL_WEBSOCKET] = "websocket",
	};

	return flow->opaque_reason ? NULL : names[conversation_protocol(flow->conversation)];
}

const char *flow_state(const struct flow *flow)
{
	const struct exchange *exchange = TAILQ_FIRST(&flow->exchanges);

	if (flow_first_waiting(flow))
		return "queued";
	if (flow->opaque_reason)
		return "opaque";
	if (!exchange)
		return "idle";
	return exchange->state == EXCHANGE_RESPONDING ? "responding" : "admitted";
}
