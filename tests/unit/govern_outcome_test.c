// What becomes of an admitted request: it was dearer, cheaper, never left, or the provider refused
// it. What its headers teach is in govern_learn_test.c.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern_world.h"

#define NOT_TOLD                                                                                   \
	{                                                                                          \
		-1, -1, -1                                                                         \
	}
#define NOTHING_TOLD .requests = NOT_TOLD, .tokens = NOT_TOLD, .images = NOT_TOLD

static void amend_tokens(struct world *w, uint64_t id, double tokens, uint64_t now_ns)
{
	governor_amend(w->g, id, ASK(w, id, tokens).amounts, now_ns);
}

static void a_request_that_turns_out_dearer_is_charged_in_full(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_limit(w, "l", RESOURCE_TOKENS, 6000, NULL);
	world_begin(w, 0);
	assert_int_equal(submit_model(w, 1, "m", 1000, 0), VERDICT_ADMITTED);
	amend_tokens(w, 1, 7000, 0);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, 0), -1000);
	amend_tokens(w, 1, 2000, 0);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, 0), 4000);
	governor_refund(w->g, 1, 0);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, 0), 6000);
	world_free(w);
}

static void amending_lets_the_next_go(void **state)
{
	(void)state;
	struct world *w = world_new();
	uint64_t now_ns = S;

	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "m", 60, 0);
	submit_model(w, 2, "m", 30, 0);
	amend_tokens(w, 1, 20, S);
	assert_next(w, &now_ns, 2, VERDICT_ADMITTED, S);
	world_free(w);
}

static double *usage(double tokens, double cost)
{
	static double used[N_RESOURCES];

	used[RESOURCE_REQUESTS] = used[RESOURCE_TOKENS] = used[RESOURCE_IMAGES] = 1e6; // ignored
	used[RESOURCE_INPUT_TOKENS] = tokens;
	used[RESOURCE_OUTPUT_TOKENS] = tokens;
	used[RESOURCE_TOTAL_TOKENS] = 2 * tokens;
	used[RESOURCE_COST] = cost;
	return used;
}

static void what_was_used_replaces_what_was_reserved(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_limit(w, "l", RESOURCE_REQUESTS, 10, NULL);
	world_limit(w, "l", RESOURCE_TOKENS, 1000, NULL);
	world_limit(w, "l", RESOURCE_INPUT_TOKENS, 1000, NULL);
	world_limit(w, "l", RESOURCE_OUTPUT_TOKENS, 1000, NULL);
	world_limit(w, "l", RESOURCE_TOTAL_TOKENS, 1000, NULL);
	world_limit(w, "l", RESOURCE_COST, 100, NULL);
	world_begin(w, 0);
	for (uint64_t id = 1; id <= 2; id++) {
		struct ask ask = ASK(w, id, 100);

		ask.amounts[RESOURCE_COST] = 10;
		assert_int_equal(submit(w, ask, 0), VERDICT_ADMITTED);
	}
	governor_settle(w->g, 1, usage(30, 2.5), 0);
	governor_settle(w->g, 2, NULL, 0); // what was reserved stands
	assert_near(level(w, "l", "", RESOURCE_REQUESTS, 0), 8);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, 0), 800);
	assert_near(level(w, "l", "", RESOURCE_INPUT_TOKENS, 0), 1000 - 30 - 100);
	assert_near(level(w, "l", "", RESOURCE_OUTPUT_TOKENS, 0), 1000 - 30 - 100);
	assert_near(level(w, "l", "", RESOURCE_TOTAL_TOKENS, 0), 1000 - 60 - 200);
	assert_near(level(w, "l", "", RESOURCE_COST, 0), 100 - 2.5 - 10);
	world_free(w);
}

// One stream may cost more than was foreseen: it is charged all the same, and the next waits.
static void using_more_than_reserved_is_a_debt(void **state)
{
	(void)state;
	struct world *w = world_new();
	uint64_t now_ns = 0;

	world_limit(w, "l", RESOURCE_OUTPUT_TOKENS, 60, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "m", 50, 0);
	governor_settle(w->g, 1, usage(90, 0), 0);
	assert_near(level(w, "l", "", RESOURCE_OUTPUT_TOKENS, 0), -30);
	assert_int_equal(submit_model(w, 2, "m", 5, 0), VERDICT_QUEUED);
	assert_next(w, &now_ns, 2, VERDICT_ADMITTED, 35 * S);
	world_free(w);
}

static void using_less_than_reserved_lets_the_next_go(void **state)
{
	(void)state;
	struct world *w = world_new();
	uint64_t now_ns = 0;

	world_limit(w, "l", RESOURCE_OUTPUT_TOKENS, 60, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "m", 60, 0);
	assert_int_equal(submit_model(w, 2, "m", 30, 0), VERDICT_QUEUED);
	governor_settle(w->g, 1, usage(10, 0), 0);
	assert_next(w, &now_ns, 2, VERDICT_ADMITTED, 0);
	world_free(w);
}

