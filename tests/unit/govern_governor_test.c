// What a program sees of the governor: let through, held, turned away, and when.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <errno.h>
#include <string.h>
#include <cmocka.h>
#include "govern/limiter.h"

#define S NS_PER_S
#define MINUTES(value)                                                                             \
	{                                                                                          \
		RATE_PER_MINUTE, value                                                             \
	}
#define POLICY(limit_array, max_wait)                                                              \
	((struct policy){.max_wait_ns = (max_wait),                                                \
			 .limits = (limit_array),                                                  \
			 .n_limits = sizeof(limit_array) / sizeof(*(limit_array))})

static const char *denied_by;

static enum verdict submit_ask(struct governor *g, struct ask ask, uint64_t now)
{
	enum verdict verdict;

	ask.requests = ask.requests ? ask.requests : 1;
	assert_int_equal(governor_submit(g, &ask, now, &verdict, &denied_by), 0);
	return verdict;
}

static enum verdict submit(struct governor *g, uint64_t id, const char *model, double tokens,
			   uint64_t now)
{
	return submit_ask(g, (struct ask){.id = id, .model = model, .tokens = tokens}, now);
}

// The next decision, and when it is made.
static struct decision next_decision(struct governor *g, uint64_t *now)
{
	struct decision d;

	for (int wake_ups = 0; wake_ups < 100; wake_ups++) {
		*now = governor_next_ns(g, *now);
		assert_true(*now != UINT64_MAX);
		if (governor_run(g, *now, &d, 1))
			return d;
	}
	fail_msg("100 wake-ups without a decision");
	return d;
}

static void assert_next(struct governor *g, uint64_t *now, uint64_t id, enum verdict verdict,
			uint64_t at)
{
	struct decision d = next_decision(g, now);

	assert_int_equal(d.id, id);
	assert_int_equal(d.verdict, verdict);
	assert_int_equal(*now, at);
}

struct levels {
	const char *policy, *key, *resource;
	double level;
	size_t queued, seen;
};

static void find_level(void *ctx, const struct bucket_view *view)
{
	struct levels *wanted = ctx;

	if (strcmp(view->policy, wanted->policy) || strcmp(view->key, wanted->key) ||
	    strcmp(view->resource, wanted->resource))
		return;
	wanted->level = view->level;
	wanted->queued = view->queued;
	wanted->seen++;
}

static double level(struct governor *g, const char *policy, const char *key, const char *resource,
		    uint64_t now)
{
	struct levels wanted = {policy, key, resource, 0, 0, 0};

	governor_each_bucket(g, now, find_level, &wanted);
	if (wanted.seen != 1)
		fail_msg("%zu buckets %s %s %s", wanted.seen, policy, key, resource);
	return round(wanted.level * 1000) / 1000;
}

static void what_no_limit_matches_passes(void **state)
{
	(void)state;
	struct limit limits[] = {{.name = "l", .match.model = "gpt-4*", .rpm = MINUTES(1)}};
	struct policy policy = POLICY(limits, 600 * S);
	struct governor *g = governor_new(&policy, 0);

	for (uint64_t id = 0; id < 100; id++)
		assert_int_equal(submit(g, id, "o3", 1e9, 0), VERDICT_ADMITTED);
	assert_int_equal(submit(g, 100, "gpt-4o", 1, 0), VERDICT_ADMITTED);
	assert_int_equal(submit(g, 101, "gpt-4o", 1, 0), VERDICT_QUEUED);
	governor_free(g);
}

static void an_id_in_use_is_refused(void **state)
{
	(void)state;
	struct limit limits[] = {{.name = "l", .rpm = MINUTES(10)}};
	struct policy policy = POLICY(limits, 600 * S);
	struct governor *g = governor_new(&policy, 0);
	struct ask ask = {.id = 1, .requests = 1};
	enum verdict verdict;

	submit(g, 1, "m", 1, 0);
	assert_int_equal(governor_submit(g, &ask, 0, &verdict, &denied_by), -EEXIST);
	governor_settle(g, 1, 0);
	assert_int_equal(governor_submit(g, &ask, 0, &verdict, &denied_by), 0);
	governor_free(g);
}

static void a_held_request_leaves_at_the_instant_it_may(void **state)
{
	(void)state;
	struct limit limits[] = {{.name = "l", .tpm = MINUTES(60)}};
	struct policy policy = POLICY(limits, 600 * S);
	struct governor *g = governor_new(&policy, 0);
	struct decision d;

	submit(g, 1, "m", 60, 0);
	assert_int_equal(submit(g, 2, "m", 10, S), VERDICT_QUEUED);
	assert_int_equal(governor_next_ns(g, S), 10 * S);
	assert_int_equal(governor_run(g, 10 * S - 1000, &d, 1), 0);
	assert_int_equal(governor_next_ns(g, 10 * S - 1000), 10 * S);
	assert_int_equal(governor_run(g, 10 * S, &d, 1), 1);
	assert_int_equal(d.id, 2);
	assert_int_equal(d.waited_ns, 9 * S);
	assert_int_equal(governor_next_ns(g, 10 * S), UINT64_MAX);
	governor_free(g);
}

