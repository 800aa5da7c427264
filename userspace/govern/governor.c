// Taking requests and letting them go.
//
// A request that finds all its limiters sufficient, and nobody waiting at one of them, is admitted
// at once and costs a few hash look-ups. All others wait in their lane, and governor_run() decides
// them:
//
//   1. lanes that limiters are held for;
//   2. each limiter that has been touched since, or is due: while its first lane finds all its
//      limiters sufficient, admit; if this limiter is what it lacks, leave it there, and all behind
//      it wait; if it lacks another one, move it to that one's tree and look at the next.
//      Once looked at, a limiter's first lane lacks that limiter (or there is none), and draws
//      elsewhere cannot change that;
//   3. requests that have waited too long, and 2 again if there were any: they may have claimed.
//
// Nothing happens in between that needs looking at: a limiter is due when it suffices for its first
// lane, and stands in a heap by that time. Letting one go costs O(log n), and so does moving a
// lane. When two limiters take turns in being short, all that wait may have to move: after
// MOST_MOVES_A_RUN the rest is left to the next run, which is due at once, so that no run takes
// long. governor_next_ns() looks at the heaps' first entries, and at the lanes that hold.
#include "govern/governor.h"

#include <errno.h>
#include <stdlib.h>
#include "govern/absence.h"
#include "govern/contest.h"
#include "govern/demand.h"
#include "govern/lane.h"
#include "govern/limiter.h"
#include "govern/ticket.h"

#define MOST_MOVES_A_RUN 256

struct governor *governor_new(const struct policy *policy, uint64_t now_ns, int64_t wall_offset_ns)
{
	struct governor *g = calloc(1, sizeof(*g));

	(void)now_ns;
	if (!g)
		return NULL;
	g->policy = policy;
	g->wall_offset_ns = wall_offset_ns;
	g->collect_at = LIMITERS_KEPT;
	TAILQ_INIT(&g->decided);
	TAILQ_INIT(&g->arriving);
	TAILQ_INIT(&g->absent);
	TAILQ_INIT(&g->touched);
	TAILQ_INIT(&g->holders);
	g->scratch = calloc(demand_most(policy), sizeof(*g->scratch));
	g->silent = calloc(demand_most(policy), sizeof(*g->silent));
	g->stats = calloc(policy->n_limits + 1, sizeof(*g->stats));
	if (!rules_init(&g->rules, policy) && !workloads_init(&g->workloads, policy) &&
	    g->scratch && g->silent && g->stats)
		return g;
	governor_free(g);
	return NULL;
}

void governor_free(struct governor *g)
{
	struct hash_node *node, *next;

	if (!g)
		return;
	absences_free(g);
	for (node = hashtab_first(&g->lanes); node; node = next) {
		next = hashtab_next(&g->lanes, node);
		free(container_of(node, struct lane, node));
	}
	for (node = hashtab_first(&g->tickets); node; node = next) {
		next = hashtab_next(&g->tickets, node);
		free(container_of(node, struct ticket, node));
	}
	for (node = hashtab_first(&g->limiters); node; node = next) {
		next = hashtab_next(&g->limiters, node);
		limiter_free(container_of(node, struct limiter, node));
	}
	hashtab_free(&g->tickets);
	hashtab_free(&g->lanes);
	hashtab_free(&g->limiters);
	heap_free(&g->deadlines);
	heap_free(&g->ageing);
	heap_free(&g->due);
	rules_free(&g->rules);
	workloads_free(&g->workloads);
	free(g->scratch);
	free(g->silent);
	free(g->stats);
	free(g);
}

void governor_set_wall_offset(struct governor *g, int64_t wall_offset_ns, uint64_t now_ns)
{
	struct hash_node *node;

	g->wall_offset_ns = wall_offset_ns;
	for (node = hashtab_first(&g->limiters); node; node = hashtab_next(&g->limiters, node)) {
		struct limiter *l = container_of(node, struct limiter, node);

		bucket_set_wall_offset(&l->bucket, now_ns, wall_offset_ns);
		for (size_t i = 0; i < l->n_guarantees; i++)
			bucket_set_wall_offset(&l->guarantees[i].bucket, now_ns, wall_offset_ns);
		if (l->root.heap.n)
			limiter_touch(g, l);
	}
}

static void admit_unqueued(struct governor *g, struct ticket *t, uint64_t now_ns)
{
	for (size_t i = 0; i < t->n_needs; i++)
		contest_charge_unqueued(t->draws[i].limiter, &t->draws[i].class,
					t->draws[i].amount);
	ticket_draw(g, t, now_ns);
	t->moved = 0;
}

