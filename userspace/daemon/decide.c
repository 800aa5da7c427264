// What the governor says of a request. One is submitted when it is known well enough, and when all
// before it on its connection may go: what stands behind them in the socket cannot leave before
// them, and would hold a reservation meanwhile that it cannot use. What is decided moves the flow's
// gate.
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/trace.h"

const struct price *exchange_price(const struct daemon *d, const struct exchange *exchange)
{
	return policy_find_price(d->policy, exchange->request.model);
}

static bool counts_dollars(const struct policy *policy)
{
	for (size_t i = 0; i < policy->n_limits; i++)
		if (policy->limits[i].resource == RESOURCE_COST)
			return true;
	return false;
}

// A budget cannot bound what has no price: that must not go unsaid.
static void note_unpriced(struct daemon *d, const char *model)
{
	if (!*model || !counts_dollars(d->policy))
		return;
	d->n.unpriced++;
	if (d->unpriced_told_ns && clock_now_ns() - d->unpriced_told_ns < UNPRICED_S * NS_PER_S)
		return;
	d->unpriced_told_ns = clock_now_ns();
	log_warning("model %s has no price and counts nothing against budgets; give it one in a "
		    "file named by prices:",
		    model);
}

static void find_amounts(const struct daemon *d, const struct exchange *exchange,
			 double ret[N_RESOURCES])
{
	const struct request *r = &exchange->request;
	uint64_t whole = r->content_length == REQUEST_ABSENT ? 0 : r->content_length;

	cost_of_request(r, whole > r->body_bytes ? whole - r->body_bytes : 0,
			exchange_price(d, exchange), ret);
}

void exchange_amend(struct daemon *d, struct exchange *exchange)
{
	double amounts[N_RESOURCES];

	find_amounts(d, exchange, amounts);
	if (!exchange->in_governor || !memcmp(amounts, exchange->amounts, sizeof(amounts)))
		return;
	governor_amend(d->governor, exchange->id, amounts, clock_now_ns());
	memcpy(exchange->amounts, amounts, sizeof(amounts));
	exchange->flow->last_cost = amounts[RESOURCE_TOKENS];
}

// What is written stands in one queue in the socket, and leaves when the last of it may.
static void leave_or_detain(struct daemon *d, struct exchange *admitted)
{
	struct flow *flow = admitted->flow;
	struct exchange *exchange;

	if (flow_first_waiting(flow)) {
		admitted->is_detained = true;
		governor_detain(d->governor, admitted->id);
		return;
	}
	TAILQ_FOREACH (exchange, &flow->exchanges, in_flow) {
		if (exchange->is_detained)
			governor_leave(d->governor, exchange->id, admitted->decided_ns);
		exchange->is_detained = false;
	}
}

static void admit(struct daemon *d, struct exchange *exchange)
{
	struct flow *flow = exchange->flow;

	exchange->state = EXCHANGE_ADMITTED;
	exchange->decided_ns = clock_now_ns();
	if (!exchange->is_burst)
		exchange_amend(d, exchange);
	// Nobody reads its answer, or its stream was reset while it waited.
	exchange->response_complete |= flow->responses_unknown;
	flow->queued_ns += exchange->decided_ns - exchange->submitted_ns;
	d->n.admitted++;
	if (exchange->is_burst)
		flow->bursts_granted = exchange->stream;
	leave_or_detain(d, exchange);
	flow_update_gate(d, flow, exchange->decided_ns);
}

void exchange_let_go(struct daemon *d, struct exchange *exchange)
{
	if (governor_let_go(d->governor, exchange->id, clock_now_ns()))
		return;
	d->n.let_go++;
	admit(d, exchange);
}

// Ends its connection, and so all of its streams: those that are being answered come first.
static void refuse(struct daemon *d, struct exchange *exchange, const char *policy)
{
	struct flow *flow = exchange->flow;

	trace_add(d, exchange, NULL);
	if (flow_has_live_streams(flow) && d->policy->http2_max_hold_ns)
		flow->doomed_by = policy ? policy : "max_wait";
	else
		flow_abort(d, flow);
}

static void deny(struct daemon *d, struct exchange *exchange, const char *policy, bool timed_out)
{
	struct flow *flow = exchange->flow;

	exchange->in_governor = false; // a denied request holds nothing there
	if (timed_out)
		d->n.timed_out++;
	else
		d->n.denied++;
	log_info("%s: flow %llu, pid %u (%s), team %s, model %s, by %s",
		 timed_out ? "waited too long" : "denied", (unsigned long long)flow->number,
		 flow->born.tgid, flow->born.comm, flow->team ? flow->team->name : "-",
		 exchange->request.model, policy ? policy : "max_wait");
	if (d->policy->mode != MODE_ENFORCE)
		admit(d, exchange);
	else
		refuse(d, exchange, policy);
}

void exchange_submit(struct daemon *d, struct exchange *exchange)
{
	struct flow *flow = exchange->flow;
	struct decision decision;
	struct ask ask;

	find_amounts(d, exchange, exchange->amounts);
	if (!exchange_price(d, exchange))
		note_unpriced(d, exchange->request.model);
	if (!exchange->request_complete) // else they were kept when it was
		labels_keep(d, exchange);
	exchange_ask(d, exchange, &ask);
	exchange->submitted_ns = clock_now_ns();
	exchange->state = EXCHANGE_QUEUED;
	flow->last_cost = exchange->amounts[RESOURCE_TOKENS];
	memcpy(flow->last_model, exchange->request.model, sizeof(flow->last_model));
	if (governor_submit(d->governor, &ask, exchange->submitted_ns, &decision)) {
		log_warning("out of memory: a request of process %u passes", flow->born.tgid);
		admit(d, exchange);
		return;
	}
	exchange->in_governor = true;
	if (decision.verdict == VERDICT_ADMITTED)
		admit(d, exchange);
	else if (decision.verdict == VERDICT_DENIED)
		deny(d, exchange, decision.policy, false);
}

