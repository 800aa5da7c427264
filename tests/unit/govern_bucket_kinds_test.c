// Buckets that fill in steps, by the calendar, or late: what a policy means by
// `continuous_fill: false`, `calendar: month` and `delay_initial_fill: true`.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern/hashtab.h"
#include "govern_world.h"

static struct bucket bucket(const struct bucket_terms *terms, uint64_t now_ns)
{
	struct bucket b;

	bucket_init(&b, terms, now_ns, 0);
	return b;
}

static const struct bucket_terms stepwise = {
	.capacity = 10, .fill_amount = 4, .interval_ns = MINUTE, .is_stepwise = true};

static void steps_come_whole_and_at_the_end_of_each_interval(void **state)
{
	(void)state;
	struct bucket b = bucket(&stepwise, 0);

	bucket_draw(&b, 10, 30 * S); // the first interval begins: before, there was nothing to fill
	assert_near(bucket_level(&b, 90 * S - 1), 0);
	assert_near(bucket_level(&b, 90 * S), 4);
	assert_near(bucket_level(&b, 150 * S - 1), 4);
	assert_near(bucket_level(&b, 210 * S), 10); // 12, but no more than full
	assert_near(bucket_fill_per_s(&b), 4 / 60.0);
}

// Nor may a step come right after the bucket was emptied: that would be twice the limit at once.
static void draws_in_between_do_not_shift_the_steps(void **state)
{
	(void)state;
	struct bucket b = bucket(&stepwise, 0);

	bucket_draw(&b, 10, 0);
	for (uint64_t s = 7; s < 120; s += 7)
		bucket_draw(&b, 0.25, s * S);
	assert_near(bucket_level(&b, 2 * MINUTE - 1), 4 - 17 * 0.25);
	assert_near(bucket_level(&b, 2 * MINUTE), 8 - 17 * 0.25);
	assert_int_equal(bucket_ready_ns(&b, 4, 2 * MINUTE + 1), 3 * MINUTE);
}

static void a_step_is_ready_when_it_comes_and_not_before(void **state)
{
	(void)state;
	struct bucket b = bucket(&stepwise, 5 * S);

	bucket_draw(&b, 10, 10 * S);
	assert_int_equal(bucket_ready_ns(&b, 4, 11 * S), 70 * S);
	assert_int_equal(bucket_ready_ns(&b, 4.5, 11 * S), 130 * S);
	assert_int_equal(bucket_ready_ns(&b, 10, 124 * S), 190 * S);
	assert_int_equal(bucket_ready_ns(&b, 50, 124 * S), 190 * S); // more than full
	for (double amount = 0.5; amount <= 10; amount += 0.5) {
		uint64_t ready_ns = bucket_ready_ns(&b, amount, 11 * S);

		assert_true(bucket_admits(&b, amount, ready_ns));
		assert_false(bucket_admits(&b, amount, ready_ns - 1));
	}
}

// delay_initial_fill, as Aperture has it: the first draw from a full bucket starts the interval, so
// that no window of one interval sees twice the limit.
static void a_delayed_fill_never_lets_twice_the_limit_through(void **state)
{
	(void)state;
	struct bucket_terms terms = {
		.capacity = 60, .fill_amount = 60, .interval_ns = MINUTE, .delays_fill = true};

	for (int is_stepwise = 0; is_stepwise <= 1; is_stepwise++) {
		terms.is_stepwise = is_stepwise;
		struct bucket b = bucket(&terms, 0);
		uint64_t first_ns = 100 * S, now_ns = first_ns;
		double sum = 0;

		while (now_ns < first_ns + MINUTE) {
			bucket_draw(&b, 1, now_ns);
			sum += 1;
			now_ns = bucket_ready_ns(&b, 1, now_ns);
		}
		assert_near(sum, 60);
		assert_int_equal(now_ns, first_ns + MINUTE + (is_stepwise ? 0 : S));
		// A draw from what is not full does not postpone again.
		bucket_draw(&b, 1, now_ns);
		assert_int_equal(bucket_ready_ns(&b, 1, now_ns), now_ns + (is_stepwise ? 0 : S));
	}
}

static const struct bucket_terms daily = {
	.capacity = 100, .fill_amount = 100, .interval_ns = DAY, .calendar = CALENDAR_DAY};

static void a_day_s_budget_is_whole_again_at_midnight(void **state)
{
	(void)state;
	struct bucket b = bucket(&daily, 20 * HOUR);

	bucket_draw(&b, 130, 23 * HOUR);
	assert_near(bucket_level(&b, DAY - 1), -30);
	assert_int_equal(bucket_ready_ns(&b, 1, 23 * HOUR), DAY);
	assert_near(bucket_level(&b, DAY), 100); // debts end, too
	bucket_draw(&b, 100, DAY + HOUR);
	assert_int_equal(bucket_ready_ns(&b, 1000, DAY + HOUR), 2 * DAY);
	assert_near(bucket_level(&b, 40 * DAY), 100);
	bucket_draw(&b, 40, 40 * DAY + HOUR);
	assert_near(bucket_level(&b, 41 * DAY - 1), 60);
	assert_true(bucket_fill_per_s(&b) == 0);
}

