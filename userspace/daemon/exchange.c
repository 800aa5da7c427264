// Requests and their responses. A request is submitted to the governor when it is known well
// enough; what the governor decides moves the flow's gate.
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/trace.h"

struct exchange *exchange_find(struct daemon *d, uint64_t id)
{
	struct exchange *exchange;

	LIST_FOREACH (exchange, &d->exchanges[id % EXCHANGE_BUCKETS], in_bucket)
		if (exchange->id == id)
			return exchange;
	return NULL;
}

// The governor has nothing more to do with it. was_sent: its bytes have left, or may have. used:
// what it took in the end; NULL: not known, what was reserved stands.
void exchange_over(struct daemon *d, struct exchange *exchange, bool was_sent, const double *used)
{
	uint64_t now = clock_now_ns();

	if (!exchange->in_governor)
		return;
	exchange->in_governor = false;
	if (exchange->state < EXCHANGE_ADMITTED)
		governor_withdraw(d->governor, exchange->id, false, now);
	else if (was_sent)
		governor_settle(d->governor, exchange->id, used, now);
	else
		governor_refund(d->governor, exchange->id, now);
}

static const struct price *price_of(const struct daemon *d, const struct exchange *exchange)
{
	return policy_find_price(d->policy, exchange->request.model);
}

// Its connection has ended before its response was whole. If it still waited, its program may send
// it again, and it keeps its place. What a stream has delivered so far was used, and no more.
void exchange_lost(struct daemon *d, struct exchange *exchange)
{
	bool is_responding = exchange->state == EXCHANGE_RESPONDING;
	const struct response *r =
		is_responding ? response_reader_current(exchange->flow->responses) : NULL;
	double used[N_RESOURCES];

	if (exchange->in_governor && exchange->state < EXCHANGE_ADMITTED) {
		trace_add(d, exchange, NULL);
		exchange->in_governor = false;
		governor_withdraw(d->governor, exchange->id, true, clock_now_ns());
		return;
	}
	if (exchange->in_governor)
		trace_add(d, exchange, r);
	if (exchange->response_complete || !r) {
		// What the provider has not been sent to the end, it does not count.
		exchange_over(d, exchange, exchange->request_complete || is_responding, NULL);
		return;
	}
	memcpy(used, exchange->amounts, sizeof(used));
	cost_of_usage(r, price_of(d, exchange), used);
	exchange_over(d, exchange, true, used);
}

void exchange_free(struct daemon *d, struct exchange *exchange)
{
	(void)d;
	TAILQ_REMOVE(&exchange->flow->exchanges, exchange, in_flow);
	LIST_REMOVE(exchange, in_bucket);
	labels_release(exchange);
	free(exchange);
}

// Frees what is both asked and answered, from the front.
static void drop_finished(struct daemon *d, struct flow *flow)
{
	struct exchange *exchange;

	while ((exchange = TAILQ_FIRST(&flow->exchanges)) && exchange->request_complete &&
	       exchange->response_complete) {
		exchange_over(d, exchange, true, NULL);
		flow->granted_by_past = exchange->request.end;
		exchange_free(d, exchange);
	}
}

static void begin_exchange(struct daemon *d, struct flow *flow)
{
	struct exchange *exchange = calloc(1, sizeof(*exchange));

	flow->reading = exchange;
	if (!exchange)
		return; // exchange_on_request() makes the flow opaque
	exchange->id = ++d->next_exchange;
	exchange->flow = flow;
	TAILQ_INSERT_TAIL(&flow->exchanges, exchange, in_flow);
	LIST_INSERT_HEAD(&d->exchanges[exchange->id % EXCHANGE_BUCKETS], exchange, in_bucket);
	flow->n_requests++;
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
	uint64_t whole = 0;

	if (r->end != REQUEST_UNKNOWN_LENGTH && r->body_begin)
		whole = r->end - r->body_begin;
	cost_of_request(r, whole > r->body_bytes ? whole - r->body_bytes : 0, price_of(d, exchange),
			ret);
}

// It was decided on before all of it was known.
static void amend_cost(struct daemon *d, struct exchange *exchange)
{
	double amounts[N_RESOURCES];

	find_amounts(d, exchange, amounts);
	if (!exchange->in_governor || !memcmp(amounts, exchange->amounts, sizeof(amounts)))
		return;
	governor_amend(d->governor, exchange->id, amounts, clock_now_ns());
	memcpy(exchange->amounts, amounts, sizeof(amounts));
	exchange->flow->last_cost = amounts[RESOURCE_TOKENS];
}