static void describe(struct decision *d, const struct ticket *t, enum verdict verdict,
		     const char *denied_by, uint64_t now_ns)
{
	*d = (struct decision){
		.id = t->id,
		.verdict = verdict,
		.waited_ns = now_ns > t->since_ns ? now_ns - t->since_ns : 0,
		.policy = denied_by,
		.workload = t->workload ? t->workload->name : NULL,
		.moved = t->moved,
	};
}

int governor_submit(struct governor *g, const struct ask *ask, uint64_t now_ns,
		    struct decision *ret)
{
	struct demand demand;
	struct ticket *t;
	bool returns;

	if (ticket_find(g, ask->id))
		return -EEXIST;
	absences_expire(g, now_ns);
	limiters_collect(g, now_ns);
	int r = demand_of(g, ask, true, NULL, now_ns, &demand);
	if (r)
		return r;
	*ret = (struct decision){.id = ask->id,
				 .verdict = VERDICT_DENIED,
				 .policy = demand.denied_by,
				 .workload = demand.workload ? demand.workload->name : NULL};
	if (demand.denied_by)
		return 0;
	t = ticket_new(g, ask->id, g->scratch, demand.n_draws + demand.n_silent);
	if (!t)
		return -ENOMEM;
	t->n_needs = demand.n_draws;
	t->seq = g->seq++;
	t->since_ns = now_ns;
	t->timeout_ns = demand.timeout_ns;
	t->retry_key = ask->retry_key;
	t->workload = demand.workload;
	returns = absence_end(g, t);
	if (ticket_may_pass(t, now_ns)) {
		admit_unqueued(g, t, now_ns);
		describe(ret, t, VERDICT_ADMITTED, NULL, now_ns);
	} else {
		ret->verdict = VERDICT_QUEUED;
		r = lane_enqueue(g, t, returns, now_ns);
	}
	if (returns)
		absence_over(g, t);
	if (r)
		ticket_free(g, t);
	return r;
}

// Where governor_run() puts what it decides.
struct decisions {
	struct decision *out;
	size_t n, max, n_moves;
	uint64_t now_ns;
};

static void report(struct decisions *d, const struct ticket *t, enum verdict verdict,
		   const char *denied_by)
{
	describe(&d->out[d->n++], t, verdict, denied_by, d->now_ns);
}

// Admits a waiting request, unless a limit that denies is short of it.
static void let_go(struct governor *g, struct ticket *t, struct decisions *d)
{
	const char *denied_by = ticket_denied_by(g, t, d->now_ns);

	lane_remove(g, t, !denied_by);
	if (denied_by) {
		report(d, t, VERDICT_DENIED, denied_by);
		ticket_free(g, t);
		return;
	}
	ticket_draw(g, t, d->now_ns);
	report(d, t, VERDICT_ADMITTED, NULL);
}

static void run_decided(struct governor *g, struct decisions *d)
{
	struct ticket *t;

	while (d->n < d->max && (t = TAILQ_FIRST(&g->decided))) {
		TAILQ_REMOVE(&g->decided, t, by_age);
		g->n_waiting--;
		if (!t->denied_by) // others may have come first since the reload
			t->denied_by = ticket_denied_by(g, t, d->now_ns);
		if (!t->denied_by)
			ticket_draw(g, t, d->now_ns);
		report(d, t, t->denied_by ? VERDICT_DENIED : VERDICT_ADMITTED, t->denied_by);
		if (t->denied_by)
			ticket_free(g, t);
	}
}

static struct ticket *next_promotion(const struct governor *g)
{
	const struct heap_entry *first = heap_first(&g->ageing);

	return first ? container_of(first->node, struct ticket, by_promotion) : NULL;
}

static void run_ageing(struct governor *g, uint64_t now_ns)
{
	struct ticket *t;

	while ((t = next_promotion(g)) && t->promote_ns <= now_ns)
		lane_promote(g, t, now_ns);
}

// What keeps a lane that holds its limiters.
struct hold {
	bool is_over; // it may go, or it would take too long now
	bool may_go;
	uint64_t ready_ns; // when it may go
};

// A limiter that a 429 has shut is not worth keeping others waiting for.
static bool is_shut_out(const struct lane *lane, uint64_t now_ns)
{
	for (size_t i = 0; i < lane->n_needs; i++)
		if (lane->needs[i].limiter->bucket.shut_until_ns > now_ns)
			return true;
	return false;
}

