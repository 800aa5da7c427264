// If this fails, the figures that sluice simulate sums up are not those of its decisions.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "simulate/summary.h"

static struct trace_request chat = {.team = "chat", .tokens = 100};
static struct trace_request batch = {.team = "batch", .tokens = 7};
static struct trace_request nobody = {.tokens = 1};

static void add(struct summary *s, const struct trace_request *request, const char *workload,
		enum fate fate, uint64_t waited_ns, double moved)
{
	struct fated fated = {
		.request = request,
		.fate = fate,
		.waited_ns = waited_ns,
		.workload = workload,
		.moved = moved,
	};

	assert_int_equal(summary_add(s, &fated), 0);
}

static void a_quantile_is_a_wait_that_was_seen(void **state)
{
	struct summary s = {0};

	(void)state;
	for (uint64_t i = 1000; i >= 1; i--)
		add(&s, &chat, "w", FATE_ADMITTED, i, 0);
	add(&s, &chat, "w", FATE_TIMED_OUT, 1000000, 0);
	summary_sort(&s);
	assert_int_equal(s.n_groups, 1);
	assert_int_equal(summary_wait_ns(s.groups[0], 0.5), 500);
	assert_int_equal(summary_wait_ns(s.groups[0], 0.95), 950);
	assert_int_equal(summary_wait_ns(s.groups[0], 0.99), 990);
	assert_int_equal(summary_wait_ns(s.groups[0], 1), 1000);
	summary_free(&s);
}

static void one_wait_is_all_quantiles(void **state)
{
	struct summary s = {0};

	(void)state;
	add(&s, &chat, "w", FATE_ADMITTED, 42, 0);
	summary_sort(&s);
	assert_int_equal(summary_wait_ns(s.groups[0], 0.5), 42);
	assert_int_equal(summary_wait_ns(s.groups[0], 1), 42);
	summary_free(&s);
}

static void each_workload_of_each_team_is_counted_by_itself(void **state)
{
	struct summary s = {0};

	(void)state;
	add(&s, &chat, "w", FATE_ADMITTED, 0, 0);
	add(&s, &chat, NULL, FATE_DENIED, 0, 0);
	add(&s, &batch, "w", FATE_TIMED_OUT, 9, 0);
	add(&s, &nobody, "w", FATE_CANCELLED, 9, 0);
	add(&s, &nobody, "w", FATE_ADMITTED, 9, 0);
	summary_sort(&s);
	assert_int_equal(s.n_groups, 4);
	assert_int_equal(s.n_requests, 5);
	assert_string_equal(s.groups[0]->workload, "default");
	assert_int_equal(s.groups[0]->count[FATE_DENIED], 1);
	assert_null(s.groups[1]->team);
	assert_int_equal(summary_count(s.groups[1]), 2);
	assert_string_equal(s.groups[2]->team, "batch");
	assert_int_equal(s.groups[2]->count[FATE_TIMED_OUT], 1);
	assert_int_equal(summary_wait_ns(s.groups[2], 0.5), 0);
	assert_string_equal(s.groups[3]->team, "chat");
	summary_free(&s);
}

static void moves_are_told_as_aperture_does(void **state)
{
	struct summary s = {0};

	(void)state;
	add(&s, &chat, "w", FATE_ADMITTED, 0, 30);
	add(&s, &chat, "w", FATE_ADMITTED, 0, 12);
	add(&s, &chat, "w", FATE_ADMITTED, 0, -5);
	add(&s, &chat, "w", FATE_ADMITTED, 0, 0);
	add(&s, &chat, "w", FATE_DENIED, 0, 0);
	summary_sort(&s);
	assert_int_equal(s.groups[0]->preempted, 2);
	assert_true(s.groups[0]->preempted_tokens == 42);
	assert_int_equal(s.groups[0]->delayed, 1);
	assert_true(s.groups[0]->delayed_tokens == 5);
	assert_int_equal(s.groups[0]->on_time, 1);
	assert_true(s.groups[0]->on_time_tokens == 100);
	summary_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quantile_is_a_wait_that_was_seen),
		cmocka_unit_test(one_wait_is_all_quantiles),
		cmocka_unit_test(each_workload_of_each_team_is_counted_by_itself),
		cmocka_unit_test(moves_are_told_as_aperture_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