static void an_answer_that_came_late_is_not_paid_back_twice(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_limit(w, "l", RESOURCE_OUTPUT_TOKENS, 60, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "m", 60, 0);
	submit_model(w, 2, "m", 60, 60 * S);
	// Refilled since, for good: what it did not use is in the bucket already, or was used.
	governor_settle(w->g, 1, usage(10, 0), 60 * S);
	assert_near(level(w, "l", "", RESOURCE_OUTPUT_TOKENS, 60 * S), 0);
	world_free(w);
}

static void a_settled_request_is_over(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "m", 60, 0);
	governor_settle(w->g, 1, NULL, 0);
	governor_refund(w->g, 1, 0);
	amend_tokens(w, 1, 1, 0);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, 0), 0);
	world_free(w);
}

static void a_429_shuts_what_it_names(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct outcome outcome = {NOTHING_TOLD, .shut_ns = 7 * S};
	struct decision d;

	world_limit(w, "r", RESOURCE_REQUESTS, 60, "*r*");
	world_limit(w, "t", RESOURCE_TOKENS, 60, "*t*");
	outcome.is_429_on[RESOURCE_TOKENS] = true;
	world_begin(w, 0);
	submit_model(w, 1, "rt", 1, 0);
	governor_learn(w->g, 1, &outcome, 0);
	assert_int_equal(submit_model(w, 2, "r", 1, 0), VERDICT_ADMITTED);
	assert_int_equal(submit_model(w, 3, "t", 1, 0), VERDICT_QUEUED);
	assert_true(bucket_of(w, "t", "", RESOURCE_TOKENS, 2 * S).shut_ns == 5 * S);
	governor_run(w->g, 0, &d, 1);
	assert_int_equal(governor_next_ns(w->g, 0), 7 * S);
	assert_int_equal(governor_run(w->g, 7 * S, &d, 1), 1);
	// One that names nothing shuts both; one for ever does not overflow.
	outcome = (struct outcome){NOTHING_TOLD, .shut_ns = UINT64_MAX};
	governor_learn(w->g, 1, &outcome, 8 * S);
	assert_int_equal(submit_model(w, 4, "r", 1, 9 * S), VERDICT_QUEUED);
	assert_int_equal(submit_model(w, 5, "t", 1, 9 * S), VERDICT_QUEUED);
	assert_int_equal(governor_run(w->g, 9 * S, &d, 1), 0);
	assert_int_equal(governor_next_ns(w->g, 9 * S), UINT64_MAX);
	assert_true(bucket_of(w, "t", "", RESOURCE_TOKENS, 9 * S).shut_ns == UINT64_MAX);
	world_free(w);
}

static void a_429_of_one_key_does_not_shut_another_s(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct outcome outcome = {NOTHING_TOLD, .shut_ns = 7 * S};

	world_key(world_limit(w, "l", RESOURCE_REQUESTS, 60, NULL), LABEL_API_KEY);
	world_begin(w, 0);
	submit(w, ASK(w, 1, 1, {LABEL_API_KEY, "a"}), 0);
	governor_learn(w->g, 1, &outcome, 0);
	assert_int_equal(submit(w, ASK(w, 2, 1, {LABEL_API_KEY, "a"}), S), VERDICT_QUEUED);
	assert_int_equal(submit(w, ASK(w, 3, 1, {LABEL_API_KEY, "b"}), S), VERDICT_ADMITTED);
	world_free(w);
}

// A user's own limit is no business of the provider's: its 429 is about the key.
static void a_429_does_not_shut_what_the_provider_does_not_know(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct outcome outcome = {NOTHING_TOLD, .shut_ns = 7 * S, .quota_is_exhausted = true};

	world_key(world_limit(w, "u", RESOURCE_REQUESTS, 60, NULL), LABEL_USER);
	world_limit(w, "budget", RESOURCE_COST, 10, NULL);
	world_begin(w, 0);
	submit(w, ASK(w, 1, 1, {LABEL_USER, "x"}), 0);
	governor_learn(w->g, 1, &outcome, 0);
	assert_int_equal(submit(w, ASK(w, 2, 1, {LABEL_USER, "x"}), 0), VERDICT_ADMITTED);
	world_free(w);
}