static struct hold look_at_hold(const struct lane *lane, uint64_t now_ns)
{
	struct hold hold = {.ready_ns = now_ns};
	size_t home;

	hold.may_go = !lane_is_blocked(lane, now_ns, &home, &hold.ready_ns);
	hold.is_over = hold.may_go || hold.ready_ns - now_ns > lane->hold_most_ns ||
		       is_shut_out(lane, now_ns);
	return hold;
}

static void run_holders(struct governor *g, struct decisions *d)
{
	struct lane *lane, *next;

	for (lane = TAILQ_FIRST(&g->holders); lane && d->n < d->max; lane = next) {
		struct hold hold = look_at_hold(lane, d->now_ns);

		next = TAILQ_NEXT(lane, holding);
		if (hold.may_go)
			let_go(g, lane_first(lane), d);
		else if (hold.is_over)
			contest_release(g, lane);
	}
}

// The front of a limiter lacks that one, and another one until ready_ns: it may as well stay,
// unless the other keeps it for so long that this one could fill again in the meantime. Moving
// whenever one is a little later than the other would be to and fro with each request that goes,
// for all that wait.
static bool may_stay(const struct lane *lane, uint64_t ready_ns, uint64_t now_ns)
{
	const struct bucket *home = &lane->needs[lane->home].limiter->bucket;
	double amount = lane_first(lane)->draws[lane->home].amount;
	uint64_t own_ns = bucket_ready_ns(home, amount, now_ns);

	return own_ns > now_ns && own_ns != BUCKET_NEVER && ready_ns != BUCKET_NEVER &&
	       (ready_ns <= own_ns || ready_ns - own_ns <= bucket_refill_ns(home, amount, now_ns));
}

// The front of a limiter lacks another one until ready_ns: it goes there. If this one is ready, it
// may be worth holding both.
static void move(struct governor *g, struct lane *lane, size_t home, uint64_t ready_ns,
		 struct decisions *d)
{
	uint64_t now_ns = d->now_ns;
	const struct bucket *left = &lane->needs[lane->home].limiter->bucket;
	double amount = lane_first(lane)->draws[lane->home].amount;
	uint64_t refill_ns = bucket_refill_ns(left, amount, now_ns);
	bool is_ready = bucket_admits(left, amount, now_ns);

	contest_leave(g, lane);
	contest_enter(g, lane, home);
	if (!is_ready || ready_ns - now_ns > refill_ns || left->terms.calendar ||
	    is_shut_out(lane, now_ns) || !lane_leads_everywhere(lane, now_ns))
		return;
	contest_hold(g, lane, refill_ns);
	// If all that kept it was a claim, it may go: there it comes first now.
	if (lane->holds && d->n < d->max && look_at_hold(lane, now_ns).may_go)
		let_go(g, lane_first(lane), d);
}

// Whether all has been done: false if there is no more room for decisions, or time for moves.
static bool run_limiter(struct governor *g, struct limiter *l, struct decisions *d)
{
	struct lane *lane;
	uint64_t ready_ns;
	size_t home;

	while (!l->holder && (lane = contest_front(l, d->now_ns))) {
		if (d->n == d->max)
			return false;
		if (!lane_is_blocked(lane, d->now_ns, &home, &ready_ns)) {
			let_go(g, lane_first(lane), d);
			continue;
		}
		if (home == lane->home || may_stay(lane, ready_ns, d->now_ns))
			break;
		if (d->n_moves++ == MOST_MOVES_A_RUN)
			return false;
		move(g, lane, home, ready_ns, d);
	}
	return true;
}

static void set_due(struct governor *g, struct limiter *l, uint64_t now_ns)
{
	uint64_t due_ns = contest_due_ns(l, now_ns);

	if (l->is_saturated != (l->root.heap.n > 0))
		limiter_count_saturated(g, l, now_ns);

	// Its first lane lacks it now (or another's claim), so it is not due before the next ns.
	if (due_ns <= now_ns)
		due_ns = now_ns + 1;
	if (due_ns == BUCKET_NEVER)
		heap_remove(&g->due, &l->by_due);
	else
		heap_put(&g->due, &l->by_due, &(struct heap_order){.seq = due_ns});
}

static struct limiter *next_limiter(const struct governor *g, uint64_t now_ns)
{
	const struct heap_entry *first = heap_first(&g->due);

	if (!TAILQ_EMPTY(&g->touched))
		return TAILQ_FIRST(&g->touched);
	return first && first->order.seq <= now_ns
		       ? container_of(first->node, struct limiter, by_due)
		       : NULL;
}

