// Where requests share a connection they leave in a row. One that cannot be kept back any longer
// leaves over the limit, and those behind it pay for that by waiting; one that may leave and cannot
// is not thought to be with the provider already.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include "govern_world.h"

static void one_that_is_let_go_is_a_debt_for_those_behind(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct decision out[4];

	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL); // 60 a minute
	world_begin(w, 0);
	assert_int_equal(submit_model(w, 1, "m", 60, 0), VERDICT_ADMITTED);
	assert_int_equal(submit_model(w, 2, "m", 30, 0), VERDICT_QUEUED);
	assert_int_equal(submit_model(w, 3, "m", 10, 0), VERDICT_QUEUED);
	assert_int_equal(governor_let_go(w->g, 2, 10 * S), 0);
	// 60 - 60 + 10 - 30 = -20: the third goes when 30 more have been filled.
	assert_int_equal(governor_run(w->g, 39 * S, out, 4), 0);
	assert_int_equal(governor_run(w->g, 41 * S, out, 4), 1);
	assert_int_equal(out[0].id, 3);
	assert_int_equal(governor_waiting(w->g), 0);
	governor_settle(w->g, 2, NULL, 42 * S);
	world_free(w);
}

static void only_one_that_waits_can_be_let_go(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "m", 60, 0);
	assert_int_equal(governor_let_go(w->g, 1, 0), -ENOENT); // it went long ago
	assert_int_equal(governor_let_go(w->g, 7, 0), -ENOENT);
	assert_int_equal(submit_model(w, 2, "m", 30, 0), VERDICT_QUEUED);
	assert_int_equal(governor_let_go(w->g, 2, 0), 0);
	assert_int_equal(governor_let_go(w->g, 2, 0), -ENOENT);
	governor_refund(w->g, 2, 0); // as any that was admitted
	world_free(w);
}

static struct outcome told_tokens(double remaining)
{
	struct outcome outcome = {
		.requests = {-1, -1, -1}, .tokens = {6000, remaining, -1}, .images = {-1, -1, -1}};

	return outcome;
}

// 6000 tokens a minute, 100 a second. One request is admitted and stands in a row that cannot leave;
// what the provider says meanwhile is without it, however long it takes.
static void what_has_not_left_is_not_thought_to_be_counted(bool is_detained)
{
	struct world *w = world_new();
	struct limit *l = world_limit(w, "l", RESOURCE_TOKENS, 6000, NULL);
	struct outcome outcome = told_tokens(1000);
	enum verdict verdict;

	l->is_per_model = true;
	w->policy.headroom_ns = 250 * MS;
	world_begin(w, 0);
	submit_model(w, 1, "m", 4000, 0);
	if (is_detained)
		governor_detain(w->g, 1);
	submit_model(w, 2, "m", 1000, 2 * S);
	outcome.tokens.remaining = 5000; // 6000 and never full again, less the second
	governor_learn(w->g, 2, &outcome, 2 * S + 10 * MS);
	// The first is still to come: 1000 are left. But if it had left 2 s ago, all 5000 would be.
	verdict = submit_model(w, 3, "m", 1500, 2 * S + 20 * MS);
	assert_int_equal(verdict, is_detained ? VERDICT_QUEUED : VERDICT_ADMITTED);
	if (is_detained) {
		governor_leave(w->g, 1, 3 * S);
		governor_settle(w->g, 1, NULL, 4 * S);
	}
	world_free(w);
}

static void a_row_that_cannot_leave(void **state)
{
	(void)state;
	what_has_not_left_is_not_thought_to_be_counted(true);
	what_has_not_left_is_not_thought_to_be_counted(false);
}

static void one_that_ends_in_its_row_is_forgotten(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "m", 60, 0);
	governor_detain(w->g, 1);
	governor_detain(w->g, 1);
	governor_refund(w->g, 1, S);
	governor_leave(w->g, 1, 2 * S); // gone
	assert_int_equal(submit_model(w, 2, "m", 50, 3 * S), VERDICT_ADMITTED);
	governor_leave(w->g, 2, 3 * S); // it was not detained
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_is_let_go_is_a_debt_for_those_behind),
		cmocka_unit_test(only_one_that_waits_can_be_let_go),
		cmocka_unit_test(a_row_that_cannot_leave),
		cmocka_unit_test(one_that_ends_in_its_row_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