// Retrying against an empty purse is useless until a person pays; but they may have.
static void an_exhausted_quota_shuts_for_an_hour_or_until_reset(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct outcome outcome = {NOTHING_TOLD, .quota_is_exhausted = true};
	uint64_t now_ns = 0;

	world_key(world_limit(w, "l", RESOURCE_REQUESTS, 60, NULL), LABEL_API_KEY);
	world_begin(w, 0);
	submit(w, ASK(w, 1, 1, {LABEL_API_KEY, "a"}), 0);
	submit(w, ASK(w, 2, 1, {LABEL_API_KEY, "b"}), 0);
	governor_learn(w->g, 1, &outcome, 0);
	governor_learn(w->g, 2, &outcome, 0);
	submit(w, ASK(w, 3, 1, {LABEL_API_KEY, "a"}), S);
	submit(w, ASK(w, 4, 1, {LABEL_API_KEY, "b"}), S);
	now_ns = 2 * S;
	assert_int_equal(governor_reset(w->g, "other", NULL, now_ns), 0);
	assert_int_equal(governor_reset(w->g, "l", "c", now_ns), 0);
	assert_int_equal(governor_reset(w->g, "l", "a", now_ns), 1);
	assert_next(w, &now_ns, 3, VERDICT_ADMITTED, 2 * S);
	assert_next(w, &now_ns, 4, VERDICT_ADMITTED, 3600 * S);
	world_free(w);
}

static void a_reset_fills_and_opens_teams_too(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct team *t = world_team(w, "t", 1);

	t->tpm = (struct rate){RATE_PERCENT, 50};
	t->rpm = (struct rate){RATE_PER_MINUTE, 1};
	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	world_begin(w, 0);
	submit(w, of_team(ASK(w, 1, 60), t), 0);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, 0), 0);
	assert_near(level(w, "team t", "l", RESOURCE_TOKENS, 0), -30);
	assert_int_equal(governor_reset(w->g, NULL, NULL, 0), 3);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, 0), 60);
	assert_near(level(w, "team t", "l", RESOURCE_TOKENS, 0), 30);
	assert_near(level(w, "team t", "", RESOURCE_REQUESTS, 0), 1);
	world_free(w);
}

static void nothing_said_of_an_unknown_request_matters(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct outcome outcome = {NOTHING_TOLD, .shut_ns = UINT64_MAX, .quota_is_exhausted = true};

	world_limit(w, "l", RESOURCE_REQUESTS, 1, NULL);
	world_begin(w, 0);
	governor_learn(w->g, 7, &outcome, 0);
	governor_settle(w->g, 7, usage(1, 1), 0);
	governor_refund(w->g, 7, 0);
	assert_int_equal(submit_model(w, 1, "m", 1, 0), VERDICT_ADMITTED);
	submit_model(w, 2, "m", 1, 0);
	governor_learn(w->g, 2, &outcome, 0); // waits: the provider cannot have spoken of it
	governor_refund(w->g, 2, 0);
	assert_int_equal(governor_waiting(w->g), 1);
	world_free(w);
}

// Its model comes behind 64 KB of messages, so it is decided without a price; and even one whose
// budget is used up goes, for it asks for nothing as far as is known. What it used counts.
static void what_had_no_price_at_first_is_settled(void **state)
{
	(void)state;
	struct world *w = world_new();
	double amounts[N_RESOURCES] = {[RESOURCE_COST] = 30}, used[N_RESOURCES] = {0};

	world_limit(w, "l", RESOURCE_COST, 100, NULL);
	world_begin(w, 0);
	assert_int_equal(submit(w, ASK(w, 1, 10), 0), VERDICT_ADMITTED);
	governor_amend(w->g, 1, amounts, 0);
	assert_near(level(w, "l", "", RESOURCE_COST, 0), 70);
	used[RESOURCE_COST] = 120;
	governor_settle(w->g, 1, used, 0);
	assert_near(level(w, "l", "", RESOURCE_COST, 0), -20);
	assert_int_equal(submit(w, ASK(w, 2, 10), 0), VERDICT_ADMITTED);
	used[RESOURCE_COST] = 1;
	governor_settle(w->g, 2, used, 0);
	assert_near(level(w, "l", "", RESOURCE_COST, 0), -21);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_had_no_price_at_first_is_settled),
		cmocka_unit_test(a_request_that_turns_out_dearer_is_charged_in_full),
		cmocka_unit_test(amending_lets_the_next_go),
		cmocka_unit_test(what_was_used_replaces_what_was_reserved),
		cmocka_unit_test(using_more_than_reserved_is_a_debt),
		cmocka_unit_test(using_less_than_reserved_lets_the_next_go),
		cmocka_unit_test(an_answer_that_came_late_is_not_paid_back_twice),
		cmocka_unit_test(a_settled_request_is_over),
		cmocka_unit_test(a_429_shuts_what_it_names),
		cmocka_unit_test(a_429_of_one_key_does_not_shut_another_s),
		cmocka_unit_test(a_429_does_not_shut_what_the_provider_does_not_know),
		cmocka_unit_test(an_exhausted_quota_shuts_for_an_hour_or_until_reset),
		cmocka_unit_test(a_reset_fills_and_opens_teams_too),
		cmocka_unit_test(nothing_said_of_an_unknown_request_matters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