static void admit(struct daemon *d, struct exchange *exchange)
{
	struct flow *flow = exchange->flow;

	exchange->state = EXCHANGE_ADMITTED;
	exchange->decided_ns = clock_now_ns();
	amend_cost(d, exchange);
	exchange->response_complete = flow->responses_unknown;
	flow->queued_ns += exchange->decided_ns - exchange->submitted_ns;
	d->n.admitted++;
	flow_update_gate(d, flow, exchange->decided_ns);
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
	if (d->policy->mode != MODE_ENFORCE) {
		admit(d, exchange);
		return;
	}
	flow_abort(d, flow);
	trace_add(d, exchange, NULL);
}

static void submit(struct daemon *d, struct exchange *exchange)
{
	struct flow *flow = exchange->flow;
	struct decision decision;
	struct ask ask;

	find_amounts(d, exchange, exchange->amounts);
	if (!price_of(d, exchange))
		note_unpriced(d, exchange->request.model);
	if (!exchange->request_complete) // else they were kept when it was
		labels_keep(d, exchange);
	exchange_ask(d, exchange, &ask);
	exchange->submitted_ns = clock_now_ns();
	exchange->state = EXCHANGE_QUEUED;
	flow->last_cost = exchange->amounts[RESOURCE_TOKENS];
	memcpy(flow->last_model, exchange->request.model, sizeof(flow->last_model));
	if (governor_submit(d->governor, &ask, exchange->submitted_ns, &decision)) {
		flow_set_opaque(d, flow, "out of memory");
		return;
	}
	exchange->in_governor = true;
	if (decision.verdict == VERDICT_ADMITTED)
		admit(d, exchange);
	else if (decision.verdict == VERDICT_DENIED)
		deny(d, exchange, decision.policy, false);
}

// Whether what is known of a request that is still being written must do: enough of its body is
// in, or its program would never finish it, for the send buffer is full of what is held, or it
// waits for an answer to its head (100-continue, RFC 9110 §10.1.1).
static bool must_do(struct flow *flow, const struct exchange *exchange, bool is_timeout)
{
	const struct request *r = &exchange->request;

	if (r->body_bytes >= DECIDE_BODY_BYTES)
		return true;
	if (!is_timeout || !exchange->head_ns)
		return false;
	return clock_now_ns() - exchange->head_ns >= DECIDE_LATEST_MS * NS_PER_MS ||
	       target_is_full(&flow->target);
}

void exchange_submit_if_due(struct daemon *d, struct flow *flow, bool is_timeout)
{
	struct exchange *exchange, *following;

	for (exchange = TAILQ_FIRST(&flow->exchanges); exchange; exchange = following) {
		following = TAILQ_NEXT(exchange, in_flow);
		if (exchange->state != EXCHANGE_READING || flow->opaque_reason || flow->is_aborted)
			continue;
		if (exchange == flow->reading && request_reader_current(flow->requests))
			exchange->request = *request_reader_current(flow->requests);
		if (exchange->request_complete || must_do(flow, exchange, is_timeout))
			submit(d, exchange);
		else if (is_timeout && exchange->head_ns)
			flow_set_timer(flow, DECIDE_AFTER_MS);
	}
	drop_finished(d, flow);
}

void exchange_on_request(void *owner, enum request_event event, const struct request *r)
{
	struct flow *flow = owner;
	struct daemon *d = the_daemon;

	if (event == REQUEST_STARTED)
		begin_exchange(d, flow);
	if (event == REQUEST_OPAQUE || !flow->reading) {
		flow->reading = NULL;
		flow_set_opaque(d, flow, "not HTTP/1.1, or not all of it was seen");
		return;
	}
	flow->reading->request = *r;
	if (event == REQUEST_HEAD) {
		response_reader_expect(flow->responses, r->method);
		flow->reading->head_ns = clock_now_ns();
		flow_set_timer(flow, DECIDE_AFTER_MS);
	} else if (event == REQUEST_COMPLETE) {
		flow->reading->request_complete = true;
		if (flow->reading->state == EXCHANGE_READING)
			labels_keep(d, flow->reading);
		flow_set_timer(flow, 0);
		if (flow->reading->state >= EXCHANGE_ADMITTED) {
			amend_cost(d, flow->reading);
			flow_update_gate(d, flow, clock_now_ns()); // its end is known now
		}
		flow->reading = NULL;
	}
}

static struct told told_by(const struct ratelimit_headers *h)
{
	return (struct told){
		.limit = h->limit == RESPONSE_ABSENT ? -1 : (double)h->limit,
		.remaining = h->remaining == RESPONSE_ABSENT ? -1 : (double)h->remaining,
		.reset_s = h->reset_ms == RESPONSE_ABSENT ? -1 : (double)h->reset_ms / 1e3,
	};
}

