// What a response tells the governor: the provider's own view of its limits, and what the request
// took in the end.
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/trace.h"

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

static void learn(struct daemon *d, uint64_t id, const struct response *r)
{
	struct outcome outcome = {
		.requests = told_by(&r->requests),
		.tokens = told_by(&r->tokens),
		.images = told_by(&r->images),
	};

	if (r->status == 429)
		learn_of_refusal(r, &outcome);
	governor_learn(d->governor, id, &outcome, clock_now_ns());
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

void answer_begin(struct daemon *d, struct exchange *exchange, const struct response *r)
{
	if (exchange->state < EXCHANGE_ADMITTED) {
		// It left all the same: mode observe, or a late daemon.
		exchange->flow->doomed_by = NULL;
		if (exchange->in_governor) {
			exchange_over(d, exchange, true, NULL);
			d->n.observed_waits++;
		}
		if (!exchange->submitted_ns)
			exchange->submitted_ns = clock_now_ns();
	}
	exchange->state = EXCHANGE_RESPONDING;
	exchange->answered_ns = clock_now_ns();
	if (exchange->in_governor && was_refused(r))
		give_back_charge(d, exchange);
	if (exchange->in_governor && r->status != 429) // a 429 says more in its body
		learn(d, exchange->id, r);
	flow_update_gate(d, exchange->flow, clock_now_ns()); // may free the exchange
}

static struct timing timing_of(const struct exchange *exchange, const struct response *r)
{
	uint64_t left_ns = exchange->decided_ns ? exchange->decided_ns : exchange->submitted_ns;

	return (struct timing){
		.held_ns = left_ns - exchange->submitted_ns,
		.first_byte_ns = exchange->answered_ns - left_ns,
		.response_ns = clock_now_ns() - left_ns,
		.provider_ms = r->processing_ms,
	};
}

void answer_end(struct daemon *d, struct exchange *exchange, const struct response *r)
{
	struct flow *flow = exchange->flow;
	double used[N_RESOURCES];

	if (exchange->in_governor && r->status == 429)
		learn(d, exchange->id, r);
	exchange_learn_usage(d, exchange, r);
	exchange_usage(d, exchange, r, used);
	flow->tokens_in += (uint64_t)used[RESOURCE_INPUT_TOKENS];
	flow->tokens_out += (uint64_t)used[RESOURCE_OUTPUT_TOKENS];
	flow->last = timing_of(exchange, r);
	exchange->response_complete = true;
	trace_add(d, exchange, r);
	exchange_over(d, exchange, true, used);
	flow_drop_finished(d, flow);
}

// One that the governor would let wait has been answered already: it draws a debt, and what comes
// next waits for it. If a limit denies it, the connection has had its last turn.
void answer_turn(struct daemon *d, struct exchange *upgrade, const struct response *r)
{
	struct flow *flow = upgrade->flow;
	struct exchange turn = *upgrade;
	struct decision decision;
	struct ask ask;

	memset(turn.amounts, 0, sizeof(turn.amounts));
	turn.amounts[RESOURCE_REQUESTS] = 1;
	cost_of_usage(r, exchange_price(d, &turn), turn.amounts);
	turn.amounts[RESOURCE_TOKENS] = turn.amounts[RESOURCE_TOTAL_TOKENS];
	turn.id = ++d->next_exchange;
	if (r->model[0]) // else it stands in the URL
		snprintf(turn.request.model, sizeof(turn.request.model), "%s", r->model);
	turn.request.body_hash = 0; // it is no retry of another
	turn.submitted_ns = turn.decided_ns = clock_now_ns();
	exchange_ask(d, &turn, &ask);
	d->n.turns++;
	flow->n_requests++;
	flow->tokens_in += (uint64_t)turn.amounts[RESOURCE_INPUT_TOKENS];
	flow->tokens_out += (uint64_t)turn.amounts[RESOURCE_OUTPUT_TOKENS];
	trace_add(d, &turn, r);
	if (governor_submit(d->governor, &ask, turn.submitted_ns, &decision))
		return;
	if (decision.verdict == VERDICT_DENIED) {
		d->n.denied++;
		log_info("denied: flow %llu, pid %u (%s), its WebSocket has used up %s",
			 (unsigned long long)flow->number, flow->born.tgid, flow->born.comm,
			 decision.policy);
		if (d->policy->mode == MODE_ENFORCE)
			flow_abort(d, flow);
		return;
	}
	if (decision.verdict == VERDICT_QUEUED)
		governor_let_go(d->governor, turn.id, turn.submitted_ns);
	learn(d, turn.id, r);
	governor_settle(d->governor, turn.id, turn.amounts, turn.submitted_ns);
}
