// What holds for every policy and every course of events: 2,000 random ones, always the same.
//
//   - no window of time sees more admitted than capacity + fill × window (and one debt);
//   - nothing waits that could go (no wait without a limiter that lacks something);
//   - governor_next_ns() is never in the past, and following it neither spins nor gets stuck;
//   - in the end nothing is left behind: no request, no lane, and all levels full.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "govern/contest.h"
#include "govern/lane.h"
#include "govern/ticket.h"

#define S NS_PER_S
enum { RUNS = 2000, EVENTS = 120, TEAMS = 3, LIMITS = 3, MOST_DRAWS = 4096 };

static uint64_t seed;

static uint64_t random_below(uint64_t n)
{
	seed = hash_mix(seed, 1);
	return seed % n;
}

static struct rate random_rate(uint64_t largest)
{
	if (!random_below(3))
		return (struct rate){0};
	return (struct rate){RATE_PER_MINUTE, (double)(1 + random_below(largest))};
}

struct world {
	struct team teams[TEAMS];
	struct limit limits[LIMITS];
	enum key_label keys[1];
	struct policy policy;
	struct governor *g;
	uint64_t now, next_id;
	size_t n_runs, n_submitted;
	uint64_t ids[EVENTS + 1]; // admitted
	size_t n_ids;
	struct {
		const struct limiter *limiter;
		uint64_t at, id;
		double amount;
	} drawn[MOST_DRAWS];
	size_t n_drawn;
};

static char *const globs[] = {NULL, "m1", "m2", "m*"};

static void make_world(struct world *w)
{
	memset(w, 0, sizeof(*w));
	for (int i = 0; i < TEAMS; i++) {
		struct team *team = &w->teams[i];

		*team = (struct team){.name = (char *[]){"a", "b", "c"}[i], .priority = 1};
		team->weight = (double)(1 + random_below(9));
		if (!random_below(3))
			team->tpm = (struct rate){RATE_PERCENT, (double)(1 + random_below(99))};
		if (!random_below(3))
			team->rpm = random_rate(60);
	}
	w->keys[0] = random_below(2) ? KEY_MODEL : KEY_TEAM;
	for (int i = 0; i < LIMITS; i++) {
		struct limit *limit = &w->limits[i];

		*limit = (struct limit){.name = (char *[]){"x", "y", "z"}[i], .keys = w->keys};
		limit->match.model = globs[random_below(4)];
		limit->n_keys = random_below(2);
		limit->rpm = random_rate(60);
		limit->tpm = random_rate(3000);
		if (!random_below(6))
			limit->over_limit = OVER_LIMIT_DENY;
	}
	w->policy = (struct policy){
		.max_wait_ns = UINT64_MAX,
		.headroom_ns = random_below(2) * S / 4,
		.teams = w->teams,
		.n_teams = TEAMS,
		.limits = w->limits,
		.n_limits = 1 + random_below(LIMITS),
	};
	w->now = random_below(1000) * S;
	w->g = governor_new(&w->policy, w->now);
}

static void note_admitted(struct world *w, uint64_t id)
{
	const struct ticket *t = ticket_find(w->g, id);

	w->ids[w->n_ids++] = id;
	for (size_t i = 0; i < t->n_draws; i++) {
		assert_true(w->n_drawn < MOST_DRAWS);
		w->drawn[w->n_drawn].limiter = t->draws[i].limiter;
		w->drawn[w->n_drawn].amount = t->draws[i].amount;
		w->drawn[w->n_drawn].id = id;
		w->drawn[w->n_drawn++].at = w->now;
	}
}

static bool lacks(const struct limiter *l, const struct lane *lane, uint64_t now)
{
	const struct ticket *t = lane_first(lane);

	for (size_t i = 0; i < t->n_draws; i++)
		if (t->draws[i].limiter == l && !l->denies)
			return !bucket_admits(&l->bucket, t->draws[i].amount, now);
	return false;
}

static void assert_nothing_waits_in_vain(const struct world *w)
{
	const struct hash_node *node = hashtab_first(&w->g->lanes);

	for (; node; node = hashtab_next(&w->g->lanes, node)) {
		const struct lane *lane = container_of(node, struct lane, node);
		bool has_reason = false;

		for (size_t i = 0; i < lane->n_needs; i++) {
			const struct limiter *l = lane->needs[i].limiter;
			const struct lane *front = contest_front(l);

			has_reason |= lacks(l, lane, w->now) || (l->holder && l->holder != lane) ||
				      (front && front != lane && lacks(l, front, w->now));
		}
		assert_true(has_reason);
	}
}