static void learn_of_refusal(const struct response *r, struct outcome *outcome)
{
	uint64_t wait_ms =
		r->retry_after_ms != RESPONSE_ABSENT ? r->retry_after_ms : r->retry_message_ms;

	outcome->quota_is_exhausted = r->quota_is_exhausted;
	if (wait_ms != RESPONSE_ABSENT)
		outcome->shut_ns = wait_ms * NS_PER_MS;
	outcome->is_429_on[RESOURCE_REQUESTS] = r->refused_by == LIMIT_REQUESTS;
	outcome->is_429_on[RESOURCE_TOKENS] = r->refused_by == LIMIT_TOKENS;
	outcome->is_429_on[RESOURCE_IMAGES] = r->refused_by == LIMIT_IMAGES;
}

static void learn(struct daemon *d, struct exchange *exchange, const struct response *r)
{
	struct outcome outcome = {
		.requests = told_by(&r->requests),
		.tokens = told_by(&r->tokens),
		.images = told_by(&r->images),
	};

	if (r->status == 429)
		learn_of_refusal(r, &outcome);
	governor_learn(d->governor, exchange->id, &outcome, clock_now_ns());
}

static struct exchange *first_unanswered(struct flow *flow)
{
	struct exchange *exchange;

	TAILQ_FOREACH (exchange, &flow->exchanges, in_flow)
		if (!exchange->response_complete)
			return exchange;
	return NULL;
}

// It was refused as wrong (RFC 9110 section 15.5): it counts as a request, and nothing else of it
// was charged. Else an absurd max_tokens would be a debt for everybody. Should the provider have
// charged it all the same, its headers, read next, say so.
static bool was_refused(const struct response *r)
{
	return r->status >= 400 && r->status < 500 && r->status != 429;
}

static void give_back_charge(struct daemon *d, struct exchange *exchange)
{
	double amounts[N_RESOURCES];

	memcpy(amounts, exchange->amounts, sizeof(amounts));
	amounts[RESOURCE_TOKENS] = amounts[RESOURCE_IMAGES] = 0;
	governor_amend(d->governor, exchange->id, amounts, clock_now_ns());
}

static void begin_response(struct daemon *d, struct exchange *exchange, const struct response *r)
{
	if (exchange->state ==
	    EXCHANGE_QUEUED) { // it left all the same: mode observe, or a late daemon
		exchange_over(d, exchange, true, NULL);
		d->n.observed_waits++;
	}
	exchange->state = EXCHANGE_RESPONDING;
	flow_update_gate(d, exchange->flow, clock_now_ns());
	if (exchange->in_governor && was_refused(r))
		give_back_charge(d, exchange);
	if (exchange->in_governor && r->status != 429) // a 429 says more in its body
		learn(d, exchange, r);
}

static void end_response(struct daemon *d, struct exchange *exchange, const struct response *r)
{
	struct flow *flow = exchange->flow;
	double used[N_RESOURCES];

	if (exchange->in_governor && r->status == 429)
		learn(d, exchange, r);
	memcpy(used, exchange->amounts, sizeof(used));
	cost_of_usage(r, price_of(d, exchange), used);
	flow->tokens_in += (uint64_t)used[RESOURCE_INPUT_TOKENS];
	flow->tokens_out += (uint64_t)used[RESOURCE_OUTPUT_TOKENS];
	exchange->response_complete = true;
	trace_add(d, exchange, r);
	exchange_over(d, exchange, true, used);
	drop_finished(d, flow);
}

void exchange_on_response(void *owner, enum response_event event, const struct response *r)
{
	struct flow *flow = owner;
	struct daemon *d = the_daemon;
	struct exchange *exchange = first_unanswered(flow);

	if (event == RESPONSE_UPGRADED) {
		flow_set_opaque(d, flow, "upgraded to another protocol");
	} else if (event == RESPONSE_OPAQUE || !exchange) {
		flow->responses_unknown = true;
		TAILQ_FOREACH (exchange, &flow->exchanges, in_flow)
			exchange->response_complete |= exchange->state >= EXCHANGE_ADMITTED;
		drop_finished(d, flow);
	} else if (event == RESPONSE_HEAD) {
		begin_response(d, exchange, r);
	} else {
		end_response(d, exchange, r);
	}
}

static void carry_out(struct daemon *d, const struct decision *decision)
{
	struct exchange *exchange = exchange_find(d, decision->id);

	if (!exchange || exchange->state != EXCHANGE_QUEUED)
		return;
	if (decision->verdict == VERDICT_ADMITTED)
		admit(d, exchange);
	else
		deny(d, exchange, decision->policy, decision->verdict == VERDICT_TIMED_OUT);
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