static void all_limits_admit_or_none_is_drawn(void **state)
{
	(void)state;
	struct limit limits[] = {{.name = "a", .rpm = MINUTES(60), .tpm = MINUTES(100)},
				 {.name = "b", .match.model = "m", .tpm = MINUTES(10)}};
	struct policy policy = POLICY(limits, 600 * S);
	struct governor *g = governor_new(&policy, 0);

	submit(g, 1, "m", 10, 0);
	assert_int_equal(submit(g, 2, "m", 5, 0), VERDICT_QUEUED);
	assert_true(level(g, "a", "", "tokens", 0) == 90);
	assert_true(level(g, "a", "", "requests", 0) == 59);
	assert_true(level(g, "b", "", "tokens", 0) == 0);
	governor_free(g);
}

static void each_key_has_its_own_bucket(void **state)
{
	(void)state;
	enum key_label keys[] = {KEY_API_KEY, KEY_MODEL};
	struct limit limits[] = {{.name = "l", .keys = keys, .n_keys = 2, .rpm = MINUTES(1)}};
	struct policy policy = POLICY(limits, 600 * S);
	struct governor *g = governor_new(&policy, 0);
	struct ask ask = {.id = 1, .api_key = "3f2a", .model = "gpt-4"};

	assert_int_equal(submit_ask(g, ask, 0), VERDICT_ADMITTED);
	ask = (struct ask){.id = 2, .api_key = "77", .model = "gpt-4"};
	assert_int_equal(submit_ask(g, ask, 0), VERDICT_ADMITTED);
	ask = (struct ask){.id = 3, .api_key = "3f2a", .model = "gpt-4"};
	assert_int_equal(submit_ask(g, ask, 0), VERDICT_QUEUED);
	assert_true(level(g, "l", "3f2a,gpt-4", "requests", 0) == 0);
	governor_free(g);
}

static void a_blocked_limit_does_not_block_the_others(void **state)
{
	(void)state;
	struct limit limits[] = {{.name = "slow", .match.model = "slow", .tpm = MINUTES(10)},
				 {.name = "all", .tpm = MINUTES(1000)}};
	struct policy policy = POLICY(limits, 600 * S);
	struct governor *g = governor_new(&policy, 0);

	submit(g, 1, "slow", 10, 0);
	assert_int_equal(submit(g, 2, "slow", 10, 0), VERDICT_QUEUED);
	assert_int_equal(submit(g, 3, "fast", 500, 0), VERDICT_ADMITTED);
	governor_free(g);
}

static void small_requests_do_not_starve_a_large_one(void **state)
{
	(void)state;
	struct limit limits[] = {{.name = "l", .tpm = MINUTES(60)}};
	struct policy policy = POLICY(limits, 600 * S);
	struct governor *g = governor_new(&policy, 0);
	uint64_t now = 0;

	submit(g, 1, "m", 30, 0);
	assert_int_equal(submit(g, 2, "m", 100, 0), VERDICT_QUEUED); // needs it full
	assert_int_equal(submit(g, 3, "m", 1, 0), VERDICT_QUEUED);   // would fit
	assert_next(g, &now, 2, VERDICT_ADMITTED, 30 * S);
	assert_next(g, &now, 3, VERDICT_ADMITTED, 71 * S);
	governor_free(g);
}

// It needs two limits full at once, and each is drained while it waits for the other.
static void two_busy_limits_do_not_starve_a_large_request(void **state)
{
	(void)state;
	struct limit limits[] = {{.name = "a", .match.model = "*a*", .tpm = MINUTES(60)},
				 {.name = "b", .match.model = "*b*", .tpm = MINUTES(60)}};
	struct policy policy = POLICY(limits, UINT64_MAX);
	struct governor *g = governor_new(&policy, 0);
	uint64_t now = 0, id = 10, waited = 0;

	submit(g, 1, "a", 60, 0);
	submit(g, 2, "b", 30, 0);
	assert_int_equal(submit(g, 3, "ab", 60, 0), VERDICT_QUEUED);
	for (int i = 0; i < 30; i++)
		submit(g, id++, i % 2 ? "a" : "b", 7, 0);
	while (!waited && id < 10000) {
		struct decision d = next_decision(g, &now);

		if (d.id == 3)
			waited = d.waited_ns;
		submit(g, id, id % 2 ? "a" : "b", 7, now);
		id++;
	}
	assert_true(waited && waited < 600 * S);
	governor_free(g);
}

