// The token bucket: what it lets through, when, and that a provider who hears of it late agrees.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern/bucket.h"
#include "govern/hashtab.h"

#define S NS_PER_S
#define MS (NS_PER_S / 1000)
#define EPSILON 1e-6

static uint64_t seed;

static double random_unit(void)
{
	seed = hash_mix(seed, 1);
	return (double)(seed >> 11) / 9007199254740992.0;
}

static struct bucket bucket(double capacity, uint64_t headroom_ns)
{
	struct bucket b;

	bucket_init(&b, capacity, headroom_ns, 0);
	return b;
}

static void assert_near(double a, double b)
{
	if (fabs(a - b) > EPSILON)
		fail_msg("%f is not %f", a, b);
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

static void corrections_never_raise_the_level(void **state)
{
	(void)state;
	struct bucket b = bucket(60, 0);

	bucket_draw(&b, 30, 0);
	bucket_lower_to(&b, 50, 0);
	assert_near(bucket_level(&b, 0), 30);
	bucket_lower_to(&b, 5, 0);
	assert_near(bucket_level(&b, 0), 5);
	bucket_refund(&b, 100, 0, 0);
	assert_near(bucket_level(&b, 0), 60);
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
		assert_true(lowest_level_there(250 * MS, 250 * MS, largest, &used) > -EPSILON);
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
		cmocka_unit_test(corrections_never_raise_the_level),
		cmocka_unit_test(a_late_refund_gives_back_what_is_still_missing),
		cmocka_unit_test(a_clock_that_stands_still_or_steps_back_gives_nothing),
		cmocka_unit_test(ready_ns_is_exact),
		cmocka_unit_test(small_draws_do_not_drift),
		cmocka_unit_test(a_provider_charged_late_never_answers_429),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
