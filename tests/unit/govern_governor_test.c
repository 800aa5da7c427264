// What a program sees of the governor: let through, held, turned away, and when. Who comes first is
// in govern_fairness_test.c; what becomes of a request after it was let go, in
// govern_outcome_test.c; waiting that ends otherwise, in govern_wait_test.c.
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern/limiter.h"
#include "govern_world.h"

static void what_no_limit_matches_passes(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_limit(w, "l", RESOURCE_REQUESTS, 1, "gpt-4*");
	world_begin(w, 0);
	for (uint64_t id = 0; id < 100; id++)
		assert_int_equal(submit_model(w, id, "o3", 1e9, 0), VERDICT_ADMITTED);
	assert_null(w->last.workload);
	assert_int_equal(submit_model(w, 100, "gpt-4o", 1, 0), VERDICT_ADMITTED);
	assert_string_equal(w->last.workload, "default");
	assert_int_equal(submit_model(w, 101, "gpt-4o", 1, 0), VERDICT_QUEUED);
	world_free(w);
}

static void an_id_in_use_is_refused(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_limit(w, "l", RESOURCE_REQUESTS, 10, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "m", 1, 0);
	struct ask ask = ASK(w, 1, 1);
	assert_int_equal(governor_submit(w->g, &ask, 0, &w->last), -EEXIST);
	governor_settle(w->g, 1, NULL, 0);
	assert_int_equal(governor_submit(w->g, &ask, 0, &w->last), 0);
	world_free(w);
}

static void a_held_request_leaves_at_the_instant_it_may(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct decision d;

	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "m", 60, 0);
	assert_int_equal(submit_model(w, 2, "m", 10, S), VERDICT_QUEUED);
	assert_int_equal(governor_run(w->g, S, &d, 1), 0);
	assert_int_equal(governor_next_ns(w->g, S), 10 * S);
	assert_int_equal(governor_run(w->g, 10 * S - 1000, &d, 1), 0);
	assert_int_equal(governor_next_ns(w->g, 10 * S - 1000), 10 * S);
	assert_int_equal(governor_run(w->g, 10 * S, &d, 1), 1);
	assert_int_equal(d.id, 2);
	assert_int_equal(d.waited_ns, 9 * S);
	governor_run(w->g, 10 * S, &d, 1);
	assert_int_equal(governor_next_ns(w->g, 10 * S), UINT64_MAX);
	world_free(w);
}

static void all_limits_admit_or_none_is_drawn(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_limit(w, "a", RESOURCE_REQUESTS, 60, NULL);
	world_limit(w, "a", RESOURCE_TOKENS, 100, NULL);
	world_limit(w, "b", RESOURCE_TOKENS, 10, "m");
	world_begin(w, 0);
	submit_model(w, 1, "m", 10, 0);
	assert_int_equal(submit_model(w, 2, "m", 5, 0), VERDICT_QUEUED);
	assert_near(level(w, "a", "", RESOURCE_TOKENS, 0), 90);
	assert_near(level(w, "a", "", RESOURCE_REQUESTS, 0), 59);
	assert_near(level(w, "b", "", RESOURCE_TOKENS, 0), 0);
	world_free(w);
}

static void a_blocked_limit_does_not_block_the_others(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_limit(w, "slow", RESOURCE_TOKENS, 10, "slow");
	world_limit(w, "all", RESOURCE_TOKENS, 1000, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "slow", 10, 0);
	assert_int_equal(submit_model(w, 2, "slow", 10, 0), VERDICT_QUEUED);
	assert_int_equal(submit_model(w, 3, "fast", 500, 0), VERDICT_ADMITTED);
	world_free(w);
}

static void small_requests_do_not_starve_a_large_one(void **state)
{
	(void)state;
	struct world *w = world_new();
	uint64_t now_ns = 0;

	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "m", 30, 0);
	assert_int_equal(submit_model(w, 2, "m", 100, 0), VERDICT_QUEUED); // needs it full
	assert_int_equal(submit_model(w, 3, "m", 1, 0), VERDICT_QUEUED);   // would fit
	assert_next(w, &now_ns, 2, VERDICT_ADMITTED, 30 * S);
	assert_next(w, &now_ns, 3, VERDICT_ADMITTED, 71 * S);
	world_free(w);
}

