// The virtual-time loop. See simulate.h.
//
// The governor's clock is nanoseconds since a second before the first arrival: small numbers, which
// are exact in a double, too, and never 0. Its wall offset makes Unix time of them. A request's id
// in the governor is its place in the trace, from 1.
#include "simulate/simulate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "govern/hashtab.h"
#include "govern/heap.h"

#define START_NS NS_PER_S
#define BATCH 64
#define PROGRESS_STEP 4096 // requests
#define TOKENS_PER_PRICE 1e6
#define KNOWN_PRICES 64 // a power of two

// The next thing that happens to a request: while it waits its program gives up, then its response
// ends.
struct pending {
	struct heap_node node;
	bool is_admitted;
};

// A model's price, looked up once. Equal models are one pointer (trace.h).
struct known_price {
	const char *model; // NULL: nothing is kept here
	const struct price *price;
};

struct run {
	const struct policy *policy;
	const struct trace *trace;
	const struct simulation_events *events;
	void *ctx;
	struct governor *governor;
	int64_t wall_offset_ns;
	uint64_t now_ns;
	const char **labels; // of the request that is being submitted
	struct known_price prices[KNOWN_PRICES];
	struct pending *pending; // by place in the trace
	struct heap timeline;    // of them, by time (which stands in `seq`)
	size_t n_arrived, n_decided;
};

void simulate_adapt(struct policy *policy)
{
	policy->mode = MODE_ENFORCE;
	if (!policy->headroom_is_given)
		policy->headroom_ns = 0;
}

static uint64_t id_of(const struct run *run, const struct trace_request *request)
{
	return (uint64_t)(request - run->trace->requests) + 1;
}

static const struct trace_request *request_of(const struct run *run, uint64_t id)
{
	return &run->trace->requests[id - 1];
}

static uint64_t arrival_ns(const struct run *run, const struct trace_request *request)
{
	return (uint64_t)(request->at_ns - run->wall_offset_ns);
}

static const char *label_of(const struct trace_request *request, size_t label)
{
	for (size_t i = 0; i < request->n_labels; i++)
		if (request->labels[i].label == label)
			return request->labels[i].value;
	return NULL;
}

static const struct price *price_of(struct run *run, const char *model)
{
	struct known_price *known =
		&run->prices[hash_mix(0, (uintptr_t)model) & (KNOWN_PRICES - 1)];

	if (known->model != model)
		*known = (struct known_price){model, policy_find_price(run->policy, model)};
	return known->price;
}

static double cost_of(struct run *run, const struct trace_request *request, double input_tokens,
		      double output_tokens)
{
	const char *model = label_of(request, LABEL_MODEL);
	const struct price *price = model ? price_of(run, model) : NULL;

	if (!price)
		return 0;
	return (input_tokens * price->input + output_tokens * price->output) / TOKENS_PER_PRICE;
}

static void estimate(struct run *run, const struct trace_request *request, double *amounts)
{
	double in = request->input_tokens, out = request->output_tokens;

	amounts[RESOURCE_REQUESTS] = 1;
	amounts[RESOURCE_TOKENS] = request->tokens;
	amounts[RESOURCE_IMAGES] = request->images;
	amounts[RESOURCE_INPUT_TOKENS] = in;
	amounts[RESOURCE_OUTPUT_TOKENS] = out;
	amounts[RESOURCE_TOTAL_TOKENS] = in + out;
	amounts[RESOURCE_COST] = cost_of(run, request, in, out);
}

// The response is over: what it used is known, unless the trace does not say.
static void settle(struct run *run, const struct trace_request *request)
{
	double used[N_RESOURCES] = {0};
	bool is_known = request->has_usage || request->failed;

	if (request->has_usage && !request->failed) {
		double in = request->used_input_tokens, out = request->used_output_tokens;

		used[RESOURCE_INPUT_TOKENS] = in;
		used[RESOURCE_OUTPUT_TOKENS] = out;
		used[RESOURCE_TOTAL_TOKENS] = in + out;
		used[RESOURCE_COST] = cost_of(run, request, in, out);
	}
	governor_settle(run->governor, id_of(run, request), is_known ? used : NULL, run->now_ns);
}

