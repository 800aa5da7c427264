// What holds for every policy and every course of events: 10,000 random ones, always the same.
//
//   - No window of time sees more admitted than the policy allows (capacity + fill × window, and
//     the debt of one request larger than the capacity). Counted is what was really used, from a
//     book that this test keeps beside the engine.
//   - Nothing waits that could go: of each waiting request some limiter lacks tokens for it, or is
//     claimed by an earlier one that itself lacks tokens there, or is held for another. So no
//     limiter is full while its front waits for it.
//   - governor_next_ns() is never in the past nor too late, and following it neither spins nor gets
//     stuck.
//   - In the end nothing is left behind: no request, no lane, no share in use, no amount.
//   - Looking changes nothing: a governor that is looked at all the time (check, explain, views)
//     decides as one that is not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "govern/contest.h"
#include "govern/lane.h"
#include "govern/ticket.h"
#include "govern_books.h"

enum { RUNS = 10000 };

// Buckets admit that much early (bucket.c), at the slowest of these policies.
#define SLACK_NS 100000

static void note_decision(struct world *w, const struct decision *d)
{
	struct request *r = &w->requests[d->id];

	switch (d->verdict) {
	case VERDICT_QUEUED:
		r->state = WAITING;
		return;
	case VERDICT_ADMITTED:
		note_admitted(w, d->id, d->waited_ns);
		return;
	case VERDICT_DENIED:
		CHECK(d->policy, "denied by nobody");
		r->state = GONE;
		return;
	case VERDICT_TIMED_OUT:
		CHECK(d->waited_ns > 0 && w->p->policy.on_max_wait == MAX_WAIT_DENY, "too early");
		r->state = GONE;
	}
}

static void check_equal(const struct decision *a, const struct decision *b)
{
	CHECK(a->id == b->id && a->verdict == b->verdict && a->waited_ns == b->waited_ns &&
		      a->policy == b->policy && a->workload == b->workload &&
		      fabs(a->moved - b->moved) < 1e-6,
	      "request %llu got %d, moved %f; with nobody looking %llu got %d, moved %f",
	      (unsigned long long)a->id, (int)a->verdict, a->moved, (unsigned long long)b->id,
	      (int)b->verdict, b->moved);
}

// Whether the need keeps the lane's first request, for one of the three good reasons.
static bool keeps(const struct lane *lane, size_t need, uint64_t now)
{
	const struct limiter *l = lane->needs[need].limiter;
	const struct lane *front = contest_front(l, now);

	if (l->denies)
		return false;
	if (!bucket_admits(&l->bucket, lane_first(lane)->draws[need].amount, now))
		return true;
	if (l->holder && l->holder != lane)
		return true;
	return front && front != lane && !contest_would_lead(lane, need, now) &&
	       !bucket_admits(&l->bucket, lane_first(front)->draws[front->home].amount, now);
}

static void check_nobody_could_go(const struct world *w, uint64_t at)
{
	for (struct hash_node *n = hashtab_first(&w->g->lanes); n;
	     n = hashtab_next(&w->g->lanes, n)) {
		const struct lane *lane = container_of(n, struct lane, node);
		const struct ticket *t;
		bool waits = false;

		CHECK(lane->in_leaf.place, "a lane waits nowhere");
		for (size_t i = 0; i < lane->n_needs; i++)
			waits |= keeps(lane, i, at);
		CHECK(waits, "request %llu waits for nothing",
		      (unsigned long long)lane_first(lane)->id);
		TAILQ_FOREACH (t, &lane->tickets, in_lane)
			CHECK(t->timeout_ns > at - t->since_ns, "%llu waits too long",
			      (unsigned long long)t->id);
	}
}

