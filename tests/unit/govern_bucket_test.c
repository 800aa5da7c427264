// The token bucket: what it lets through, when, and that a provider who hears of it late agrees.
// The kinds that do not fill continuously are in govern_bucket_kinds_test.c.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern/hashtab.h"
#include "govern_world.h"

static uint64_t seed;

static double random_unit(void)
{
	seed = hash_mix(seed, 1);
	return (double)(seed >> 11) / 9007199254740992.0;
}

// `capacity` a minute.
static struct bucket bucket(double capacity, uint64_t headroom_ns)
{
	struct bucket b;

	bucket_init(&b,
		    &(struct bucket_terms){.capacity = capacity,
					   .fill_amount = capacity,
					   .interval_ns = MINUTE,
					   .headroom_ns = headroom_ns},
		    0, 0);
	return b;
}

static void starts_full_and_refills_in_a_minute(void **state)
{
	(void)state;
	struct bucket b = bucket(600, 0);

	assert_true(bucket_admits(&b, 600, 0));
	bucket_draw(&b, 600, 0);
	assert_false(bucket_admits(&b, 1, 0));
	assert_near(bucket_level(&b, 100 * MS), 1);
	assert_near(bucket_level(&b, 30 * S), 300);
	assert_near(bucket_level(&b, 60 * S), 600);
	assert_near(bucket_level(&b, 600 * S), 600);
}

static void a_draw_near_full_postpones_the_refill(void **state)
{
	(void)state;
	struct bucket b = bucket(600, 250 * MS);

	bucket_draw(&b, 10, 0);
	assert_near(bucket_level(&b, 250 * MS), 590);
	assert_near(bucket_level(&b, 350 * MS), 591);
	// Far from full it does not.
	bucket_draw(&b, 300, 350 * MS);
	assert_near(bucket_level(&b, 450 * MS), 292);
}

static void a_request_above_the_capacity_goes_into_debt(void **state)
{
	(void)state;
	struct bucket b = bucket(60, 0);

	bucket_draw(&b, 1, 0);
	assert_false(bucket_admits(&b, 150, 0));
	assert_int_equal(bucket_ready_ns(&b, 150, 0), S);
	bucket_draw(&b, 150, S);
	assert_near(bucket_level(&b, S), -90);
	assert_int_equal(bucket_ready_ns(&b, 1, S), 92 * S);
}

static void capacity_zero_forbids(void **state)
{
	(void)state;
	struct bucket b = bucket(0, 0);

	assert_false(bucket_admits(&b, 1, 60 * S));
	assert_int_equal(bucket_ready_ns(&b, 1, 0), BUCKET_NEVER);
}

static void a_shut_bucket_opens_by_itself(void **state)
{
	(void)state;
	struct bucket b = bucket(60, 0);

	bucket_shut(&b, 7 * S);
	bucket_shut(&b, 3 * S); // never earlier
	assert_false(bucket_admits(&b, 1, 7 * S - 1));
	assert_int_equal(bucket_ready_ns(&b, 1, 0), 7 * S);
	assert_true(bucket_admits(&b, 1, 7 * S));
}

static void lowering_never_raises(void **state)
{
	(void)state;
	struct bucket b = bucket(60, 0);

	bucket_draw(&b, 30, 0);
	bucket_lower_to(&b, 50, 0);
	assert_near(bucket_level(&b, 0), 30);
	bucket_lower_to(&b, 5, 0);
	assert_near(bucket_level(&b, 0), 5);
}

static void raising_never_lowers_and_ends_when_full(void **state)
{
	(void)state;
	struct bucket b = bucket(60, 0);

	bucket_draw(&b, 30, 0);
	bucket_raise_to(&b, 20, 0);
	assert_near(bucket_level(&b, 0), 30);
	bucket_raise_to(&b, 40, 0);
	assert_near(bucket_level(&b, 0), 40);
	bucket_raise_to(&b, 1000, 0);
	assert_near(bucket_level(&b, 0), 60);
}

static void a_lump_that_never_fills_is_spent_once(void **state)
{
	(void)state;
	struct bucket b;

	bucket_init(&b, &(struct bucket_terms){.capacity = 10, .interval_ns = MINUTE}, 0, 0);
	assert_true(bucket_admits(&b, 10, 0));
	bucket_draw(&b, 4, 0);
	assert_near(bucket_level(&b, 365 * DAY), 6);
	assert_int_equal(bucket_ready_ns(&b, 6, DAY), DAY);
	assert_int_equal(bucket_ready_ns(&b, 7, DAY), BUCKET_NEVER);
}