static size_t run(struct world *w)
{
	struct decision decisions[3];
	size_t sum = 0, n, max = 1 + random_below(3);

	do {
		n = governor_run(w->g, w->now, decisions, max);
		w->n_runs++;
		sum += n;
		for (size_t i = 0; i < n; i++)
			if (decisions[i].verdict == VERDICT_ADMITTED)
				note_admitted(w, decisions[i].id);
	} while (n == max);
	// A lane for which limiters are held in this very run may need another.
	if (governor_next_ns(w->g, w->now) == w->now)
		return sum + run(w);
	assert_nothing_waits_in_vain(w);
	return sum;
}

static void submit(struct world *w)
{
	struct ask ask = {
		.id = w->next_id++,
		.model = random_below(2) ? "m1" : "m2",
		.requests = 1,
		.tokens = (double)random_below(random_below(4) ? 100 : 4000),
	};
	size_t team = random_below(TEAMS + 1);
	enum verdict verdict;
	const char *policy;

	if (team < TEAMS)
		ask.team = &w->teams[team];
	assert_int_equal(governor_submit(w->g, &ask, w->now, &verdict, &policy), 0);
	w->n_submitted++;
	if (verdict == VERDICT_ADMITTED)
		note_admitted(w, ask.id);
	if (verdict == VERDICT_DENIED)
		assert_non_null(policy);
}

static void settle_or_refund(struct world *w)
{
	if (!w->n_ids)
		return;
	size_t i = random_below(w->n_ids);
	uint64_t id = w->ids[i];

	w->ids[i] = w->ids[--w->n_ids];
	if (random_below(3)) {
		governor_settle(w->g, id, w->now);
		return;
	}
	governor_refund(w->g, id, w->now);
	for (size_t j = 0; j < w->n_drawn; j++)
		if (w->drawn[j].id == id)
			w->drawn[j].amount = 0;
}

static void random_event(struct world *w)
{
	uint64_t next = governor_next_ns(w->g, w->now);

	assert_true(next >= w->now);
	switch (random_below(8)) {
	case 0:
		w->now += random_below(20) * S / 10;
		run(w);
		break;
	case 1:
		w->now = next == UINT64_MAX ? w->now : next;
		run(w);
		break;
	case 2:
		governor_withdraw(w->g, random_below(w->next_id + 1), w->now);
		break;
	case 3:
		settle_or_refund(w);
		break;
	default:
		submit(w);
	}
}

// Everything leaves, each wake-up at the time that was asked for.
static void drain(struct world *w)
{
	size_t wake_ups = 0;

	while (governor_waiting(w->g)) {
		uint64_t next = governor_next_ns(w->g, w->now);

		assert_true(next != UINT64_MAX);
		w->now = next;
		run(w);
		assert_true(governor_next_ns(w->g, w->now) > w->now);
		assert_true(++wake_ups < 40 * w->n_submitted);
	}
}

static void assert_windows(const struct world *w)
{
	for (size_t i = 0; i < w->n_drawn; i++) {
		const struct bucket *b = &w->drawn[i].limiter->bucket;
		double sum = 0;

		for (size_t j = i; j < w->n_drawn; j++) {
			if (w->drawn[j].limiter != w->drawn[i].limiter)
				continue;
			double window = (double)(w->drawn[j].at - w->drawn[i].at) / S;
			double debt = fmax(0, w->drawn[j].amount - b->capacity);

			sum += w->drawn[j].amount;
			assert_true(sum <= b->capacity + b->fill_per_s * window + debt + 1e-3);
		}
	}
}

static void assert_full(void *ctx, const struct bucket_view *view)
{
	(void)ctx;
	assert_true(view->level == view->capacity && !view->queued);
}

static void assert_sorted(void *ctx, const struct waiting_view *view)
{
	uint64_t *last = ctx;

	assert_true(view->eta_ns >= *last);
	*last = view->eta_ns;
}

static void random_worlds_keep_their_promises(void **state)
{
	(void)state;
	static struct world w;

	seed = 42;
	for (int i = 0; i < RUNS; i++) {
		uint64_t last = 0;

		make_world(&w);
		for (int event = 0; event < EVENTS; event++)
			random_event(&w);
		governor_each_waiting(w.g, w.now, assert_sorted, &last);
		drain(&w);
		assert_windows(&w);
		while (w.n_ids)
			governor_settle(w.g, w.ids[--w.n_ids], w.now);
		assert_int_equal(w.g->tickets.count, 0);
		assert_int_equal(w.g->lanes.count, 0);
		assert_true(governor_next_ns(w.g, w.now) == UINT64_MAX);
		governor_each_bucket(w.g, w.now + 1000000 * S, assert_full, NULL);
		for (struct hash_node *n = hashtab_first(&w.g->limiters); n;
		     n = hashtab_next(&w.g->limiters, n))
			assert_int_equal(container_of(n, struct limiter, node)->refs, 0);
		governor_free(w.g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_worlds_keep_their_promises),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