// The clock's zero is some other time than Unix time's, as that of a machine since its boot.
static void midnight_is_by_the_wall_clock_and_its_zone(void **state)
{
	(void)state;
	struct zone_offset east[] = {{0, 2 * 3600}};
	struct zone zone = {.name = "east", .offsets = east, .n_offsets = 1};
	struct bucket_terms terms = daily;
	struct bucket b;

	terms.zone = &zone;
	bucket_init(&b, &terms, 5 * S, (int64_t)(20000 * DAY + 21 * HOUR)); // 23:00 there
	bucket_draw(&b, 100, 6 * S);
	assert_int_equal(bucket_ready_ns(&b, 1, 7 * S), HOUR);
	// The clock was an hour slow: it is midnight in half an hour, then.
	bucket_set_wall_offset(&b, 8 * S, (int64_t)(20000 * DAY + 21 * HOUR + HOUR / 2));
	assert_int_equal(bucket_ready_ns(&b, 1, 8 * S), HOUR / 2);
	assert_near(bucket_level(&b, HOUR / 2 - 1), 0);
	assert_near(bucket_level(&b, HOUR / 2), 100);
}

static void a_month_s_budget_lasts_until_the_first(void **state)
{
	(void)state;
	struct bucket_terms terms = daily;
	uint64_t may_2026 = 1777593600; // 2026-05-01T00:00:00Z

	terms.calendar = CALENDAR_MONTH;
	struct bucket b = bucket(&terms, may_2026 * S + 3 * DAY);
	bucket_draw(&b, 100, may_2026 * S + 3 * DAY);
	assert_int_equal(bucket_ready_ns(&b, 1, may_2026 * S + 4 * DAY), may_2026 * S + 31 * DAY);
	assert_near(bucket_level(&b, may_2026 * S + 31 * DAY), 100);
}

static void a_shut_bucket_of_any_kind_opens_by_itself(void **state)
{
	(void)state;
	struct bucket b = bucket(&daily, 0);

	bucket_shut(&b, 2 * DAY + HOUR);
	assert_int_equal(bucket_ready_ns(&b, 1, HOUR), 2 * DAY + HOUR);
	bucket_draw(&b, 100, HOUR); // an overdue one was let go
	assert_int_equal(bucket_ready_ns(&b, 1, HOUR), 2 * DAY + HOUR);
	assert_true(bucket_admits(&b, 1, 2 * DAY + HOUR));
}

static void a_refund_gives_no_step_twice(void **state)
{
	(void)state;
	struct bucket b = bucket(&stepwise, 0);

	bucket_draw(&b, 10, 50 * S);
	bucket_refund(&b, 10, 50 * S, 55 * S); // nothing has come since
	assert_near(bucket_level(&b, 55 * S), 10);
	bucket_draw(&b, 10, 56 * S);
	bucket_refund(&b, 10, 56 * S, 117 * S); // a step of 4 has
	assert_near(bucket_level(&b, 117 * S), 10);
	bucket_draw(&b, 10, 118 * S);
	bucket_draw(&b, 4, 179 * S);
	bucket_refund(&b, 3, 118 * S, 180 * S); // it was never full without them
	assert_near(bucket_level(&b, 180 * S), 3);
	bucket_refund(&b, 7, 118 * S, 181 * S); // full with one more: the rest of the step is lost
	assert_near(bucket_level(&b, 181 * S), 3 + 3);
}

static void a_refund_counts_for_the_window_it_was_drawn_in(void **state)
{
	(void)state;
	struct bucket b = bucket(&daily, 0);

	bucket_draw(&b, 70, 20 * HOUR);
	bucket_refund(&b, 30, 20 * HOUR, 22 * HOUR);
	assert_near(bucket_level(&b, 22 * HOUR), 60);
	bucket_draw(&b, 50, DAY + HOUR);
	bucket_refund(&b, 40, 20 * HOUR, DAY + 2 * HOUR); // yesterday's money
	assert_near(bucket_level(&b, DAY + 2 * HOUR), 50);
	bucket_refund(&b, 50, DAY + HOUR, DAY + 2 * HOUR);
	assert_near(bucket_level(&b, DAY + 2 * HOUR), 100);
}

