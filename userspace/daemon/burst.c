// Requests of which only TLS records are seen: those of programs whose TLS library has no known
// probe points (Java, rustls, stripped static programs), and of connections that were there before
// the daemon or are not understood any more.
//
// The kernel counts bursts of application data, each the first since the server has answered
// (bpf/records.bpf.h), and keeps them until they are granted, one by one. What a burst asks for is
// known by its size alone, so it is looked at until its program has written no more for a while.
// What is written later, when it has been let go already, is charged when the next one begins.
#include <stdio.h>
#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/trace.h"

enum {
	QUIET_MS = DECIDE_AFTER_MS, // nothing more was written for so long: it is whole
	WHOLE_AT_LATEST_MS = 200,
	HEAD_BYTES = 250, // of a request's head and its JSON around the text, about
};

static uint64_t data_bytes_of(struct daemon *d, const struct flow *flow)
{
	struct sluice_flow seen;

	return kernel_read_flow(d->kernel, flow->target.cookie, &seen) ? 0 : seen.data_bytes;
}

static uint64_t body_of(uint64_t bytes)
{
	return bytes > HEAD_BYTES ? bytes - HEAD_BYTES : 0;
}

// It went on after it was let go.
void burst_charge_rest(struct daemon *d, struct exchange *exchange)
{
	uint64_t end = data_bytes_of(d, exchange->flow), begin = exchange->request.begin;
	uint64_t body = end > begin ? body_of(end - begin) : 0;

	if (exchange->state != EXCHANGE_ADMITTED || body <= exchange->request.body_bytes)
		return;
	exchange->request.body_bytes = body;
	exchange_amend(d, exchange);
}

// The one before has been answered.
static void finish_past(struct daemon *d, struct flow *flow)
{
	struct exchange *exchange, *following;

	for (exchange = TAILQ_FIRST(&flow->exchanges); exchange; exchange = following) {
		following = TAILQ_NEXT(exchange, in_flow);
		if (exchange->state < EXCHANGE_ADMITTED) { // it left all the same: mode observe
			d->n.observed_waits += exchange->in_governor;
			exchange_over(d, exchange, true, NULL);
			exchange->state = EXCHANGE_ADMITTED;
		}
		if (exchange->is_burst)
			burst_charge_rest(d, exchange);
		trace_add(d, exchange, NULL);
		exchange_over(d, exchange, true, NULL);
		exchange_free(d, exchange);
	}
}

void burst_take(struct daemon *d, struct flow *flow, uint32_t number)
{
	struct exchange *exchange;

	if (number <= flow->bursts_begun || flow->is_aborted)
		return;
	flow->bursts_begun = number;
	finish_past(d, flow);
	exchange = exchange_begin(d, flow, number);
	if (!exchange)
		return;
	exchange->is_burst = true;
	if (d->policy->opaque_model)
		snprintf(exchange->request.model, sizeof(exchange->request.model), "%s",
			 d->policy->opaque_model);
	exchange->head_ns = clock_now_ns();
	exchange->request.begin = data_bytes_of(d, flow); // in what it has sent
	exchange->request.content_length = REQUEST_ABSENT;
	exchange->request.max_tokens = exchange->request.max_completion_tokens =
		exchange->request.max_output_tokens = exchange->request.n =
			exchange->request.best_of = REQUEST_ABSENT;
	flow->unsent_bytes = -1;
	d->n.bursts++;
	burst_submit_if_due(d, flow);
}

void burst_submit_if_due(struct daemon *d, struct flow *flow)
{
	struct exchange *exchange = flow_first_waiting(flow);
	int64_t unsent = target_unsent(&flow->target);
	bool is_whole = unsent >= 0 && unsent == flow->unsent_bytes;
	// HTTP/2's preface comes first, and no request is as short.
	bool is_preface = flow->bursts_begun == 1 && unsent < HEAD_BYTES;

	if (!exchange || exchange->state != EXCHANGE_READING)
		return;
	// In mode observe it is on its way already, and nothing of it may be left.
	if (unsent > 0)
		exchange->request.body_bytes = body_of((uint64_t)unsent);
	flow->unsent_bytes = unsent;
	if ((!is_whole || is_preface) && unsent >= 0 && !target_is_full(&flow->target) &&
	    clock_now_ns() - exchange->head_ns < WHOLE_AT_LATEST_MS * NS_PER_MS) {
		flow_set_timer(flow, QUIET_MS);
		return;
	}
	exchange->request_complete = true;
	exchange_submit(d, exchange);
}

// One has begun: of a flow that is governed by them, or of one whose probes did not tell of it.
void flow_on_burst(struct daemon *d, struct flow *flow, uint32_t number)
{
	if (flow->counts_bursts)
		burst_take(d, flow, number);
	else
		flow_set_opaque(d, flow, "it sent what no probe saw");
}