static void expect(struct run *run, uint64_t id, uint64_t at_ns)
{
	heap_put(&run->timeline, &run->pending[id - 1].node, &(struct heap_order){.seq = at_ns});
}

static int tell(struct run *run, const struct fated *fated)
{
	run->n_decided++;
	if (run->events->progress && run->n_decided % PROGRESS_STEP == 0)
		run->events->progress(run->ctx, run->n_decided, run->trace->n_requests);
	return run->events->decided(run->ctx, fated);
}

static int decided(struct run *run, const struct decision *decision)
{
	static const enum fate fates[] = {
		[VERDICT_ADMITTED] = FATE_ADMITTED,
		[VERDICT_DENIED] = FATE_DENIED,
		[VERDICT_TIMED_OUT] = FATE_TIMED_OUT,
	};
	const struct trace_request *request = request_of(run, decision->id);
	struct fated fated = {
		.request = request,
		.fate = fates[decision->verdict],
		.at_ns = (int64_t)run->now_ns + run->wall_offset_ns,
		.waited_ns = decision->waited_ns,
		.policy = decision->policy,
		.workload = decision->workload,
		.moved = decision->moved,
	};

	if (fated.fate == FATE_ADMITTED) {
		run->pending[decision->id - 1].is_admitted = true;
		expect(run, decision->id, run->now_ns + request->response_ns);
	} else {
		heap_remove(&run->timeline, &run->pending[decision->id - 1].node);
	}
	return tell(run, &fated);
}

static void note_workload(void *first, const struct need_view *need)
{
	const char **workload = first;

	if (!*workload)
		*workload = need->workload;
}

// Its program does not wait any longer.
static int cancel(struct run *run, const struct trace_request *request)
{
	uint64_t id = id_of(run, request);
	struct explanation explanation;
	struct fated fated = {
		.request = request,
		.fate = FATE_CANCELLED,
		.at_ns = (int64_t)run->now_ns + run->wall_offset_ns,
		.waited_ns = run->now_ns - arrival_ns(run, request),
	};

	governor_explain(run->governor, id, run->now_ns, note_workload, &fated.workload,
			 &explanation);
	governor_withdraw(run->governor, id, false, run->now_ns);
	return tell(run, &fated);
}

// "1200", nearly always: by hand, for printf(3) is slow.
static void write_tokens(char text[32], double tokens)
{
	uint64_t rest = (uint64_t)tokens;
	char *at = text + 31;

	if (tokens != (double)rest) {
		snprintf(text, 32, "%.15g", tokens);
		return;
	}
	*at = '\0';
	do
		*--at = (char)('0' + rest % 10);
	while (rest /= 10);
	memmove(text, at, (size_t)(text + 32 - at));
}

// What the daemon would know even if the trace does not say it.
static void fill_labels(struct run *run, const struct trace_request *request, char tokens[32])
{
	memset(run->labels, 0, run->policy->n_labels * sizeof(*run->labels));
	run->labels[LABEL_PROVIDER] = run->policy->providers[0].name;
	if (request->tokens > 0) {
		write_tokens(tokens, request->tokens);
		run->labels[LABEL_ESTIMATED_TOKENS] = tokens;
	}
	for (size_t i = 0; i < request->n_labels; i++)
		run->labels[request->labels[i].label] = request->labels[i].value;
}

static int submit(struct run *run, const struct trace_request *request)
{
	uint64_t id = id_of(run, request);
	struct ask ask = {.id = id, .labels = run->labels};
	struct decision decision;
	char tokens[32];
	int error;

	fill_labels(run, request, tokens);
	if (request->team)
		ask.team = policy_find_team(run->policy, request->team);
	estimate(run, request, ask.amounts);
	error = governor_submit(run->governor, &ask, run->now_ns, &decision);
	if (error)
		return error;
	if (decision.verdict != VERDICT_QUEUED)
		return decided(run, &decision);
	if (request->cancel_after_ns != UINT64_MAX)
		expect(run, id, run->now_ns + request->cancel_after_ns);
	return 0;
}