// A reload makes a new bucket that takes over the old one's state.
static void a_reload_shifts_no_step(void **state)
{
	(void)state;
	struct bucket old = bucket(&stepwise, 0), b;

	bucket_draw(&old, 10, 0);
	b = bucket(&stepwise, 50 * S);
	bucket_inherit(&b, &old, 50 * S);
	assert_near(bucket_level(&b, MINUTE - 1), 0);
	assert_near(bucket_level(&b, MINUTE), 4);
	old = b;
	b = bucket(&stepwise, 3 * MINUTE - S); // once more, with steps in between
	bucket_inherit(&b, &old, 3 * MINUTE - S);
	assert_near(bucket_level(&b, 3 * MINUTE - S), 8);
	assert_int_equal(bucket_ready_ns(&b, 9, 3 * MINUTE - S), 3 * MINUTE);
}

static void a_reload_keeps_debts_closures_and_postponed_refills(void **state)
{
	(void)state;
	struct bucket_terms terms = {
		.capacity = 60, .fill_amount = 60, .interval_ns = MINUTE, .delays_fill = true};
	struct bucket old = bucket(&terms, 0), b = bucket(&terms, 10 * S);

	bucket_draw(&old, 70, 0);
	bucket_shut(&old, 20 * S);
	bucket_inherit(&b, &old, 10 * S);
	assert_near(bucket_level(&b, MINUTE), -10);
	assert_near(bucket_level(&b, MINUTE + 15 * S), 5);
	assert_int_equal(b.shut_until_ns, 20 * S);
}

static void a_reload_keeps_the_day_s_refunds(void **state)
{
	(void)state;
	struct bucket old = bucket(&daily, 0), b = bucket(&daily, 2 * HOUR);

	bucket_draw(&old, 80, HOUR);
	bucket_inherit(&b, &old, 2 * HOUR);
	assert_near(bucket_level(&b, 2 * HOUR), 20);
	bucket_refund(&b, 30, HOUR, 3 * HOUR); // settled for less than was reserved
	assert_near(bucket_level(&b, 3 * HOUR), 50);
	assert_near(bucket_level(&b, DAY), 100);
}

// Who sleeps until ready_ns finds it ready, and has not slept too long; of every kind.
static void ready_ns_is_exact_for_every_kind(void **state)
{
	(void)state;
	uint64_t seed = 3;

	for (int i = 0; i < 30000; i++) {
		double parts[4];

		for (int j = 0; j < 4; j++) {
			seed = hash_mix(seed, 1);
			parts[j] = (double)(seed >> 11) / 9007199254740992.0;
		}
		struct bucket_terms terms = {
			.capacity = exp(parts[0] * 16),
			.interval_ns = (uint64_t)(S * exp(parts[1] * 15)),
			.headroom_ns = i & 1 ? 250 * MS : 0,
			.is_stepwise = i & 2,
			.delays_fill = i & 4,
			.calendar = i & 8 && !(i & 2) ? CALENDAR_DAY : CALENDAR_NONE,
		};
		terms.fill_amount = terms.capacity * (0.1 + parts[2]);
		uint64_t now_ns = (uint64_t)(parts[3] * 1e15);
		struct bucket b = bucket(&terms, now_ns);

		bucket_draw(&b, parts[1] * 3 * terms.capacity,
			    now_ns + (uint64_t)(parts[0] * 1e10));
		now_ns += (uint64_t)(parts[2] * 1e10);
		double amount = parts[3] * 2 * terms.capacity;
		uint64_t ready_ns = bucket_ready_ns(&b, amount, now_ns);
		assert_true(ready_ns >= now_ns);
		if (!bucket_admits(&b, amount, ready_ns))
			fail_msg("kind %d, try %d: slept in vain", i & 15, i);
		// The slack that forgives rounding is 1e-10 of a capacity.
		uint64_t early_ns = 1000 + (uint64_t)((double)terms.interval_ns * 1e-9);
		if (ready_ns > now_ns + early_ns && bucket_admits(&b, amount, ready_ns - early_ns))
			fail_msg("kind %d, try %d: slept too long", i & 15, i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_come_whole_and_at_the_end_of_each_interval),
		cmocka_unit_test(draws_in_between_do_not_shift_the_steps),
		cmocka_unit_test(a_step_is_ready_when_it_comes_and_not_before),
		cmocka_unit_test(a_delayed_fill_never_lets_twice_the_limit_through),
		cmocka_unit_test(a_day_s_budget_is_whole_again_at_midnight),
		cmocka_unit_test(midnight_is_by_the_wall_clock_and_its_zone),
		cmocka_unit_test(a_month_s_budget_lasts_until_the_first),
		cmocka_unit_test(a_shut_bucket_of_any_kind_opens_by_itself),
		cmocka_unit_test(a_refund_gives_no_step_twice),
		cmocka_unit_test(a_refund_counts_for_the_window_it_was_drawn_in),
		cmocka_unit_test(a_reload_shifts_no_step),
		cmocka_unit_test(a_reload_keeps_debts_closures_and_postponed_refills),
		cmocka_unit_test(a_reload_keeps_the_day_s_refunds),
		cmocka_unit_test(ready_ns_is_exact_for_every_kind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
