// A request that nobody can read might be any key's: it must not find a full bucket of its own
// while the one that it may be charged to is empty.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "govern_world.h"

static void one_without_its_key_meets_the_scarcest(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct limit *l = world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);

	world_key(l, LABEL_API_KEY);
	world_key(l, LABEL_MODEL);
	world_begin(w, 0);
	submit(w, ASK(w, 1, 60, {LABEL_API_KEY, "a"}, {LABEL_MODEL, "m"}), 0);
	submit(w, ASK(w, 2, 10, {LABEL_API_KEY, "b"}, {LABEL_MODEL, "m"}), 0);
	assert_int_equal(submit(w, ASK(w, 3, 1, {LABEL_OPAQUE, "true"}), 0), VERDICT_QUEUED);
	assert_int_equal(submit(w, ASK(w, 4, 1, {LABEL_OPAQUE, "false"}), 0), VERDICT_ADMITTED);
	world_free(w);
}

static void what_is_known_of_its_key_counts(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct limit *l = world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);

	world_key(l, LABEL_TEAM);
	world_key(l, LABEL_MODEL);
	world_begin(w, 0);
	submit(w, ASK(w, 1, 60, {LABEL_TEAM, "a,b"}, {LABEL_MODEL, "m"}), 0);
	submit(w, ASK(w, 2, 30, {LABEL_TEAM, "a"}, {LABEL_MODEL, "m"}), 0);
	submit(w, ASK(w, 3, 50, {LABEL_TEAM, "a"}, {LABEL_MODEL, "n"}), 0);
	assert_int_equal(submit(w, ASK(w, 4, 10, {LABEL_TEAM, "a"}, {LABEL_OPAQUE, "true"}), 0),
			 VERDICT_ADMITTED);
	// 10 were left of n, and 30 of m.
	assert_int_equal(submit(w, ASK(w, 5, 1, {LABEL_TEAM, "a"}, {LABEL_OPAQUE, "true"}), 0),
			 VERDICT_QUEUED);
	world_free(w);
}

static void the_first_of_all_has_a_bucket_of_its_own(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct limit *l = world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);

	world_key(l, LABEL_MODEL);
	world_begin(w, 0);
	assert_int_equal(submit(w, ASK(w, 1, 60, {LABEL_OPAQUE, "true"}), 0), VERDICT_ADMITTED);
	assert_int_equal(submit(w, ASK(w, 2, 1, {LABEL_OPAQUE, "true"}), 0), VERDICT_QUEUED);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_without_its_key_meets_the_scarcest),
		cmocka_unit_test(what_is_known_of_its_key_counts),
		cmocka_unit_test(the_first_of_all_has_a_bucket_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
