// Taking requests and letting them go.
//
// A request that finds all its limiters sufficient, and none of them claimed by one that waits, is
// admitted at once and costs a few hash look-ups. All others wait in their lane, and
// governor_run() decides them:
//
//   1. lanes that limiters are held for;
//   2. each contested limiter once: while the first lane of its heap finds all its limiters
//      sufficient, admit; if this limiter is what it lacks, leave it there, and all behind it wait;
//      if it lacks another one, move it to that one's heap and look at the next.
//      Once looked at, a limiter's first lane lacks that limiter (or there is none), and draws
//      elsewhere cannot change that: one pass finds everything that may go;
//   3. requests that have waited too long, and 2 again if there were any: they may have claimed.
//
// Nothing happens in between that needs looking at: governor_next_ns() is the first instant at
// which a claimed limiter suffices for the first lane of its heap, or a deadline. It is cached
// until something changes, so an idle governor_run() is a comparison.
#include "govern/governor.h"

#include <errno.h>
#include <stdlib.h>
#include "govern/contest.h"
#include "govern/demand.h"
#include "govern/lane.h"
#include "govern/limiter.h"
#include "govern/ticket.h"

struct governor *governor_new(const struct policy *policy, uint64_t now_ns)
{
	struct governor *g = calloc(1, sizeof(*g));

	(void)now_ns;
	if (!g)
		return NULL;
	g->policy = policy;
	g->collect_at = LIMITERS_KEPT;
	TAILQ_INIT(&g->waiting);
	TAILQ_INIT(&g->decided);
	TAILQ_INIT(&g->arriving);
	TAILQ_INIT(&g->contested);
	TAILQ_INIT(&g->holders);
	g->scratch = calloc(demand_most(policy), sizeof(*g->scratch));
	if (!g->scratch) {
		free(g);
		return NULL;
	}
	return g;
}

void governor_free(struct governor *g)
{
	struct hash_node *node;

	if (!g)
		return;
	while ((node = hashtab_first(&g->lanes))) {
		hashtab_remove(&g->lanes, node);
		free(container_of(node, struct lane, node));
	}
	while ((node = hashtab_first(&g->tickets)))
		ticket_free(g, container_of(node, struct ticket, node));
	while ((node = hashtab_first(&g->limiters))) {
		hashtab_remove(&g->limiters, node);
		limiter_free(container_of(node, struct limiter, node));
	}
	hashtab_free(&g->tickets);
	hashtab_free(&g->lanes);
	hashtab_free(&g->limiters);
	free(g->scratch);
	free(g);
}

static void admit_unqueued(struct governor *g, struct ticket *t, const struct team *team,
			   uint64_t now_ns)
{
	for (size_t i = 0; i < t->n_draws; i++)
		contest_charge_unqueued(t->draws[i].limiter, team, t->draws[i].amount);
	ticket_draw(g, t, now_ns);
}

int governor_submit(struct governor *g, const struct ask *ask, uint64_t now_ns,
		    enum verdict *ret_verdict, const char **ret_policy)
{
	size_t n_draws;

	if (ticket_find(g, ask->id))
		return -EEXIST;
	limiters_collect(g, now_ns);
	int r = demand_of(g, ask, now_ns, &n_draws, ret_policy);
	if (r)
		return r;
	if (*ret_policy) {
		*ret_verdict = VERDICT_DENIED;
		return 0;
	}
	struct ticket *t = ticket_new(g, ask->id, g->scratch, n_draws);
	if (!t)
		return -ENOMEM;
	t->seq = g->seq++;
	t->since_ns = now_ns;
	if (ticket_may_pass(t, now_ns)) {
		admit_unqueued(g, t, ask->team, now_ns);
		*ret_verdict = VERDICT_ADMITTED;
		return 0;
	}
	*ret_verdict = VERDICT_QUEUED;
	r = lane_enqueue(g, t, ask, now_ns);
	if (r)
		ticket_free(g, t);
	return r;
}

// Where governor_run() puts what it decides.
struct decisions {
	struct decision *out;
	size_t n, max;
	uint64_t now_ns;
};

static void report(struct decisions *d, const struct ticket *t, enum verdict verdict,
		   const char *denied_by)
{
	d->out[d->n++] = (struct decision){
		.id = t->id,
		.verdict = verdict,
		.waited_ns = d->now_ns > t->since_ns ? d->now_ns - t->since_ns : 0,
		.policy = denied_by,
	};
}

// Admits a waiting request, unless a limit that denies is short of it.
static void let_go(struct governor *g, struct ticket *t, struct decisions *d)
{
	const char *denied_by = ticket_denied_by(t, d->now_ns);

	lane_remove(g, t, !denied_by);
	report(d, t, denied_by ? VERDICT_DENIED : VERDICT_ADMITTED, denied_by);
	if (denied_by)
		ticket_free(g, t);
	else
		ticket_draw(g, t, d->now_ns);
}