static int by_id(const void *a, const void *b)
{
	const struct decision *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

// All decisions that can be made now, some at a time.
static size_t decide(const struct world *w, struct governor *g, size_t max, struct decision *out)
{
	size_t n = 0, more;

	do {
		more = governor_run(g, w->now, out + n, max);
		n += more;
		CHECK(n <= w->last_id, "no end of decisions");
	} while (more == max);
	return n;
}

// Decides what can be decided, of both, and that is all there is.
static void run(struct world *w)
{
	static struct decision seen[EVENTS + 8], unseen[EVENTS + 8];
	size_t max = 1 + below(4), n = decide(w, w->g, max, seen);
	uint64_t next = governor_next_ns(w->g, w->now);

	CHECK(decide(w, w->twin, max, unseen) == n, "looking changes the number of decisions");
	for (size_t i = 0; i < n; i++) {
		CHECK(w->requests[seen[i].id].state == WAITING, "decided twice");
		note_decision(w, &seen[i]);
	}
	qsort(seen, n, sizeof(*seen), by_id); // those that time out together, in any order
	qsort(unseen, n, sizeof(*unseen), by_id);
	for (size_t i = 0; i < n; i++)
		check_equal(&seen[i], &unseen[i]);
	CHECK(next > w->now, "it wants to be run again at once");
	CHECK(next == governor_next_ns(w->twin, w->now), "looking changes the time to wake up");
	if (next - w->now <= SLACK_NS)
		return;
	check_nobody_could_go(w, w->now);
	if (next != UINT64_MAX)
		check_nobody_could_go(w, next - SLACK_NS);
}

static void ignore_need(void *ctx, const struct need_view *view)
{
	(void)ctx;
	CHECK(view->amount >= 0, "a need of %f", view->amount);
}

static void check_waiting_view(void *ctx, const struct waiting_view *view)
{
	uint64_t *last = ctx;

	CHECK(view->eta_ns >= *last, "waiting requests are shown out of order");
	*last = view->eta_ns;
}

static void ignore_bucket(void *ctx, const struct bucket_view *view)
{
	(void)ctx;
	CHECK(view->level <= view->capacity, "%s holds too much", view->policy);
}

static void ignore_limit(void *ctx, const struct limit_view *view)
{
	(void)ctx;
	CHECK(view->n_accepted + view->n_denied <= view->n_offered + EVENTS, "miscounted");
}

static void ignore_state(void *ctx, const struct bucket_state *state)
{
	(void)ctx;
	CHECK(!isnan(state->level), "%s saves no number", state->limit);
}

static void look(struct world *w)
{
	uint64_t id = 1 + below(w->last_id + 1), last = 0;
	struct explanation explanation;
	struct random_ask a;

	random_ask(&a, w->p, UINT64_MAX - 1);
	struct ask ask = ask_under(&a, w->p);
	switch (below(6)) {
	case 0:
		governor_each_waiting(w->g, w->now, check_waiting_view, &last);
		break;
	case 1:
		governor_each_bucket(w->g, w->now, ignore_bucket, NULL);
		governor_each_limit(w->g, w->now, ignore_limit, NULL);
		break;
	case 2:
		governor_save(w->g, one_in(2), w->now, ignore_state, NULL);
		break;
	case 3:
		governor_explain(w->g, id, w->now, ignore_need, NULL, &explanation);
		break;
	default:
		CHECK(!governor_check(w->g, &ask, w->now, ignore_need, NULL, &explanation),
		      "cannot check");
	}
}

static void submit(struct world *w)
{
	uint64_t id = ++w->last_id;
	struct request *r = &w->requests[id];
	struct decision d, e;

	random_ask(&r->ask, w->p, id);
	r->ask.ask.id = id;
	struct ask ask = ask_under(&r->ask, w->p);
	CHECK(!governor_submit(w->g, &ask, w->now, &d), "not taken");
	CHECK(!governor_submit(w->twin, &ask, w->now, &e), "not taken");
	check_equal(&d, &e);
	note_decision(w, &d);
}

static bool is_settled_by_usage(enum resource resource)
{
	return resource > RESOURCE_IMAGES;
}

static void settle(struct world *w, uint64_t id, const double *used)
{
	struct request *r = &w->requests[id];

	governor_settle(w->g, id, used, w->now);
	governor_settle(w->twin, id, used, w->now);
	for (size_t i = 0; used && r->state == ADMITTED && i < r->n_draws; i++)
		if (is_settled_by_usage(r->draws[i].book->resource) && !r->draws[i].is_fixed)
			change_use(w, id, i, used[r->draws[i].book->resource]);
	r->state = GONE;
}

static void refund(struct world *w, uint64_t id)
{
	struct request *r = &w->requests[id];

	governor_refund(w->g, id, w->now);
	governor_refund(w->twin, id, w->now);
	if (r->state != ADMITTED)
		return;
	for (size_t i = 0; i < r->n_draws; i++)
		change_use(w, id, i, 0);
	r->state = GONE;
}

static void amend(struct world *w, uint64_t id, const double *amounts)
{
	struct request *r = &w->requests[id];

	governor_amend(w->g, id, amounts, w->now);
	governor_amend(w->twin, id, amounts, w->now);
	for (size_t i = 0; r->state == ADMITTED && i < r->n_draws; i++)
		if (!r->draws[i].is_fixed)
			change_use(w, id, i, amounts[r->draws[i].book->resource]);
}

static void withdraw(struct world *w, uint64_t id)
{
	bool may_return = one_in(2);

	governor_withdraw(w->g, id, may_return, w->now);
	governor_withdraw(w->twin, id, may_return, w->now);
	if (w->requests[id].state == WAITING)
		w->requests[id].state = GONE;
}

// A provider that has less than we thought, but never more (limits of no policy here: only of the
// limit's own is more believed).
static struct told random_told(double limit)
{
	struct told told = {-1, -1, -1};

	if (one_in(3))
		return told;
	told.limit = limit;
	told.remaining = floor(limit * (double)below(100) / 100);
	told.reset_s = (limit - told.remaining) / limit * 60;
	return told;
}

static void note_shut(struct world *w, uint64_t id, const struct outcome *o)
{
	bool is_429_on_any = o->is_429_on[RESOURCE_REQUESTS] || o->is_429_on[RESOURCE_TOKENS];
	uint64_t ns = o->quota_is_exhausted ? 3600 * S : 0;
	struct request *r = &w->requests[id];

	for (size_t i = 0; r->state == ADMITTED && i < r->n_draws; i++) {
		struct book *book = r->draws[i].book;
		uint64_t shut_ns = ns;

		if (book->kind != LIMITER_LIMIT || r->draws[i].generation != book->generation)
			continue;
		for (size_t j = 0; j < w->p->policy.n_limits; j++)
			if (!strcmp(w->p->limits[j].name, book->limit) && !w->p->limits[j].mirrors)
				shut_ns = 0;
			else if (!strcmp(w->p->limits[j].name, book->limit) &&
				 (o->is_429_on[book->resource] || !is_429_on_any))
				shut_ns = shut_ns > o->shut_ns ? shut_ns : o->shut_ns;
		if (w->now + shut_ns > book->shut_until)
			book->shut_until = w->now + shut_ns;
	}
}

static void learn(struct world *w, uint64_t id)
{
	struct outcome o = {
		.requests = random_told(17.123),
		.tokens = random_told(1999.123),
		.images = {-1, -1, -1},
		.shut_ns = one_in(4) ? below(30 * S) : 0,
		.is_429_on = {[RESOURCE_REQUESTS] = one_in(4), [RESOURCE_TOKENS] = one_in(4)},
		.quota_is_exhausted = one_in(100),
	};

	note_shut(w, id, &o);
	governor_learn(w->g, id, &o, w->now);
	governor_learn(w->twin, id, &o, w->now);
}

// Somebody opens a bucket. (Of several, the order in which waiting requests find them open is not
// defined, so what looks and what does not could differ.)
static void reset(struct world *w)
{
	struct book *book = &w->books[w->n_books ? below(w->n_books) : 0];
	const char *name = *book->limit ? book->limit : book->team;
	size_t n = 0;

	for (const struct book *b = w->books; b < w->books + w->n_books; b++)
		n += (!strcmp(name, b->limit) || !strcmp(name, b->team)) &&
		     !strcmp(book->key, b->key);
	if (n != 1)
		return;
	governor_reset(w->g, name, book->key, w->now);
	governor_reset(w->twin, name, book->key, w->now);
	book->n_uses = 0;
	book->shut_until = 0;
}

static bool still_asks(const struct world *w, uint64_t id)
{
	return hash_mix(w->n_reloads, id) % 8;
}

static bool ask_again(void *ctx, uint64_t id, struct ask *ret)
{
	struct world *w = ctx;

	*ret = ask_under(&w->requests[id].ask, w->p);
	return still_asks(w, id);
}

// Whether the policy in effect still has what the book is of.
static bool is_kept(const struct world *w, const struct book *book)
{
	const struct team *team = NULL;
	const struct limit *limit = NULL;
	const struct rate *rate = NULL;

	for (size_t i = 0; i < w->p->policy.n_teams; i++)
		if (!strcmp(w->p->teams[i].name, book->team))
			team = &w->p->teams[i];
	for (size_t i = 0; i < w->p->policy.n_limits; i++)
		if (!strcmp(w->p->limits[i].name, book->limit) &&
		    w->p->limits[i].interval_ns == book->interval_ns)
			limit = &w->p->limits[i];
	if (team)
		rate = book->resource == RESOURCE_REQUESTS ? &team->rpm : &team->tpm;
	if (book->kind == LIMITER_TEAM)
		return rate && rate->kind == RATE_PER_MINUTE;
	if (book->kind == LIMITER_SHARE)
		return limit && rate && rate->kind == RATE_PERCENT &&
		       !isinf(book->allowed.capacity);
	return limit;
}

static void note_reload(struct world *w)
{
	struct hash_node *n;

	for (struct book *book = w->books; book < w->books + w->n_books; book++) {
		if (is_kept(w, book))
			continue;
		book->generation++;
		book->n_uses = 0;
		book->drawn = 0;
		book->shut_until = 0;
	}
	for (n = hashtab_first(&w->g->limiters); n; n = hashtab_next(&w->g->limiters, n))
		book_of(w, container_of(n, struct limiter, node));
	for (uint64_t id = 1; id <= w->last_id; id++)
		if (w->requests[id].state == WAITING && !still_asks(w, id))
			w->requests[id].state = GONE;
}

static void reload(struct world *w)
{
	struct random_policy *next = w->p == w->policies ? w->policies + 1 : w->policies;

	*next = *w->p;
	next->policy.zone = &next->zone;
	next->zone.offsets = &next->offset;
	next->policy.teams = next->teams;
	next->policy.limits = next->limits;
	next->policy.schedulers = next->scheduler_list;
	next->policy.labels = next->labels;
	for (size_t i = 0; i < RANDOM_SCHEDULERS; i++) {
		next->scheduler_list[i] = &next->schedulers[i];
		next->schedulers[i].workloads = next->workloads[i];
	}
	for (size_t i = 0; i < RANDOM_LIMITS; i++) {
		next->limits[i].keys = next->keys[i];
		next->limits[i].selectors = next->selectors[i];
		if (next->limits[i].scheduler)
			next->limits[i].scheduler =
				&next->schedulers[w->p->limits[i].scheduler - w->p->schedulers];
	}
	change_policy(next);
	w->p = next;
	w->n_reloads++;
	CHECK(!governor_reload(w->g, &next->policy, ask_again, w, w->now), "no reload");
	CHECK(!governor_reload(w->twin, &next->policy, ask_again, w, w->now), "no reload");
	note_reload(w);
}

static void pass_time(struct world *w)
{
	static const uint64_t steps[] = {S / 10, S, 10 * S, 60 * S, 3600 * S, DAY};
	uint64_t next = governor_next_ns(w->g, w->now);

	CHECK(next >= w->now, "it wants to be run in the past");
	if (one_in(2) && next != UINT64_MAX)
		w->now = next;
	else
		w->now += below(steps[below(one_in(6) ? 6 : 4)]);
	run(w);
}

static void random_event(struct world *w)
{
	uint64_t id = 1 + below(w->last_id + 1);
	double amounts[N_RESOURCES];

	random_amounts(amounts);
	if (one_in(2))
		look(w);
	switch (below(24)) {
	case 0:
		withdraw(w, id);
		break;
	case 1:
		refund(w, id);
		break;
	case 2:
		amend(w, id, amounts);
		break;
	case 3:
	case 4:
		settle(w, id, one_in(4) ? NULL : amounts);
		break;
	case 5:
		learn(w, id);
		break;
	case 6:
		if (one_in(3))
			reset(w);
		else
			reload(w);
		w->now++; // what is drawn in the same ns counts as drawn before
		break;
	case 7:
	case 8:
	case 9:
	case 10:
	case 11:
	case 12:
		pass_time(w);
		break;
	default:
		submit(w);
	}
}

// Everything leaves, each wake-up at the time that was asked for. What is shut for good is opened.
static void drain(struct world *w)
{
	size_t wake_ups = 0;

	while (governor_waiting(w->g)) {
		uint64_t next = governor_next_ns(w->g, w->now);

		CHECK(next != UINT64_MAX, "%zu wait for ever", governor_waiting(w->g));
		w->now = next;
		run(w);
		CHECK(++wake_ups < 100 + 20 * w->last_id, "too many wake-ups");
	}
}

static void check_share(const struct share *s)
{
	CHECK(!s->n_lanes && !s->heap.n && !s->head && !s->in_parent.place,
	      "a share still has lanes");
}

// Of requests that were withdrawn and may return.
static size_t absent_refs(const struct governor *g, const struct limiter *l)
{
	const struct absence *absence;
	size_t n = 0;

	TAILQ_FOREACH (absence, &g->absent, by_end)
		for (size_t i = 0; i < absence->n_needs; i++)
			n += absence->needs[i].limiter == l;
	return n;
}

static void check_nothing_is_left(struct world *w)
{
	const struct governor *g = w->g;

	CHECK(!g->tickets.count && !g->lanes.count && !g->n_waiting, "%zu tickets, %zu lanes",
	      g->tickets.count, g->lanes.count);
	CHECK(!g->deadlines.n && TAILQ_EMPTY(&g->decided) && !g->ageing.n &&
		      TAILQ_EMPTY(&g->arriving) && TAILQ_EMPTY(&g->holders),
	      "a list is not empty");
	for (struct hash_node *n = hashtab_first(&g->limiters); n;
	     n = hashtab_next(&g->limiters, n)) {
		const struct limiter *l = container_of(n, struct limiter, node);
		const struct book *book = book_of(w, l);

		CHECK(l->refs == absent_refs(g, l) && !l->queued && !l->waiting && !l->holder,
		      "%s: %zu refs", book->limit, l->refs);
		CHECK(fabs(l->arriving) < 1e-6, "%s: %f arriving", book->limit, l->arriving);
		CHECK(fabs(l->drawn - book->drawn) < 1e-6, "%s %s '%s': %f drawn, %f used",
		      book->limit, book->team, book->key, l->drawn, book->drawn);
		check_share(&l->root);
		for (struct hash_node *s = hashtab_first(&l->shares); s;
		     s = hashtab_next(&l->shares, s))
			check_share(container_of(s, struct share, node));
	}
}

// In time, all is as new; what never fills stays as it is.
static void check_all_refills(struct world *w)
{
	uint64_t later = w->now + 100000 * DAY;

	for (struct hash_node *n = hashtab_first(&w->g->limiters); n;
	     n = hashtab_next(&w->g->limiters, n)) {
		const struct bucket *b = &container_of(n, struct limiter, node)->bucket;

		CHECK(bucket_is_fresh(b, later) || b->terms.fill_amount <= 0 ||
			      b->shut_until_ns == BUCKET_NEVER,
		      "a level stays at %f of %f", bucket_level(b, later), b->terms.capacity);
	}
}

static void random_worlds_keep_their_promises(void **state)
{
	static struct world w;

	(void)state;
	for (run_number = 0; run_number < RUNS; run_number++) {
		seed = (uint64_t)run_number;
		begin(&w);
		for (int event = 0; event < EVENTS; event++)
			random_event(&w);
		run(&w);
		drain(&w);
		for (uint64_t id = 1; id <= w.last_id; id++)
			settle(&w, id, NULL);
		run(&w);
		check_nothing_is_left(&w);
		CHECK(governor_next_ns(w.g, w.now) == UINT64_MAX, "it still wants to be run");
		check_all_refills(&w);
		governor_free(w.g);
		governor_free(w.twin);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_worlds_keep_their_promises),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
