// Requests and their responses: what the connection says becomes exchanges, and exchanges end.
#include <stdlib.h>
#include <string.h>
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

static struct exchange *find_stream(const struct flow *flow, uint64_t stream)
{
	struct exchange *exchange;

	TAILQ_FOREACH_REVERSE(exchange, &flow->exchanges, exchange_list, in_flow)
	if (exchange->stream == stream)
		return exchange;
	return NULL;
}

struct exchange *flow_first_waiting(const struct flow *flow)
{
	struct exchange *exchange;

	TAILQ_FOREACH (exchange, &flow->exchanges, in_flow)
		if (exchange->state < EXCHANGE_ADMITTED)
			return exchange;
	return NULL;
}

bool flow_has_live_streams(const struct flow *flow)
{
	const struct exchange *exchange;

	TAILQ_FOREACH (exchange, &flow->exchanges, in_flow)
		if (exchange->state >= EXCHANGE_ADMITTED && !exchange->response_complete)
			return true;
	return false;
}

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

// If it still waited, its program may send it again, and it keeps its place. What a stream has
// delivered so far was used, and no more.
void exchange_lost(struct daemon *d, struct exchange *exchange, const struct response *r)
{
	bool is_responding = exchange->state == EXCHANGE_RESPONDING;
	double used[N_RESOURCES];

	if (exchange->in_governor && exchange->state < EXCHANGE_ADMITTED) {
		trace_add(d, exchange, NULL);
		exchange->in_governor = false;
		governor_withdraw(d->governor, exchange->id, true, clock_now_ns());
		return;
	}
	if (exchange->is_burst)
		burst_charge_rest(d, exchange);
	if (exchange->in_governor)
		trace_add(d, exchange, r);
	if (exchange->response_complete || !is_responding || !r) {
		// What the provider has not been sent to the end, it does not count.
		exchange_over(d, exchange,
			      (exchange->request_complete && !exchange->is_detained) ||
				      is_responding,
			      NULL);
		return;
	}
	exchange_usage(d, exchange, r, used);
	exchange->flow->tokens_in += (uint64_t)used[RESOURCE_INPUT_TOKENS];
	exchange->flow->tokens_out += (uint64_t)used[RESOURCE_OUTPUT_TOKENS];
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

// Frees what is both asked and answered. HTTP/1.1 answers in order, and so do bursts.
void flow_drop_finished(struct daemon *d, struct flow *flow)
{
	bool in_order = conversation_protocol(flow->conversation) != PROTOCOL_HTTP2;
	struct exchange *exchange, *following;

	for (exchange = TAILQ_FIRST(&flow->exchanges); exchange; exchange = following) {
		bool is_finished = exchange->request_complete && exchange->response_complete &&
				   exchange->state >= EXCHANGE_ADMITTED;

		following = TAILQ_NEXT(exchange, in_flow);
		if (!is_finished && in_order)
			return;
		if (!is_finished)
			continue;
		exchange_over(d, exchange, true, NULL);
		if (in_order && !exchange->is_burst)
			flow->granted_by_past = exchange->request.end;
		exchange_free(d, exchange);
	}
}

struct exchange *exchange_begin(struct daemon *d, struct flow *flow, uint64_t stream)
{
	struct exchange *exchange = calloc(1, sizeof(*exchange));

	if (!exchange) {
		flow_set_opaque(d, flow, "out of memory");
		return NULL;
	}
	exchange->id = ++d->next_exchange;
	exchange->flow = flow;
	exchange->stream = stream;
	TAILQ_INSERT_TAIL(&flow->exchanges, exchange, in_flow);
	LIST_INSERT_HEAD(&d->exchanges[exchange->id % EXCHANGE_BUCKETS], exchange, in_bucket);
	flow->n_requests++;
	return exchange;
}

static void on_request(struct daemon *d, struct exchange *exchange, enum conversation_event event,
		       const struct request *r)
{
	struct flow *flow = exchange->flow;

	exchange->request = *r;
	if (event == REQUEST_STARTED)
		exchange->begun_ns = clock_now_ns();
	if (event == REQUEST_HEAD) {
		exchange->head_ns = clock_now_ns();
		flow_set_timer(flow, DECIDE_AFTER_MS);
	} else if (event == REQUEST_COMPLETE) {
		exchange->request_complete = true;
		if (exchange->state == EXCHANGE_READING)
			labels_keep(d, exchange);
		if (exchange->state >= EXCHANGE_ADMITTED) {
			exchange_amend(d, exchange);
			flow_update_gate(d, flow, clock_now_ns()); // its end is known now
		}
	}
}

// The stream was reset, by either side. One that waits behind the gate cannot be taken out of the
// socket any more: it stays in the queue, and is paid for when it leaves.
static void on_stream_lost(struct daemon *d, struct exchange *exchange, const struct response *r)
{
	log_debug("flow %llu: a stream was reset, or its connection given up",
		  (unsigned long long)exchange->flow->number);
	if (exchange->state >= EXCHANGE_ADMITTED)
		exchange_lost(d, exchange, r);
	exchange->request_complete = exchange->response_complete = true;
	if (exchange->state == EXCHANGE_READING)
		labels_keep(d, exchange);
}

static void on_responses_unknown(struct daemon *d, struct flow *flow)
{
	struct exchange *exchange;

	flow->responses_unknown = true;
	log_debug("flow %llu: its answers cannot be told apart any more",
		  (unsigned long long)flow->number);
	TAILQ_FOREACH (exchange, &flow->exchanges, in_flow) {
		if (exchange->state < EXCHANGE_ADMITTED || exchange->response_complete)
			continue;
		trace_add(d, exchange, NULL);
		exchange->response_complete = true;
	}
	flow_drop_finished(d, flow);
}

static void on_response(struct daemon *d, struct exchange *exchange, enum conversation_event event,
			const struct response *r)
{
	switch (event) {
	case RESPONSE_HEAD:
		answer_begin(d, exchange, r);
		break;
	case RESPONSE_COMPLETE:
		answer_end(d, exchange, r);
		break;
	case UPGRADED_WEBSOCKET: // what it has reserved stands; its turns say what they took
		exchange->state = EXCHANGE_RESPONDING;
		exchange->request_complete = true;
		exchange_over(d, exchange, true, NULL);
		flow_update_gate(d, exchange->flow, clock_now_ns());
		break;
	case WEBSOCKET_TURN:
		answer_turn(d, exchange, r);
		break;
	default:
		on_stream_lost(d, exchange, r);
		break;
	}
}

void exchange_on_event(void *owner, enum conversation_event event, uint64_t stream,
		       const struct request *request, const struct response *response)
{
	struct flow *flow = owner;
	struct daemon *d = the_daemon;
	struct exchange *exchange;

	if (flow->opaque_reason || flow->is_aborted)
		return;
	if (event == CONVERSATION_OPAQUE) {
		flow_set_opaque(d, flow, conversation_why(flow->conversation));
		return;
	}
	if (event == RESPONSES_UNKNOWN) {
		on_responses_unknown(d, flow);
		return;
	}
	exchange = event == REQUEST_STARTED ? exchange_begin(d, flow, stream)
					    : find_stream(flow, stream);
	if (!exchange)
		return;
	if (event <= REQUEST_COMPLETE)
		on_request(d, exchange, event, request);
	else
		on_response(d, exchange, event, response);
}