// All that has happened by now, but for the governor's own decisions.
static int happen(struct run *run)
{
	const struct heap_entry *first;
	int error = 0;

	while (!error && (first = heap_first(&run->timeline)) && first->order.seq <= run->now_ns) {
		struct pending *pending = container_of(first->node, struct pending, node);
		const struct trace_request *request = &run->trace->requests[pending - run->pending];

		heap_remove(&run->timeline, &pending->node);
		if (pending->is_admitted)
			settle(run, request);
		else
			error = cancel(run, request);
	}
	while (!error && run->n_arrived < run->trace->n_requests) {
		const struct trace_request *request = &run->trace->requests[run->n_arrived];

		if (arrival_ns(run, request) > run->now_ns)
			break;
		run->n_arrived++;
		error = submit(run, request);
	}
	return error;
}

static int decide(struct run *run)
{
	struct decision decisions[BATCH];
	size_t n;

	do {
		n = governor_run(run->governor, run->now_ns, decisions, BATCH);
		for (size_t i = 0; i < n; i++) {
			int error = decided(run, &decisions[i]);

			if (error)
				return error;
		}
	} while (n == BATCH);
	return 0;
}

// The clock's next stop; UINT64_MAX: nothing more will happen.
static uint64_t next_ns(const struct run *run)
{
	const struct heap_entry *first = heap_first(&run->timeline);
	uint64_t next = governor_next_ns(run->governor, run->now_ns);

	if (next <= run->now_ns)
		next = run->now_ns + 1; // at this time it has decided all that it can
	if (first && first->order.seq < next)
		next = first->order.seq;
	if (run->n_arrived < run->trace->n_requests) {
		uint64_t arrival = arrival_ns(run, &run->trace->requests[run->n_arrived]);

		if (arrival < next)
			next = arrival;
	}
	return next;
}

static bool is_over(const struct run *run)
{
	return run->n_decided == run->trace->n_requests && !heap_first(&run->timeline);
}

static int play(struct run *run)
{
	while (!is_over(run)) {
		uint64_t next = next_ns(run);
		int error;

		if (next == UINT64_MAX)
			return -EDEADLK;
		run->now_ns = next;
		error = happen(run);
		if (!error)
			error = decide(run);
		if (error)
			return error;
	}
	return 0;
}

// governor_each_limit() takes no error back.
struct limits {
	struct run *run;
	int error;
};

static void tell_limit(void *ctx, const struct limit_view *view)
{
	struct limits *limits = ctx;

	if (!limits->error)
		limits->error = limits->run->events->limit(limits->run->ctx, view);
}

static int tell_limits(struct run *run)
{
	struct limits limits = {.run = run};

	governor_each_limit(run->governor, run->now_ns, tell_limit, &limits);
	return limits.error;
}

static int prepare(struct run *run)
{
	size_t n = run->trace->n_requests;

	run->labels = calloc(run->policy->n_labels, sizeof(*run->labels));
	run->pending = calloc(n + 1, sizeof(*run->pending)); // never of 0 bytes
	run->governor = governor_new(run->policy, run->now_ns, run->wall_offset_ns);
	if (!run->labels || !run->pending || !run->governor)
		return -ENOMEM;
	return heap_reserve(&run->timeline, n);
}

static void clear(struct run *run)
{
	if (run->governor)
		governor_free(run->governor);
	heap_free(&run->timeline);
	free(run->pending);
	free(run->labels);
}

int simulate(const struct policy *policy, const struct trace *trace,
	     const struct simulation_events *events, void *ctx, uint64_t *ret_duration_ns)
{
	int64_t first_ns = trace->n_requests ? trace->requests[0].at_ns : 0;
	__attribute__((cleanup(clear))) struct run run = {
		.policy = policy,
		.trace = trace,
		.events = events,
		.ctx = ctx,
		.wall_offset_ns = first_ns - (int64_t)START_NS,
		.now_ns = START_NS,
	};
	int error = prepare(&run);

	if (!error)
		error = play(&run);
	if (!error)
		error = tell_limits(&run);
	*ret_duration_ns = run.now_ns - START_NS;
	return error;
}
