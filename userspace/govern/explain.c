// Why a request waits, and what one would meet that is only asked about. For the latter the request
// is put into the queue, looked at, and taken out again, without a trace.
#include "govern/governor.h"

#include <errno.h>
#include "base/cleanup.h"
#include "govern/contest.h"
#include "govern/demand.h"
#include "govern/lane.h"
#include "govern/limiter.h"
#include "govern/ticket.h"
#include "govern/views.h"

#define NO_ID UINT64_MAX // of the request that is only asked about

struct telling {
	uint64_t now_ns;
	void (*fn)(void *ctx, const struct need_view *);
	void *ctx;
};

static void keep_bucket(void *bucket, const struct bucket_view *view)
{
	*(struct bucket_view *)bucket = *view;
}

static enum need_state state_of(const struct limiter *l, double amount, bool is_claimed,
				uint64_t now_ns)
{
	if (now_ns < l->bucket.shut_until_ns)
		return NEED_SHUT;
	if (!bucket_admits(&l->bucket, amount, now_ns))
		return l->denies ? NEED_DENIES : NEED_SHORT;
	return is_claimed ? NEED_CLAIMED : NEED_ADMITS;
}

static uint64_t from_now(uint64_t at_ns, uint64_t now_ns)
{
	return at_ns == BUCKET_NEVER ? UINT64_MAX : at_ns > now_ns ? at_ns - now_ns : 0;
}

struct shown {
	const struct telling *telling;
	struct need_view view;
};

static void tell_with_bucket(void *ctx, const struct bucket_view *bucket)
{
	struct shown *shown = ctx;

	keep_bucket(&shown->view.bucket, bucket);
	shown->telling->fn(shown->telling->ctx, &shown->view);
}

static void tell_need(const struct telling *telling, const struct limiter *l,
		      const struct draw *draw, bool is_claimed)
{
	uint64_t now_ns = telling->now_ns;
	struct shown shown = {
		.telling = telling,
		.view =
			{
				.workload =
					draw->class.workload ? draw->class.workload->name : NULL,
				.amount = draw->amount,
				.priority = draw->class.priority,
				.tier = draw->class.tier,
				.is_team = l->kind != LIMITER_LIMIT,
				.state = state_of(l, draw->amount, is_claimed, now_ns),
				.ready_ns = from_now(
					bucket_ready_ns(&l->bucket, draw->amount, now_ns), now_ns),
			},
	};

	limiter_show(l, now_ns, tell_with_bucket, &shown);
}

static bool is_claimed(const struct ticket *t, size_t draw, uint64_t now_ns)
{
	const struct limiter *l = t->draws[draw].limiter;
	const struct lane *front = contest_front(l, now_ns);

	if (l->holder && l->holder != t->lane)
		return true;
	if (lane_first(t->lane) != t)
		return true;
	return front && front != t->lane && !contest_would_lead(t->lane, draw, now_ns);
}

struct search {
	uint64_t id, eta_ns;
};

static void find_eta(void *ctx, const struct waiting_view *view)
{
	struct search *search = ctx;

	if (view->id == search->id)
		search->eta_ns = view->eta_ns;
}

static uint64_t eta_of(struct governor *g, uint64_t id, uint64_t now_ns)
{
	struct search search = {id, UINT64_MAX};

	governor_each_waiting(g, now_ns, find_eta, &search);
	return search.eta_ns;
}

static void explain(struct governor *g, const struct ticket *t, const struct telling *telling,
		    struct explanation *ret)
{
	for (size_t i = 0; t->lane && i < t->n_needs; i++)
		tell_need(telling, t->draws[i].limiter, &t->draws[i],
			  is_claimed(t, i, telling->now_ns));
	*ret = (struct explanation){
		.verdict = VERDICT_QUEUED,
		.waiting_ns = from_now(telling->now_ns, t->since_ns),
		.eta_ns = eta_of(g, t->id, telling->now_ns),
	};
}

int governor_explain(struct governor *g, uint64_t id, uint64_t now_ns,
		     void (*fn)(void *ctx, const struct need_view *), void *ctx,
		     struct explanation *ret)
{
	const struct ticket *t = ticket_find(g, id);