// It needs two limits full at once, and each is drained while it waits for the other.
static void two_busy_limits_do_not_starve_a_large_request(void **state)
{
	(void)state;
	struct world *w = world_new();
	uint64_t now_ns = 0, id = 10, waited_ns = 0;

	world_limit(w, "a", RESOURCE_TOKENS, 60, "*a*");
	world_limit(w, "b", RESOURCE_TOKENS, 60, "*b*");
	world_begin(w, 0);
	submit_model(w, 1, "a", 60, 0);
	submit_model(w, 2, "b", 30, 0);
	assert_int_equal(submit_model(w, 3, "ab", 60, 0), VERDICT_QUEUED);
	for (int i = 0; i < 30; i++)
		submit_model(w, id++, i % 2 ? "a" : "b", 7, 0);
	while (!waited_ns && id < 10000) {
		struct decision d = next_decision(w, &now_ns);

		if (d.id == 3)
			waited_ns = d.waited_ns;
		submit_model(w, id, id % 2 ? "a" : "b", 7, now_ns);
		id++;
	}
	assert_true(waited_ns && waited_ns < 600 * S);
	world_free(w);
}

static void a_denying_limit_turns_away_at_once(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_limit(w, "strict", RESOURCE_REQUESTS, 1, NULL)->over_limit = OVER_LIMIT_DENY;
	world_limit(w, "zero", RESOURCE_REQUESTS, 0, "forbidden");
	world_begin(w, 0);
	assert_int_equal(submit_model(w, 1, "m", 1, 0), VERDICT_ADMITTED);
	assert_int_equal(submit_model(w, 2, "m", 1, 0), VERDICT_DENIED);
	assert_string_equal(w->last.policy, "strict");
	assert_int_equal(submit_model(w, 3, "forbidden", 1, 60 * S), VERDICT_DENIED);
	assert_string_equal(w->last.policy, "zero");
	assert_int_equal(governor_waiting(w->g), 0);
	assert_near(level(w, "strict", "", RESOURCE_REQUESTS, 60 * S), 1); // nothing was drawn
	world_free(w);
}

// What never fills cannot be waited for.
static void a_spent_lump_turns_away_whatever_it_says(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_limit(w, "trial", RESOURCE_REQUESTS, 2, NULL)->fill_amount = 0;
	world_begin(w, 0);
	assert_int_equal(submit_model(w, 1, "m", 1, 0), VERDICT_ADMITTED);
	assert_int_equal(submit_model(w, 2, "m", 1, 0), VERDICT_ADMITTED);
	assert_int_equal(submit_model(w, 3, "m", 1, DAY), VERDICT_DENIED);
	assert_string_equal(w->last.policy, "trial");
	world_free(w);
}

static void a_denying_limit_is_asked_again_when_the_turn_comes(void **state)
{
	(void)state;
	struct world *w = world_new();
	uint64_t now_ns = 0;

	world_limit(w, "strict", RESOURCE_REQUESTS, 2, NULL)->over_limit = OVER_LIMIT_DENY;
	world_limit(w, "queue", RESOURCE_TOKENS, 60, "m");
	world_begin(w, 0);
	submit_model(w, 1, "m", 60, 0);
	assert_int_equal(submit_model(w, 2, "m", 1, 0), VERDICT_QUEUED);
	assert_int_equal(submit_model(w, 3, "other", 1, 0), VERDICT_ADMITTED);
	struct decision d = next_decision(w, &now_ns);
	assert_int_equal(d.verdict, VERDICT_DENIED);
	assert_string_equal(d.policy, "strict");
	world_free(w);
}

static void a_month_s_budget_ends_with_the_month(void **state)
{
	(void)state;
	struct world *w = world_new();
	uint64_t may_2026_ns = 1777593600 * S, june_ns = may_2026_ns + 31 * DAY;
	struct limit *l = world_limit(w, "budget", RESOURCE_COST, 500, NULL);
	struct ask ask;

	l->calendar = CALENDAR_MONTH;
	l->interval_ns = 30 * DAY;
	l->over_limit = OVER_LIMIT_DENY;
	world_begin(w, may_2026_ns + DAY);
	ask = ASK(w, 1, 1);
	ask.amounts[RESOURCE_COST] = 499.99;
	assert_int_equal(submit(w, ask, may_2026_ns + DAY), VERDICT_ADMITTED);
	ask.id = 2;
	ask.amounts[RESOURCE_COST] = 0.02;
	assert_int_equal(submit(w, ask, may_2026_ns + 2 * DAY), VERDICT_DENIED);
	assert_int_equal(submit(w, ask, june_ns - 1), VERDICT_DENIED);
	assert_int_equal(submit(w, ask, june_ns), VERDICT_ADMITTED);
	world_free(w);
}

