// A request whose connection cannot be kept back any longer leaves over the limit: those behind it
// pay for that by waiting, and nobody is let through twice for it.
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_is_let_go_is_a_debt_for_those_behind),
		cmocka_unit_test(only_one_that_waits_can_be_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