static bool has_detained(const struct flow *flow)
{
	const struct exchange *exchange;

	TAILQ_FOREACH (exchange, &flow->exchanges, in_flow)
		if (exchange->is_detained)
			return true;
	return false;
}

// Its program waits for the server to open the window (RFC 9113 §6.9), as it seems: 65,535 bytes at
// first, for all streams, and what would make the server open it is kept.
static bool has_no_window(const struct flow *flow, struct exchange *exchange)
{
	uint64_t now = clock_now_ns();

	if (conversation_protocol(flow->conversation) != PROTOCOL_HTTP2)
		return false;
	if (!exchange->grown_ns || exchange->body_bytes_seen != exchange->request.body_bytes) {
		exchange->body_bytes_seen = exchange->request.body_bytes;
		exchange->grown_ns = now;
	}
	return (exchange->body_bytes_seen || has_detained(flow)) &&
	       now - exchange->grown_ns >= DECIDE_QUIET_MS * NS_PER_MS;
}

// Whether what is known of a request that is still being written must do: enough of its body is
// in, or its program would never finish it, for the send buffer is full of what is held, or it
// waits for an answer to its head (100-continue, RFC 9110 §10.1.1), or for the stream's window.
static bool must_do(struct flow *flow, struct exchange *exchange, bool is_timeout)
{
	const struct request *r = &exchange->request;

	// Python's clients write the model behind the messages.
	if (r->body_bytes >= DECIDE_BODY_BYTES && (r->model[0] || !r->has_json_body))
		return true;
	if (!is_timeout || !exchange->head_ns)
		return false;
	if (has_no_window(flow, exchange))
		return true;
	return clock_now_ns() - exchange->head_ns >= DECIDE_LATEST_MS * NS_PER_MS ||
	       target_is_full(&flow->target);
}

// What it has begun with is no request yet: a head, or HTTP/2's preface, whose end does not come.
// Where a request may end is not known then, and what was written must not wait for it.
static bool is_stuck(struct flow *flow, const struct exchange *exchange)
{
	uint64_t begun_ns = exchange ? exchange->begun_ns : flow->bound_ns;

	if (exchange ? exchange->head_ns || exchange->request_complete
		     : conversation_protocol(flow->conversation) != PROTOCOL_UNKNOWN)
		return false;
	if (clock_now_ns() - begun_ns >= DECIDE_LATEST_MS * NS_PER_MS)
		return flow->is_held;
	if (!evtimer_pending(flow->timer, NULL))
		flow_set_timer(flow, DECIDE_LATEST_MS + 1);
	return false;
}

void flow_submit_if_due(struct daemon *d, struct flow *flow, bool is_timeout)
{
	struct exchange *exchange;

	if (!flow->opaque_reason && !flow->is_aborted && is_stuck(flow, flow_first_waiting(flow)))
		flow_set_opaque(d, flow, "what it has begun is no whole head of a request");
	while (!flow->opaque_reason && !flow->is_aborted && !flow->doomed_by &&
	       (exchange = flow_first_waiting(flow)) && exchange->state == EXCHANGE_READING) {
		const struct request *r =
			conversation_request(flow->conversation, exchange->stream);

		if (r && !exchange->request_complete)
			exchange->request = *r;
		if (!exchange->request_complete && !must_do(flow, exchange, is_timeout)) {
			if (exchange->head_ns && !evtimer_pending(flow->timer, NULL))
				flow_set_timer(flow, DECIDE_AFTER_MS);
			return;
		}
		exchange_submit(d, exchange);
		flow_drop_finished(d, flow);
	}
}

static void carry_out(struct daemon *d, const struct decision *decision)
{
	struct exchange *exchange = exchange_find(d, decision->id);
	struct flow *flow;

	if (!exchange || exchange->state != EXCHANGE_QUEUED)
		return;
	flow = exchange->flow;
	if (decision->verdict == VERDICT_ADMITTED)
		admit(d, exchange);
	else
		deny(d, exchange, decision->policy, decision->verdict == VERDICT_TIMED_OUT);
	flow_drop_finished(d, flow);
	flow_submit_if_due(d, flow, false); // what stood behind it
}

void daemon_govern(struct daemon *d)
{
	enum { BATCH = 64 };
	struct decision decisions[BATCH];
	uint64_t now = clock_now_ns(), next;
	struct timeval wait;
	size_t n;

	do {
		n = governor_run(d->governor, now, decisions, BATCH);
		for (size_t i = 0; i < n; i++)
			carry_out(d, &decisions[i]);
	} while (n == BATCH && clock_now_ns() - now < CONSUME_MS * NS_PER_MS);
	next = governor_next_ns(d->governor, now);
	if (next == UINT64_MAX) {
		evtimer_del(d->govern_timer);
		return;
	}
	next = next > now ? next - now : 0;
	wait.tv_sec = next / NS_PER_S;
	wait.tv_usec = (next % NS_PER_S + NS_PER_US - 1) / NS_PER_US;
	evtimer_add(d->govern_timer, &wait);
}

void daemon_on_govern_timer(evutil_socket_t fd, short what, void *daemon)
{
	(void)fd, (void)what;
	daemon_govern(daemon);
}
