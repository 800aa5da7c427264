// What is given back of a draw: exactly what would be there without it, however many draws and
// refunds there were in between. Against a bucket that is told the truth at once.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern/hashtab.h"
#include "govern_world.h"

enum { RUNS = 2000, DRAWS = 40 };

static uint64_t seed;

static uint64_t random_below(uint64_t n)
{
	seed = hash_mix(seed, 1);
	return seed % n;
}

struct reservation {
	uint64_t at_ns, settled_ns;
	double reserved, used;
};

static struct bucket full(double capacity, uint64_t at_ns)
{
	struct bucket b;

	bucket_init(&b,
		    &(struct bucket_terms){
			    .capacity = capacity, .fill_amount = capacity, .interval_ns = MINUTE},
		    at_ns, 0);
	return b;
}

// The level at the end if each draw had taken no more than what was used of it by then.
static double level_in_hindsight(const struct reservation *r, size_t n, uint64_t now_ns)
{
	struct bucket b = full(1000, S);

	for (size_t i = 0; i < n; i++)
		bucket_draw(&b, r[i].settled_ns <= now_ns ? r[i].used : r[i].reserved, r[i].at_ns);
	return bucket_level(&b, now_ns);
}

// Settles what is due by now_ns, in the order of the settlements.
static void settle_until(struct bucket *b, struct reservation *r, bool *done, size_t n,
			 uint64_t now_ns)
{
	for (;;) {
		size_t first = n;

		for (size_t i = 0; i < n; i++)
			if (!done[i] && r[i].settled_ns <= now_ns &&
			    (first == n || r[i].settled_ns < r[first].settled_ns))
				first = i;
		if (first == n)
			return;
		done[first] = true;
		bucket_refund(b, r[first].reserved - r[first].used, r[first].at_ns,
			      r[first].settled_ns);
	}
}

static void a_refund_is_what_would_be_there(void **state)
{
	(void)state;
	for (seed = 0; seed < RUNS; seed++) {
		struct reservation r[DRAWS];
		bool done[DRAWS] = {0};
		struct bucket b = full(1000, S);
		uint64_t now_ns = S, kept = seed;

		for (size_t i = 0; i < DRAWS; i++) {
			now_ns += random_below(6 * S) + 1;
			r[i].at_ns = now_ns;
			r[i].reserved = 1 + (double)random_below(150);
			r[i].used = (double)random_below((uint64_t)r[i].reserved + 1);
			r[i].settled_ns = now_ns + 1 + random_below(90 * S);
			settle_until(&b, r, done, i, now_ns);
			double truth = level_in_hindsight(r, i, now_ns),
			       level = bucket_level(&b, now_ns);
			// Never more than the truth; less only by what merging peaks costs.
			assert_true(level <= truth + 1e-6);
			assert_true(level >= truth - 1);
			bucket_draw(&b, r[i].reserved, now_ns);
		}
		seed = kept;
	}
}

// A stream of requests that reserve four times what they use: the limit is used, not the estimate.
static void reservations_do_not_use_up_the_limit(void **state)
{
	(void)state;
	enum { RESPONSE_S = 10, LENGTH_S = 1200 };
	static uint64_t at_ns[100000];
	struct bucket b = full(40000, 0);
	size_t n = 0, settled = 0;

	for (uint64_t now_ns = 0; now_ns < LENGTH_S * S; now_ns += S / 10) {
		for (; settled < n && at_ns[settled] + RESPONSE_S * S <= now_ns; settled++)
			bucket_refund(&b, 1500, at_ns[settled], now_ns);
		for (; bucket_admits(&b, 2000, now_ns); n++) {
			bucket_draw(&b, 2000, now_ns);
			at_ns[n] = now_ns;
		}
	}
	double used_per_s = 500 * (double)n / LENGTH_S;
	assert_true(used_per_s > 0.97 * 40000 / 60);
	assert_true(500 * (double)n <= 40000 + LENGTH_S * 40000.0 / 60 + RESPONSE_S * 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refund_is_what_would_be_there),
		cmocka_unit_test(reservations_do_not_use_up_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
