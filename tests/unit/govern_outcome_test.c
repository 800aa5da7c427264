// What the provider's answers change, and what they must not.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "govern/bucket.h"
#include "govern/governor.h"
#include "govern/hashtab.h"

#define S NS_PER_S
#define MINUTES(value)                                                                             \
	{                                                                                          \
		RATE_PER_MINUTE, value                                                             \
	}
#define UNKNOWN -1, -1

static struct policy policy_of(struct limit *limits, size_t n_limits)
{
	return (struct policy){
		.max_wait_ns = UINT64_MAX,
		.headroom_ns = S / 4,
		.limits = limits,
		.n_limits = n_limits,
	};
}

static enum verdict submit(struct governor *g, uint64_t id, const char *model, double tokens,
			   uint64_t now)
{
	struct ask ask = {.id = id, .model = model, .requests = 1, .tokens = tokens};
	enum verdict verdict;
	const char *policy;

	assert_int_equal(governor_submit(g, &ask, now, &verdict, &policy), 0);
	return verdict;
}

static void find_tokens(void *ctx, const struct bucket_view *view)
{
	double *found = ctx;

	if (!strcmp(view->resource, "tokens"))
		*found = view->level;
}

// Of the policy's last limit on tokens, in order of name.
static double tokens_left(struct governor *g, uint64_t now)
{
	double found = NAN;

	governor_each_bucket(g, now, find_tokens, &found);
	return round(found);
}

static void learn_tokens(struct governor *g, uint64_t id, double limit, double remaining,
			 uint64_t now)
{
	struct outcome outcome = {.limit_requests = -1,
				  .remaining_requests = -1,
				  .limit_tokens = limit,
				  .remaining_tokens = remaining};

	governor_learn(g, id, &outcome, now);
}

static void a_request_that_turns_out_dearer_is_charged_in_full(void **state)
{
	(void)state;
	struct limit limits[] = {{.name = "l", .tpm = MINUTES(6000)}};
	struct policy policy = policy_of(limits, 1);
	struct governor *g = governor_new(&policy, 0);

	assert_int_equal(submit(g, 1, "m", 1000, 0), VERDICT_ADMITTED);
	governor_amend(g, 1, 7000, 0);
	assert_int_equal(tokens_left(g, 0), -1000);
	governor_amend(g, 1, 2000, 0);
	assert_int_equal(tokens_left(g, 0), 4000);
	learn_tokens(g, 1, 6000, 4000, 0); // the provider charged just that
	assert_int_equal(tokens_left(g, 0), 4000);
	governor_refund(g, 1, 0);
	assert_int_equal(tokens_left(g, 0), 6000);
	governor_free(g);
}

static void what_others_used_is_taken_off_once(void **state)
{
	(void)state;
	struct limit limits[] = {{.name = "l", .tpm = MINUTES(6000)}};
	struct policy policy = policy_of(limits, 1);
	struct governor *g = governor_new(&policy, 0);

	submit(g, 1, "m", 1000, 0);
	submit(g, 2, "m", 1000, S);
	learn_tokens(g, 1, 6000, 3000, S); // not the 5000 that we thought; filled since, and drawn
	assert_int_equal(tokens_left(g, S), 3000 + 100 - 1000);
	learn_tokens(g, 1, 6000, 3000, S);
	assert_int_equal(tokens_left(g, S), 2100);
	learn_tokens(g, 2, 6000, 2100, S);
	assert_int_equal(tokens_left(g, S), 2100);
	learn_tokens(g, 2, 6000, 5999, S); // more than we think: never raised
	assert_int_equal(tokens_left(g, S), 2100);
	governor_free(g);
}

// They left together, and the second was counted first: its cost is in what remains already.
static void requests_that_overtake_each_other_are_not_counted_twice(void **state)
{
	(void)state;
	struct limit limits[] = {{.name = "l", .tpm = MINUTES(6000)}};
	struct policy policy = policy_of(limits, 1);
	struct governor *g = governor_new(&policy, 0);

	submit(g, 1, "m", 1000, 0);
	submit(g, 2, "m", 1000, S / 10);
	learn_tokens(g, 1, 6000, 4000, S / 5);
	assert_int_equal(tokens_left(g, S / 5), 4000);
	learn_tokens(g, 1, 6000, 4000, 2 * S); // the same, told late
	assert_int_equal(tokens_left(g, 2 * S),
			 4000 + 175); // filled since headroom after the draws
	governor_free(g);
}

static void a_team_s_limit_does_not_learn_what_all_use(void **state)
{
	(void)state;
	enum key_label by_user[] = {KEY_USER};
	struct limit limits[] = {{.name = "u", .keys = by_user, .n_keys = 1, .tpm = MINUTES(6000)}};
	struct policy policy = policy_of(limits, 1);
	struct governor *g = governor_new(&policy, 0);

	submit(g, 1, "m", 1000, 0);
	learn_tokens(g, 1, 6000, 0, 0);
	assert_int_equal(tokens_left(g, 0), 5000);
	governor_free(g);
}