static void run_contested(struct governor *g, struct decisions *d)
{
	struct limiter *l;

	while ((l = next_limiter(g, d->now_ns))) {
		bool is_done = run_limiter(g, l, d);

		if (!is_done) {
			limiter_touch(g, l);
			return;
		}
		limiter_untouch(g, l);
		set_due(g, l, d->now_ns);
	}
}

static uint64_t first_deadline_ns(const struct governor *g)
{
	const struct heap_entry *first = heap_first(&g->deadlines);

	return first ? ticket_deadline_ns(container_of(first->node, struct ticket, by_deadline))
		     : UINT64_MAX;
}

// Whether there were any.
static bool run_overdue(struct governor *g, struct decisions *d)
{
	bool found = false;

	while (d->n < d->max && first_deadline_ns(g) <= d->now_ns) {
		struct ticket *t =
			container_of(heap_first(&g->deadlines)->node, struct ticket, by_deadline);

		found = true;
		if (g->policy->on_max_wait == MAX_WAIT_ADMIT) {
			let_go(g, t, d);
			continue;
		}
		lane_remove(g, t, false);
		report(d, t, VERDICT_TIMED_OUT, NULL);
		ticket_free(g, t);
	}
	return found;
}

size_t governor_run(struct governor *g, uint64_t now_ns, struct decision *out, size_t max)
{
	struct decisions d = {.out = out, .max = max, .now_ns = now_ns};

	if (!max || governor_next_ns(g, now_ns) > now_ns)
		return 0;
	run_decided(g, &d);
	run_ageing(g, now_ns);
	do {
		run_holders(g, &d);
		run_contested(g, &d);
	} while (run_overdue(g, &d));
	return d.n;
}

static uint64_t holders_due_ns(const struct governor *g, uint64_t now_ns)
{
	uint64_t due_ns = UINT64_MAX;
	const struct lane *lane;

	TAILQ_FOREACH (lane, &g->holders, holding) {
		struct hold hold = look_at_hold(lane, now_ns);

		if (hold.is_over)
			return now_ns;
		due_ns = hold.ready_ns < due_ns ? hold.ready_ns : due_ns;
	}
	return due_ns;
}

uint64_t governor_next_ns(const struct governor *g, uint64_t now_ns)
{
	const struct heap_entry *first = heap_first(&g->due);
	const struct ticket *ageing = next_promotion(g);
	uint64_t due_ns = first_deadline_ns(g), held_ns;

	if (!TAILQ_EMPTY(&g->decided) || !TAILQ_EMPTY(&g->touched))
		return now_ns;
	if (first && first->order.seq < due_ns)
		due_ns = first->order.seq;
	if (ageing && ageing->promote_ns < due_ns)
		due_ns = ageing->promote_ns;
	held_ns = holders_due_ns(g, now_ns);
	due_ns = held_ns < due_ns ? held_ns : due_ns;
	return due_ns > now_ns ? due_ns : now_ns;
}

void governor_withdraw(struct governor *g, uint64_t id, bool may_return, uint64_t now_ns)
{
	struct ticket *t = ticket_find(g, id);

	if (!t || t->state == TICKET_ADMITTED)
		return;
	if (may_return)
		absence_begin(g, t, now_ns);
	if (t->state == TICKET_WAITING) {
		lane_remove(g, t, false);
	} else {
		TAILQ_REMOVE(&g->decided, t, by_age);
		g->n_waiting--;
	}
	ticket_free(g, t);
}

int governor_let_go(struct governor *g, uint64_t id, uint64_t now_ns)
{
	struct ticket *t = ticket_find(g, id);

	if (!t || t->state == TICKET_ADMITTED)
		return -ENOENT;
	if (t->state == TICKET_WAITING) {
		lane_remove(g, t, true);
	} else {
		TAILQ_REMOVE(&g->decided, t, by_age);
		g->n_waiting--;
	}
	ticket_draw(g, t, now_ns);
	return 0;
}

void governor_detain(struct governor *g, uint64_t id)
{
	struct ticket *t = ticket_find(g, id);

	if (t && t->state == TICKET_ADMITTED)
		ticket_detain(g, t);
}

void governor_leave(struct governor *g, uint64_t id, uint64_t now_ns)
{
	struct ticket *t = ticket_find(g, id);

	if (t && t->state == TICKET_ADMITTED)
		ticket_leave(g, t, now_ns);
}

size_t governor_waiting(const struct governor *g)
{
	return g->n_waiting;
}