static void a_denying_limit_turns_away_at_once(void **state)
{
	(void)state;
	struct limit limits[] = {
		{.name = "strict", .rpm = MINUTES(1), .over_limit = OVER_LIMIT_DENY},
		{.name = "zero", .match.model = "forbidden", .rpm = MINUTES(0)}};
	struct policy policy = POLICY(limits, 600 * S);
	struct governor *g = governor_new(&policy, 0);

	assert_int_equal(submit(g, 1, "m", 1, 0), VERDICT_ADMITTED);
	assert_int_equal(submit(g, 2, "m", 1, 0), VERDICT_DENIED);
	assert_string_equal(denied_by, "strict");
	assert_int_equal(submit(g, 3, "forbidden", 1, 60 * S), VERDICT_DENIED);
	assert_string_equal(denied_by, "zero");
	assert_int_equal(governor_waiting(g), 0);
	governor_free(g);
}

static void a_denying_limit_is_asked_again_when_the_turn_comes(void **state)
{
	(void)state;
	struct limit limits[] = {
		{.name = "strict", .rpm = MINUTES(2), .over_limit = OVER_LIMIT_DENY},
		{.name = "queue", .match.model = "m", .tpm = MINUTES(60)}};
	struct policy policy = POLICY(limits, 600 * S);
	struct governor *g = governor_new(&policy, 0);
	uint64_t now = 0;
	struct decision d;

	submit(g, 1, "m", 60, 0);
	assert_int_equal(submit(g, 2, "m", 1, 0), VERDICT_QUEUED);
	assert_int_equal(submit(g, 3, "other", 1, 0), VERDICT_ADMITTED);
	d = next_decision(g, &now);
	assert_int_equal(d.verdict, VERDICT_DENIED);
	assert_string_equal(d.policy, "strict");
	governor_free(g);
}

static void a_denied_team_gets_nothing(void **state)
{
	(void)state;
	struct limit limits[] = {{.name = "l", .rpm = MINUTES(60)}};
	struct policy policy = POLICY(limits, 600 * S);
	struct governor *g = governor_new(&policy, 0);
	struct team out = {.name = "interns", .weight = 1, .priority = 1, .deny = true};

	assert_int_equal(submit_ask(g, (struct ask){.id = 1, .team = &out}, 0), VERDICT_DENIED);
	assert_string_equal(denied_by, "interns");
	governor_free(g);
}

static void a_team_s_own_ceiling_holds(void **state)
{
	(void)state;
	struct limit limits[] = {{.name = "l", .rpm = MINUTES(60), .tpm = MINUTES(1000)}};
	struct policy policy = POLICY(limits, 600 * S);
	struct governor *g = governor_new(&policy, 0);
	struct team t = {.name = "t", .weight = 1, .priority = 1};

	t.rpm = (struct rate){RATE_PER_MINUTE, 2};
	t.tpm = (struct rate){RATE_PERCENT, 50};
	struct ask ask = {.id = 1, .team = &t, .tokens = 400};
	assert_int_equal(submit_ask(g, ask, 0), VERDICT_ADMITTED);
	assert_true(level(g, "team t", "", "requests", 0) == 1);
	assert_true(level(g, "team t", "l", "tokens", 0) == 100);
	ask.id = 2;
	assert_int_equal(submit_ask(g, ask, 0), VERDICT_QUEUED);
	assert_int_equal(submit(g, 3, "m", 400, 0), VERDICT_ADMITTED);
	governor_free(g);
}

static void waiting_too_long_is_a_time_out(void **state)
{
	(void)state;
	struct limit limits[] = {{.name = "l", .tpm = MINUTES(60)}};
	struct policy policy = POLICY(limits, 5 * S);
	struct governor *g = governor_new(&policy, 0);
	uint64_t now = 0;

	submit(g, 1, "m", 60, 0);
	submit(g, 2, "m", 10, 0);
	submit(g, 3, "m", 6, S); // behind 2, and may go when 2 has given up
	assert_next(g, &now, 2, VERDICT_TIMED_OUT, 5 * S);
	assert_next(g, &now, 3, VERDICT_ADMITTED, 6 * S);
	governor_free(g);
}

static void waiting_too_long_may_also_let_go(void **state)
{
	(void)state;
	struct limit limits[] = {{.name = "l", .tpm = MINUTES(60)}};
	struct policy policy = POLICY(limits, 5 * S);

	policy.on_max_wait = MAX_WAIT_ADMIT;
	struct governor *g = governor_new(&policy, 0);
	uint64_t now = 0;

	submit(g, 1, "m", 60, 0);
	submit(g, 2, "m", 10, 0);
	assert_next(g, &now, 2, VERDICT_ADMITTED, 5 * S);
	assert_true(level(g, "l", "", "tokens", now) == -5);
	governor_free(g);
}