static void a_denied_team_gets_nothing(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct team *out = world_team(w, "interns", 1);

	out->deny = true;
	world_limit(w, "l", RESOURCE_REQUESTS, 60, NULL);
	world_begin(w, 0);
	assert_int_equal(submit(w, of_team(ASK(w, 1, 1), out), 0), VERDICT_DENIED);
	assert_string_equal(w->last.policy, "interns");
	world_free(w);
}

static void a_team_s_own_ceiling_holds(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct team *t = world_team(w, "t", 1);

	t->rpm = (struct rate){RATE_PER_MINUTE, 2};
	t->tpm = (struct rate){RATE_PERCENT, 50};
	world_limit(w, "l", RESOURCE_REQUESTS, 60, NULL);
	world_limit(w, "l", RESOURCE_TOKENS, 1000, NULL);
	world_begin(w, 0);
	assert_int_equal(submit(w, of_team(ASK(w, 1, 400), t), 0), VERDICT_ADMITTED);
	assert_near(level(w, "team t", "", RESOURCE_REQUESTS, 0), 1);
	assert_near(level(w, "team t", "l", RESOURCE_TOKENS, 0), 100);
	assert_int_equal(submit(w, of_team(ASK(w, 2, 400), t), 0), VERDICT_QUEUED);
	assert_int_equal(submit_model(w, 3, "m", 400, 0), VERDICT_ADMITTED);
	world_free(w);
}

static void unused_buckets_are_forgotten(void **state)
{
	(void)state;
	struct world *w = world_new();
	char user[32];

	world_key(world_limit(w, "l", RESOURCE_REQUESTS, 60, NULL), LABEL_USER);
	world_begin(w, 0);
	for (uint64_t id = 0; id < 100000; id++) {
		snprintf(user, sizeof(user), "user-%u", (unsigned int)id);
		submit(w, ASK(w, id, 1, {LABEL_USER, user}), id * S / 100);
		governor_settle(w->g, id, NULL, id * S / 100);
	}
	assert_true(w->g->limiters.count <= LIMITERS_KEPT);
	world_free(w);
}

// A bucket that still lacks something, or that a 429 has shut, must not come back full.
static void used_buckets_are_not_forgotten(void **state)
{
	(void)state;
	struct world *w = world_new();
	char user[32];

	world_key(world_limit(w, "l", RESOURCE_REQUESTS, 60, NULL), LABEL_API_KEY);
	world_begin(w, 0);
	for (uint64_t id = 0; id < 60; id++)
		submit(w, ASK(w, id, 1, {LABEL_API_KEY, "busy"}), 0);
	for (uint64_t id = 100; id < 100 + 2 * LIMITERS_KEPT; id++) {
		snprintf(user, sizeof(user), "user-%u", (unsigned int)id);
		submit(w, ASK(w, id, 1, {LABEL_API_KEY, user}), 30 * S + id);
	}
	assert_close(level(w, "l", "busy", RESOURCE_REQUESTS, 31 * S), 31, 0.001);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_no_limit_matches_passes),
		cmocka_unit_test(an_id_in_use_is_refused),
		cmocka_unit_test(a_held_request_leaves_at_the_instant_it_may),
		cmocka_unit_test(all_limits_admit_or_none_is_drawn),
		cmocka_unit_test(a_blocked_limit_does_not_block_the_others),
		cmocka_unit_test(small_requests_do_not_starve_a_large_one),
		cmocka_unit_test(two_busy_limits_do_not_starve_a_large_request),
		cmocka_unit_test(a_denying_limit_turns_away_at_once),
		cmocka_unit_test(a_spent_lump_turns_away_whatever_it_says),
		cmocka_unit_test(a_denying_limit_is_asked_again_when_the_turn_comes),
		cmocka_unit_test(a_month_s_budget_ends_with_the_month),
		cmocka_unit_test(a_denied_team_gets_nothing),
		cmocka_unit_test(a_team_s_own_ceiling_holds),
		cmocka_unit_test(unused_buckets_are_forgotten),
		cmocka_unit_test(used_buckets_are_not_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
