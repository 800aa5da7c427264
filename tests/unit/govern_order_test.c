// Who goes first when several wait.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "govern_world.h"

// One bucket of 60 a minute, empty; teams of the weights 4, 2 and 1.
static struct world *drained(void)
{
	struct world *w = world_new();

	world_team(w, "chat", 4);
	world_team(w, "review", 2);
	world_team(w, "batch", 1);
	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	return w;
}

static void drain(struct world *w)
{
	world_begin(w, 0);
	assert_int_equal(submit(w, ASK(w, 1000, 60), 0), VERDICT_ADMITTED);
}

static void assert_order(struct world *w, const uint64_t *ids, size_t n)
{
	uint64_t now = 0;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(next_decision(w, &now).id, ids[i]);
}

static void a_later_more_urgent_request_overtakes_all_that_wait(void **state)
{
	struct world *w = drained();

	(void)state;
	drain(w);
	for (uint64_t id = 1; id <= 12; id++)
		submit(w, of_team(ASK(w, id, 10), &w->teams[id % 3]), 0);
	submit(w, of_team(ASK(w, 13, 10, {LABEL_PRIORITY, "100"}), &w->teams[2]), 0);
	assert_int_equal(next_decision(w, &(uint64_t){0}).id, 13);
	world_free(w);
}

static void urgency_of_a_team_counts_like_that_of_a_request(void **state)
{
	struct world *w = drained();

	(void)state;
	w->teams[0].priority = 100;
	drain(w);
	for (uint64_t id = 1; id <= 3; id++)
		submit(w, of_team(ASK(w, id, 10), &w->teams[2]), 0);
	submit(w, of_team(ASK(w, 4, 10), &w->teams[1]), 0);
	submit(w, of_team(ASK(w, 5, 10), &w->teams[0]), 0);
	assert_order(w, (uint64_t[]){5, 4, 1, 2, 3}, 5);
	world_free(w);
}

static void a_lower_tier_goes_before_any_priority(void **state)
{
	struct world *w = drained();

	(void)state;
	w->teams[0].tier = 1;
	drain(w);
	submit(w, of_team(ASK(w, 1, 10, {LABEL_PRIORITY, "1000"}), &w->teams[0]), 0);
	submit(w, of_team(ASK(w, 2, 10), &w->teams[1]), 0);
	submit(w, of_team(ASK(w, 3, 10), &w->teams[2]), 0);
	assert_order(w, (uint64_t[]){2, 3, 1}, 3);
	world_free(w);
}

static void equals_leave_in_order_of_arrival(void **state)
{
	struct world *w = drained();

	(void)state;
	for (size_t i = 0; i < 3; i++)
		w->teams[i].weight = 1;
	drain(w);
	submit(w, of_team(ASK(w, 1, 10), &w->teams[2]), 0);
	submit(w, of_team(ASK(w, 2, 10), &w->teams[0]), 0);
	submit(w, of_team(ASK(w, 3, 10), &w->teams[1]), 0);
	assert_order(w, (uint64_t[]){1, 2, 3}, 3);
	world_free(w);
}

// Cancelling does not cost a team its turn.
static void a_withdrawn_request_gives_its_turn_back(void **state)
{
	struct world *w = drained();

	(void)state;
	w->teams[0].weight = w->teams[1].weight = 1;
	drain(w);
	submit(w, of_team(ASK(w, 1, 50), &w->teams[0]), 0); // large, and gone soon
	submit(w, of_team(ASK(w, 2, 40), &w->teams[0]), 0);
	submit(w, of_team(ASK(w, 3, 10), &w->teams[0]), 0);
	submit(w, of_team(ASK(w, 4, 15), &w->teams[1]), 0);
	governor_withdraw(w->g, 1, false, 0);
	governor_withdraw(w->g, 2, false, 0);
	assert_order(w, (uint64_t[]){3, 4}, 2);
	world_free(w);
}

// What a team took while nobody else wanted it is not held against it.
static void idle_capacity_is_free(void **state)
{
	struct world *w = drained();

	(void)state;
	w->teams[0].weight = 1;
	world_begin(w, 0);
	for (uint64_t id = 10; id < 16; id++)
		assert_int_equal(submit(w, of_team(ASK(w, id, 10), &w->teams[0]), 0),
				 VERDICT_ADMITTED);
	submit(w, of_team(ASK(w, 1, 10), &w->teams[0]), 0);
	submit(w, of_team(ASK(w, 2, 10), &w->teams[2]), 0);
	assert_order(w, (uint64_t[]){1, 2}, 2);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_later_more_urgent_request_overtakes_all_that_wait),
		cmocka_unit_test(urgency_of_a_team_counts_like_that_of_a_request),
		cmocka_unit_test(a_lower_tier_goes_before_any_priority),
		cmocka_unit_test(equals_leave_in_order_of_arrival),
		cmocka_unit_test(a_withdrawn_request_gives_its_turn_back),
		cmocka_unit_test(idle_capacity_is_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