// Nothing is known of the provider's limit yet: all may go, until a 429 says otherwise.
static void an_infinite_capacity_admits_everything_unless_shut(void **state)
{
	(void)state;
	struct bucket b = bucket(INFINITY, 250 * MS);

	for (int i = 0; i < 100; i++)
		bucket_draw(&b, 1e12, (uint64_t)i);
	assert_true(bucket_admits(&b, 1e15, 0));
	assert_true(bucket_fill_per_s(&b) == 0);
	bucket_shut(&b, 5 * S);
	assert_false(bucket_admits(&b, 1, 0));
	assert_int_equal(bucket_ready_ns(&b, 1, 0), 5 * S);
	bucket_refund(&b, 1e12, 0, 6 * S);
	assert_true(isinf(bucket_level(&b, 6 * S)));
}

static void a_limit_learnt_late_begins_full_and_one_that_shrinks_is_clipped(void **state)
{
	(void)state;
	struct bucket b = bucket(INFINITY, 0);

	bucket_draw(&b, 1e6, 0);
	bucket_retune(&b, 500, MINUTE, S);
	assert_near(bucket_level(&b, S), 500);
	bucket_draw(&b, 100, S);
	bucket_retune(&b, 300, DAY, S);
	assert_near(bucket_level(&b, S), 300);
	bucket_draw(&b, 300, S);
	assert_near(bucket_level(&b, S + DAY / 2), 150);
	bucket_retune(&b, 600, DAY, S + DAY / 2); // more is known: no gift of what is not filled
	assert_near(bucket_level(&b, S + DAY / 2), 150);
}

static void a_reset_bucket_is_as_new(void **state)
{
	(void)state;
	struct bucket b = bucket(60, 250 * MS);

	bucket_draw(&b, 200, S);
	bucket_shut(&b, BUCKET_NEVER);
	assert_false(bucket_is_fresh(&b, 2 * S));
	bucket_reset(&b, 2 * S);
	assert_true(bucket_is_fresh(&b, 2 * S));
	assert_true(bucket_admits(&b, 60, 2 * S));
	bucket_draw(&b, 60, 2 * S);
	assert_near(bucket_level(&b, 4 * S), 1.75); // and fills at its own rate, after the headroom
}

static void a_bucket_is_fresh_when_full_open_and_filling(void **state)
{
	(void)state;
	struct bucket b = bucket(60, 250 * MS);

	assert_true(bucket_is_fresh(&b, 0));
	bucket_draw(&b, 1, 0);
	assert_false(bucket_is_fresh(&b, S + 200 * MS));
	assert_true(bucket_is_fresh(&b, S + 250 * MS));
	bucket_shut(&b, 10 * S);
	assert_false(bucket_is_fresh(&b, 10 * S - 1));
	assert_true(bucket_is_fresh(&b, 10 * S));
}

// Giving back what has been refilled already would let twice the limit through.
static void a_late_refund_gives_back_what_is_still_missing(void **state)
{
	(void)state;
	struct bucket b = bucket(60, 0);

	bucket_draw(&b, 60, 0);
	bucket_draw(&b, 60, 60 * S);
	bucket_refund(&b, 60, 0, 60 * S);
	assert_near(bucket_level(&b, 60 * S), 0);
	// Saturated for two minutes, nothing that was refilled would have been lost.
	for (uint64_t s = 61; s <= 190; s++)
		bucket_draw(&b, 1, s * S);
	bucket_refund(&b, 10, 180 * S, 190 * S);
	assert_near(bucket_level(&b, 190 * S), 10);
}

static void a_refund_never_gives_more_than_full(void **state)
{
	(void)state;
	struct bucket b = bucket(60, 0);

	bucket_draw(&b, 30, 0);
	bucket_refund(&b, 100, 0, 0);
	assert_near(bucket_level(&b, 0), 60);
}

static void a_clock_that_stands_still_or_steps_back_gives_nothing(void **state)
{
	(void)state;
	struct bucket b = bucket(60, 0);

	bucket_draw(&b, 60, 10 * S);
	assert_near(bucket_level(&b, 10 * S), 0);
	assert_near(bucket_level(&b, 5 * S), 0);
	bucket_draw(&b, 1, 5 * S);
	assert_near(bucket_level(&b, 11 * S), 0);
	assert_int_equal(bucket_ready_ns(&b, 1, 5 * S), 12 * S);
}

