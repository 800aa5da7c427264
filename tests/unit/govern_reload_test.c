// A policy that changes while requests wait: nobody loses a place, no spent token comes back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "govern/bucket.h"
#include "govern/governor.h"

#define S NS_PER_S
#define MINUTES(value)                                                                             \
	{                                                                                          \
		RATE_PER_MINUTE, value                                                             \
	}

static struct team team = {.name = "t", .weight = 1, .priority = 1};

static const struct team *always_team(void *ctx, uint64_t id)
{
	(void)id;
	return ctx;
}

static struct policy policy_of(struct limit *limit)
{
	return (struct policy){
		.max_wait_ns = 100 * S,
		.limits = limit,
		.n_limits = limit ? 1 : 0,
		.teams = &team,
		.n_teams = 1,
	};
}

static enum verdict submit(struct governor *g, uint64_t id, double tokens, uint64_t now)
{
	struct ask ask = {.id = id, .model = "m", .requests = 1, .tokens = tokens, .team = &team};
	enum verdict verdict;
	const char *policy;

	assert_int_equal(governor_submit(g, &ask, now, &verdict, &policy), 0);
	return verdict;
}

static void find_level(void *ctx, const struct bucket_view *view)
{
	*(double *)ctx = view->level;
}

static double only_level(struct governor *g, uint64_t now)
{
	double level = -1e9;

	governor_each_bucket(g, now, find_level, &level);
	return level;
}

static void assert_one(struct governor *g, uint64_t now, uint64_t id, enum verdict verdict)
{
	struct decision d;

	assert_int_equal(governor_next_ns(g, now), now);
	assert_int_equal(governor_run(g, now, &d, 1), 1);
	assert_int_equal(d.id, id);
	assert_int_equal(d.verdict, verdict);
}

static void levels_and_places_survive(void **state)
{
	(void)state;
	struct limit old_limit = {.name = "l", .tpm = MINUTES(60)};
	struct limit new_limit = {.name = "l", .tpm = MINUTES(120)};
	struct policy old_policy = policy_of(&old_limit), new_policy = policy_of(&new_limit);
	struct governor *g = governor_new(&old_policy, 0);
	struct decision d;

	submit(g, 1, 50, 0);
	submit(g, 2, 40, 0);
	submit(g, 3, 10, 0);
	assert_int_equal(governor_reload(g, &new_policy, always_team, &team, 10 * S), 0);
	assert_true(only_level(g, 10 * S) == 20);
	assert_int_equal(governor_waiting(g), 2);
	assert_int_equal(governor_next_ns(g, 10 * S), 20 * S); // 20 more, at 2 a second
	assert_int_equal(governor_run(g, 20 * S, &d, 1), 1);
	assert_int_equal(d.id, 2);
	assert_int_equal(d.waited_ns, 20 * S);
	// What left before the reload can still be given back: the 10 of 50 not refilled since.
	governor_refund(g, 1, 20 * S);
	assert_one(g, 20 * S, 3, VERDICT_ADMITTED);
	assert_true(only_level(g, 20 * S) == 0);
	governor_free(g);
}

static void a_smaller_limit_clips(void **state)
{
	(void)state;
	struct limit old_limit = {.name = "l", .tpm = MINUTES(60)};
	struct limit new_limit = {.name = "l", .tpm = MINUTES(6)};
	struct policy old_policy = policy_of(&old_limit), new_policy = policy_of(&new_limit);
	struct governor *g = governor_new(&old_policy, 0);

	submit(g, 1, 10, 0);
	assert_int_equal(governor_reload(g, &new_policy, always_team, &team, 0), 0);
	assert_true(only_level(g, 0) == 6);
	governor_free(g);
}

static void what_is_free_now_goes(void **state)
{
	(void)state;
	struct limit limit = {.name = "l", .tpm = MINUTES(60)};
	struct policy old_policy = policy_of(&limit), new_policy = policy_of(NULL);
	struct governor *g = governor_new(&old_policy, 0);

	submit(g, 1, 60, 0);
	submit(g, 2, 60, 0);
	assert_int_equal(governor_reload(g, &new_policy, always_team, &team, S), 0);
	// Changed again, before anyone has looked.
	assert_int_equal(governor_reload(g, &new_policy, always_team, &team, S), 0);
	assert_one(g, S, 2, VERDICT_ADMITTED);
	assert_int_equal(governor_waiting(g), 0);
	governor_settle(g, 1, S);
	governor_settle(g, 2, S);
	governor_free(g);
}

static void what_is_forbidden_now_is_denied(void **state)
{
	(void)state;
	struct limit old_limit = {.name = "l", .tpm = MINUTES(60)};
	struct limit new_limit = {.name = "shut", .tpm = MINUTES(0)};
	struct policy old_policy = policy_of(&old_limit), new_policy = policy_of(&new_limit);
	struct governor *g = governor_new(&old_policy, 0);
	struct decision d;

	submit(g, 1, 60, 0);
	submit(g, 2, 60, 0);
	submit(g, 3, 60, 0);
	assert_int_equal(governor_reload(g, &new_policy, always_team, &team, S), 0);
	governor_withdraw(g, 3, S);
	assert_int_equal(governor_run(g, S, &d, 1), 1);
	assert_int_equal(d.verdict, VERDICT_DENIED);
	assert_string_equal(d.policy, "shut");
	assert_int_equal(governor_waiting(g), 0);
	assert_int_equal(governor_next_ns(g, S), UINT64_MAX);
	governor_free(g);
}

static void a_new_team_counts_at_once(void **state)
{
	(void)state;
	struct limit limit = {.name = "l", .tpm = MINUTES(60)};
	struct policy policy = policy_of(&limit);
	struct governor *g = governor_new(&policy, 0);
	struct team out = {.name = "out", .weight = 1, .priority = 1, .deny = true};
	struct decision d;

	submit(g, 1, 60, 0);
	submit(g, 2, 60, 0);
	assert_int_equal(governor_reload(g, &policy, always_team, &out, S), 0);
	assert_int_equal(governor_run(g, S, &d, 1), 1);
	assert_string_equal(d.policy, "out");
	governor_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels_and_places_survive),
		cmocka_unit_test(a_smaller_limit_clips),
		cmocka_unit_test(what_is_free_now_goes),
		cmocka_unit_test(what_is_forbidden_now_is_denied),
		cmocka_unit_test(a_new_team_counts_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