	if (!t || t->state == TICKET_ADMITTED)
		return -ENOENT;
	explain(g, t, &(struct telling){now_ns, fn, ctx}, ret);
	return 0;
}

// Of which the request has no limiter.
static void tell_without(void *ctx, const struct limiter_id *id, bool forbids,
			 const struct draw *draw)
{
	const struct telling *telling = ctx;
	bool is_team = id->kind != LIMITER_LIMIT;

	telling->fn(telling->ctx,
		    &(struct need_view){
			    .bucket = {.policy = is_team ? id->team->name : id->limit->name,
				       .key = "",
				       .resource = id->resource,
				       .interval_ns = id->limit ? id->limit->interval_ns : 0},
			    .amount = draw->amount,
			    .priority = draw->class.priority,
			    .tier = draw->class.tier,
			    .is_team = is_team,
			    .state = forbids ? NEED_FORBIDS : NEED_NO_KEY,
			    .ready_ns = forbids ? UINT64_MAX : 0,
		    });
}

// What queueing for a moment changes at one limiter.
struct trace {
	struct contest_tags tags;
	bool was_touched;
};

static void note_traces(const struct ticket *t, struct trace *traces)
{
	for (size_t i = 0; i < t->n_needs; i++) {
		const struct draw *draw = &t->draws[i];

		contest_note_tags(draw->limiter, &draw->class, &traces[i].tags);
		traces[i].was_touched = draw->limiter->is_touched;
	}
}

static void remove_traces(struct governor *g, const struct ticket *t, const struct trace *traces)
{
	for (size_t i = 0; i < t->n_needs; i++) {
		const struct draw *draw = &t->draws[i];

		contest_restore_tags(draw->limiter, &draw->class, &traces[i].tags);
		if (!traces[i].was_touched)
			limiter_untouch(g, draw->limiter);
	}
}

// Puts it into the queue, explains, and takes it out.
static int explain_waiting(struct governor *g, const struct demand *demand,
			   const struct telling *telling, struct explanation *ret)
{
	CLEANUP_FREE struct trace *traces =
		calloc(demand->n_draws + demand->n_silent + 1, sizeof(*traces));
	uint64_t now_ns = telling->now_ns;
	struct ticket *t = traces ? ticket_new(g, NO_ID, g->scratch, demand->n_draws) : NULL;

	if (!t)
		return -ENOMEM;
	note_traces(t, traces);
	t->seq = g->seq;
	t->since_ns = now_ns;
	t->timeout_ns = demand->timeout_ns;
	t->workload = demand->workload;
	bool may_pass = ticket_may_pass(t, now_ns);
	if (lane_enqueue(g, t, false, now_ns)) {
		ticket_free(g, t);
		return -ENOMEM;
	}
	explain(g, t, telling, ret);
	if (may_pass)
		*ret = (struct explanation){.verdict = VERDICT_ADMITTED};
	lane_remove(g, t, false);
	remove_traces(g, t, traces);
	ticket_free(g, t);
	return 0;
}

int governor_check(struct governor *g, const struct ask *ask, uint64_t now_ns,
		   void (*fn)(void *ctx, const struct need_view *), void *ctx,
		   struct explanation *ret)
{
	struct telling telling = {now_ns, fn, ctx};
	struct demand_observer observer = {tell_without, &telling};
	struct demand demand;
	bool contends = false;
	int r = demand_of(g, ask, false, &observer, now_ns, &demand);

	if (r)
		return r;
	*ret = (struct explanation){.verdict = demand.denied_by ? VERDICT_DENIED : VERDICT_ADMITTED,
				    .denied_by = demand.denied_by};
	for (size_t i = 0; i < demand.n_draws; i++)
		contends |= !g->scratch[i].limiter->denies;
	if (!demand.denied_by && contends)
		return explain_waiting(g, &demand, &telling, ret);
	for (size_t i = 0; i < demand.n_draws; i++)
		tell_need(&telling, g->scratch[i].limiter, &g->scratch[i], false);
	return 0;
}