// Who sleeps until ready_ns finds it ready, and has not slept too long.
static void ready_ns_is_exact(void **state)
{
	(void)state;
	seed = 1;
	for (int i = 0; i < 100000; i++) {
		double capacity = exp(random_unit() * 16);
		struct bucket b = bucket(capacity, 250 * MS);
		uint64_t now = (uint64_t)(random_unit() * 1e15);

		bucket_draw(&b, random_unit() * 3 * capacity, now);
		now += (uint64_t)(random_unit() * 1e10);
		double amount = random_unit() * 2 * capacity;
		uint64_t ready = bucket_ready_ns(&b, amount, now);

		assert_true(ready >= now);
		assert_true(bucket_admits(&b, amount, ready));
		assert_true(ready == now || !bucket_admits(&b, amount, ready - 1000));
	}
}

static void small_draws_do_not_drift(void **state)
{
	(void)state;
	struct bucket b = bucket(1e6, 0);
	uint64_t now = 0;

	bucket_draw(&b, 5e5, now);
	for (int i = 0; i < 1000000; i++) {
		now += 60 * 1000; // in which one token is filled
		bucket_draw(&b, 1, now);
	}
	assert_near(bucket_level(&b, now), 5e5);
}

// A provider whose bucket is charged up to `delay_ns` after ours. Returns its lowest level, and the
// share of its rate that was used.
static double lowest_level_there(uint64_t headroom_ns, uint64_t delay_ns, double largest,
				 double *ret_used)
{
	enum { REQUESTS = 10000, IN_FLIGHT = 4096 };
	struct bucket ours = bucket(60000, headroom_ns), theirs = bucket(60000, 0);
	struct {
		uint64_t arrives;
		double amount;
	} flight[IN_FLIGHT]; // more than leave within delay_ns
	size_t n_flight = 0;
	uint64_t now = 0;
	double lowest = theirs.level, sum = 0;

	for (int i = 0; i < REQUESTS; i++) {
		double amount = 1 + random_unit() * (largest - 1);

		now = bucket_ready_ns(&ours, amount, now);
		bucket_draw(&ours, amount, now);
		sum += amount;
		flight[n_flight].arrives = now + (uint64_t)(random_unit() * (double)delay_ns);
		flight[n_flight++].amount = amount;
		// Whatever arrives before the next can leave, in order of arrival.
		uint64_t until = i + 1 < REQUESTS ? now : UINT64_MAX;
		for (;;) {
			size_t first = 0;

			for (size_t j = 1; j < n_flight; j++)
				if (flight[j].arrives < flight[first].arrives)
					first = j;
			if (!n_flight || (flight[first].arrives > until))
				break;
			bucket_draw(&theirs, flight[first].amount, flight[first].arrives);
			lowest = fmin(lowest, theirs.level);
			flight[first] = flight[--n_flight];
		}
	}
	*ret_used = (sum - 60000) / (1000.0 * ((double)now / NS_PER_S));
	return lowest;
}

static void a_provider_charged_late_never_answers_429(void **state)
{
	(void)state;
	double used;

	seed = 2;
	for (double largest = 100; largest < 60000; largest *= 3) {
		assert_true(lowest_level_there(250 * MS, 250 * MS, largest, &used) > -1e-6);
		if (used < 0.99)
			fail_msg("largest %f: only %f of the rate was used", largest, used);
	}
	// The headroom is what does it.
	assert_true(lowest_level_there(0, 250 * MS, 1000, &used) < -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_full_and_refills_in_a_minute),
		cmocka_unit_test(a_draw_near_full_postpones_the_refill),
		cmocka_unit_test(a_request_above_the_capacity_goes_into_debt),
		cmocka_unit_test(capacity_zero_forbids),
		cmocka_unit_test(a_shut_bucket_opens_by_itself),
		cmocka_unit_test(lowering_never_raises),
		cmocka_unit_test(raising_never_lowers_and_ends_when_full),
		cmocka_unit_test(a_lump_that_never_fills_is_spent_once),
		cmocka_unit_test(an_infinite_capacity_admits_everything_unless_shut),
		cmocka_unit_test(a_limit_learnt_late_begins_full_and_one_that_shrinks_is_clipped),
		cmocka_unit_test(a_reset_bucket_is_as_new),
		cmocka_unit_test(a_bucket_is_fresh_when_full_open_and_filling),
		cmocka_unit_test(a_late_refund_gives_back_what_is_still_missing),
		cmocka_unit_test(a_refund_never_gives_more_than_full),
		cmocka_unit_test(a_clock_that_stands_still_or_steps_back_gives_nothing),
		cmocka_unit_test(ready_ns_is_exact),
		cmocka_unit_test(small_draws_do_not_drift),
		cmocka_unit_test(a_provider_charged_late_never_answers_429),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