static void a_closed_connection_leaves_the_queue(void **state)
{
	(void)state;
	struct limit limits[] = {{.name = "l", .tpm = MINUTES(60)}};
	struct policy policy = POLICY(limits, 600 * S);
	struct governor *g = governor_new(&policy, 0);
	uint64_t now = 0;

	submit(g, 1, "m", 60, 0);
	submit(g, 2, "m", 50, 0);
	submit(g, 3, "m", 5, 0);
	governor_withdraw(g, 2, S);
	governor_withdraw(g, 1, S); // has left: nothing to withdraw
	assert_int_equal(governor_waiting(g), 1);
	assert_next(g, &now, 3, VERDICT_ADMITTED, 5 * S);
	governor_free(g);
}

static void a_refund_lets_the_next_go(void **state)
{
	(void)state;
	struct limit limits[] = {{.name = "l", .tpm = MINUTES(60)}};
	struct policy policy = POLICY(limits, 600 * S);
	struct governor *g = governor_new(&policy, 0);
	uint64_t now = 0;

	submit(g, 1, "m", 60, 0);
	submit(g, 2, "m", 50, 0);
	governor_refund(g, 1, 0);
	governor_refund(g, 1, 0); // once
	assert_next(g, &now, 2, VERDICT_ADMITTED, 0);
	assert_true(level(g, "l", "", "tokens", 0) == 10);
	governor_free(g);
}

static void collect_ids(void *ctx, const struct waiting_view *view)
{
	char *text = ctx;
	size_t n = strlen(text);

	snprintf(text + n, 200 - n, "%s %s %g %g+%g;", view->team, view->model, view->cost_tokens,
		 (double)view->waiting_ns / S, (double)view->eta_ns / S);
}

static void shows_who_waits_and_until_when(void **state)
{
	(void)state;
	struct limit limits[] = {{.name = "l", .tpm = MINUTES(60)},
				 {.name = "m", .match.model = "n", .rpm = MINUTES(60)}};
	struct team t = {.name = "t", .weight = 10, .priority = 1};
	struct policy policy = POLICY(limits, 60 * S);
	struct governor *g = governor_new(&policy, 0);
	char text[200] = "";

	submit(g, 1, "m", 60, 0);
	submit(g, 2, "m", 20, 0);
	submit(g, 3, "m", 50, S);
	submit_ask(g, (struct ask){.id = 4, .model = "n", .team = &t, .tokens = 5}, S);
	governor_each_waiting(g, 2 * S, collect_ids, text);
	assert_string_equal(text, "t n 5 1+3; m 20 2+23; m 50 1+1.84467e+10;");
	governor_free(g);
}

static void unused_buckets_are_forgotten(void **state)
{
	(void)state;
	enum key_label keys[] = {KEY_USER};
	struct limit limits[] = {{.name = "l", .keys = keys, .n_keys = 1, .rpm = MINUTES(60)}};
	struct policy policy = POLICY(limits, 600 * S);
	struct governor *g = governor_new(&policy, 0);
	char user[32];

	for (uint64_t id = 0; id < 100000; id++) {
		snprintf(user, sizeof(user), "user-%u", (unsigned int)id);
		submit_ask(g, (struct ask){.id = id, .user = user}, id * S / 100);
		governor_settle(g, id, id * S / 100);
	}
	assert_true(g->limiters.count <= LIMITERS_KEPT);
	governor_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_no_limit_matches_passes),
		cmocka_unit_test(an_id_in_use_is_refused),
		cmocka_unit_test(a_held_request_leaves_at_the_instant_it_may),
		cmocka_unit_test(all_limits_admit_or_none_is_drawn),
		cmocka_unit_test(each_key_has_its_own_bucket),
		cmocka_unit_test(a_blocked_limit_does_not_block_the_others),
		cmocka_unit_test(small_requests_do_not_starve_a_large_one),
		cmocka_unit_test(two_busy_limits_do_not_starve_a_large_request),
		cmocka_unit_test(a_denying_limit_turns_away_at_once),
		cmocka_unit_test(a_denying_limit_is_asked_again_when_the_turn_comes),
		cmocka_unit_test(a_denied_team_gets_nothing),
		cmocka_unit_test(a_team_s_own_ceiling_holds),
		cmocka_unit_test(waiting_too_long_is_a_time_out),
		cmocka_unit_test(waiting_too_long_may_also_let_go),
		cmocka_unit_test(a_closed_connection_leaves_the_queue),
		cmocka_unit_test(a_refund_lets_the_next_go),
		cmocka_unit_test(shows_who_waits_and_until_when),
		cmocka_unit_test(unused_buckets_are_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