// A limit over all models is not empty because one model's limit there is.
static void a_limit_over_many_models_learns_what_one_has_used(void **state)
{
	(void)state;
	struct limit limits[] = {{.name = "all", .tpm = MINUTES(6000)}};
	struct policy policy = policy_of(limits, 1);
	struct governor *g = governor_new(&policy, 0);

	submit(g, 1, "m", 1000, 0);
	learn_tokens(g, 1, 2000, 500, 0); // 1500 are used
	assert_int_equal(tokens_left(g, 0), 4500);
	governor_free(g);
}

static void a_429_shuts_what_it_names(void **state)
{
	(void)state;
	struct limit limits[] = {
		{.name = "r", .match.model = "*r*", .rpm = MINUTES(60)},
		{.name = "t", .match.model = "*t*", .tpm = MINUTES(60)},
	};
	struct policy policy = policy_of(limits, 2);
	struct governor *g = governor_new(&policy, 0);
	struct outcome outcome = {UNKNOWN, UNKNOWN, .shut_ns = 7 * S, .is_429_on_tokens = true};
	struct decision d;

	submit(g, 1, "rt", 1, 0);
	governor_learn(g, 1, &outcome, 0);
	assert_int_equal(submit(g, 2, "r", 1, 0), VERDICT_ADMITTED);
	assert_int_equal(submit(g, 3, "t", 1, 0), VERDICT_QUEUED);
	assert_int_equal(governor_next_ns(g, 0), 7 * S);
	assert_int_equal(governor_run(g, 7 * S, &d, 1), 1);
	// One that names nothing shuts both; one for ever does not overflow.
	outcome = (struct outcome){UNKNOWN, UNKNOWN, .shut_ns = UINT64_MAX};
	governor_learn(g, 1, &outcome, 8 * S);
	assert_int_equal(submit(g, 4, "r", 1, 9 * S), VERDICT_QUEUED);
	assert_int_equal(submit(g, 5, "t", 1, 9 * S), VERDICT_QUEUED);
	assert_int_equal(governor_next_ns(g, 9 * S), UINT64_MAX);
	governor_free(g);
}

// A provider that answers seconds later, whose headers are as old: learning from them must neither
// let the governor overrun it nor keep it from using the limit in full.
static void late_headers_cost_no_throughput(void **state)
{
	(void)state;
	enum { REQUESTS = 4000, WINDOW = 4096 };
	static double remaining[REQUESTS + WINDOW];
	static uint64_t left_ns[REQUESTS + WINDOW], answered_ns[REQUESTS + WINDOW];
	static double tokens[REQUESTS + WINDOW];
	struct limit limits[] = {{.name = "l", .tpm = MINUTES(60000)}};
	struct policy policy = policy_of(limits, 1);
	struct governor *g = governor_new(&policy, 0);
	uint64_t now = 0, seed = 1, submitted = 0, charged = 0;
	struct decision d;
	struct bucket theirs;
	double lowest = 0, sum = 0;

	bucket_init(&theirs, 60000, 0, 0);
	submit(g, UINT64_MAX, "m", 60000, 0);
	bucket_draw(&theirs, 60000, S / 4);
	for (size_t admitted = 0; admitted < REQUESTS;) {
		while (submitted < admitted + 20) {
			seed = hash_mix(seed, 1);
			tokens[submitted] = 1 + (double)(seed % 3000);
			submit(g, submitted, "m", tokens[submitted], now);
			submitted++;
		}
		now = governor_next_ns(g, now);
		if (!governor_run(g, now, &d, 1))
			continue;
		left_ns[admitted] = now; // one team: they leave in order
		sum += tokens[admitted];
		// They arrive in order, 100 ms later.
		for (; charged <= admitted && left_ns[charged] + S / 10 <= now; charged++) {
			bucket_draw(&theirs, tokens[charged], left_ns[charged] + S / 10);
			lowest = fmin(lowest, theirs.level);
			remaining[charged] = floor(theirs.level);
			answered_ns[charged] =
				left_ns[charged] + 1 * S + (charged * S / 7) % (9 * S);
		}
		for (size_t i = charged > 40 ? charged - 40 : 0; i < charged; i++) {
			if (!answered_ns[i] || answered_ns[i] > now)
				continue;
			learn_tokens(g, i, 60000, remaining[i], now);
			governor_settle(g, i, now);
			answered_ns[i] = 0;
		}
		admitted++;
	}
	assert_true(lowest > -1e-3);
	double used = sum / (1000.0 * (double)now / S);
	if (used < 0.99)
		fail_msg("only %f of the limit was used", used);
	governor_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_that_turns_out_dearer_is_charged_in_full),
		cmocka_unit_test(what_others_used_is_taken_off_once),
		cmocka_unit_test(requests_that_overtake_each_other_are_not_counted_twice),
		cmocka_unit_test(a_team_s_limit_does_not_learn_what_all_use),
		cmocka_unit_test(a_limit_over_many_models_learns_what_one_has_used),
		cmocka_unit_test(a_429_shuts_what_it_names),
		cmocka_unit_test(late_headers_cost_no_throughput),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