static void run_decided(struct governor *g, struct decisions *d)
{
	struct ticket *t;

	while (d->n < d->max && (t = TAILQ_FIRST(&g->decided))) {
		TAILQ_REMOVE(&g->decided, t, by_age);
		g->n_waiting--;
		report(d, t, t->denied_by ? VERDICT_DENIED : VERDICT_ADMITTED, t->denied_by);
		if (t->denied_by)
			ticket_free(g, t);
		else
			ticket_draw(g, t, d->now_ns);
	}
}

static void run_holders(struct governor *g, struct decisions *d)
{
	struct lane *lane, *next;
	uint64_t ready_ns;
	size_t home;

	for (lane = TAILQ_FIRST(&g->holders); lane && d->n < d->max; lane = next) {
		next = TAILQ_NEXT(lane, holding);
		if (!lane_is_blocked(lane, d->now_ns, &home, &ready_ns))
			let_go(g, lane_first(lane), d);
	}
}

static void run_limiter(struct governor *g, struct limiter *l, struct decisions *d)
{
	struct lane *lane;
	uint64_t ready_ns;
	size_t home;

	while (d->n < d->max && !l->holder && (lane = contest_front(l))) {
		if (!lane_is_blocked(lane, d->now_ns, &home, &ready_ns)) {
			let_go(g, lane_first(lane), d);
			continue;
		}
		if (home == lane->home)
			return;
		contest_leave(lane);
		contest_enter(g, lane, home);
		if (++lane->moves > MOST_MOVES && !lane->holds)
			contest_hold(g, lane);
	}
}

static void run_contested(struct governor *g, struct decisions *d)
{
	struct limiter *l, *next;

	for (l = TAILQ_FIRST(&g->contested); l; l = next) {
		run_limiter(g, l, d);
		next = TAILQ_NEXT(l, contested);
		if (l->n_heap)
			continue;
		TAILQ_REMOVE(&g->contested, l, contested);
		l->listed = false;
	}
}

static uint64_t deadline_ns(const struct governor *g, const struct ticket *t)
{
	uint64_t max_wait_ns = g->policy->max_wait_ns;

	return max_wait_ns < UINT64_MAX - t->since_ns ? t->since_ns + max_wait_ns : UINT64_MAX;
}

// Whether there were any.
static bool run_overdue(struct governor *g, struct decisions *d)
{
	bool found = false;
	struct ticket *t;

	while (d->n < d->max && (t = TAILQ_FIRST(&g->waiting)) && deadline_ns(g, t) <= d->now_ns) {
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

// governor_next_ns(), computed.
static uint64_t due_ns(const struct governor *g, uint64_t now_ns)
{
	const struct ticket *oldest = TAILQ_FIRST(&g->waiting);
	uint64_t due = oldest ? deadline_ns(g, oldest) : UINT64_MAX, ready_ns;
	const struct limiter *l;
	const struct lane *lane;
	size_t home;

	if (!TAILQ_EMPTY(&g->decided))
		return now_ns;
	TAILQ_FOREACH (l, &g->contested, contested) {
		if (l->holder || !(lane = contest_front(l)))
			continue;
		ready_ns = bucket_ready_ns(&l->bucket, lane_first(lane)->draws[lane->home].amount,
					   now_ns);
		due = ready_ns < due ? ready_ns : due;
	}
	TAILQ_FOREACH (lane, &g->holders, holding) {
		if (!lane_is_blocked(lane, now_ns, &home, &ready_ns))
			return now_ns;
		due = ready_ns < due ? ready_ns : due;
	}
	return due;
}

size_t governor_run(struct governor *g, uint64_t now_ns, struct decision *out, size_t max)
{
	struct decisions d = {.out = out, .max = max, .now_ns = now_ns};

	if (!max || governor_next_ns(g, now_ns) > now_ns)
		return 0;
	g->due_is_known = false;
	run_decided(g, &d);
	run_holders(g, &d);
	do
		run_contested(g, &d);
	while (run_overdue(g, &d));
	if (d.n < max) {
		g->due_ns = due_ns(g, now_ns);
		g->due_is_known = true;
	}
	return d.n;
}

uint64_t governor_next_ns(const struct governor *g, uint64_t now_ns)
{
	uint64_t due = g->due_is_known ? g->due_ns : due_ns(g, now_ns);

	return due > now_ns ? due : now_ns;
}

void governor_withdraw(struct governor *g, uint64_t id, uint64_t now_ns)
{
	struct ticket *t = ticket_find(g, id);

	(void)now_ns;
	if (!t || t->state == TICKET_ADMITTED)
		return;
	if (t->state == TICKET_WAITING) {
		lane_remove(g, t, false);
	} else {
		TAILQ_REMOVE(&g->decided, t, by_age);
		g->n_waiting--;
	}
	ticket_free(g, t);
	g->due_is_known = false;
}

size_t governor_waiting(const struct governor *g)
{
	return g->n_waiting;
}
