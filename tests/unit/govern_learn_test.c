// What the provider's headers teach, and what they must not.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern/hashtab.h"
#include "govern_world.h"

#define NOT_TOLD                                                                                   \
	{                                                                                          \
		-1, -1, -1                                                                         \
	}

static void learn_reset(struct world *w, uint64_t id, double limit, double remaining,
			double reset_s, uint64_t now_ns)
{
	struct outcome outcome = {
		.requests = NOT_TOLD, .tokens = {limit, remaining, reset_s}, .images = NOT_TOLD};

	governor_learn(w->g, id, &outcome, now_ns);
}

// As a minute's limit tells it.
static void learn(struct world *w, uint64_t id, double limit, double remaining, uint64_t now_ns)
{
	learn_reset(w, id, limit, remaining, (limit - remaining) / (limit / 60), now_ns);
}

static void learn_requests(struct world *w, uint64_t id, double limit, double remaining,
			   double reset_s, uint64_t now_ns)
{
	struct outcome outcome = {
		.requests = {limit, remaining, reset_s}, .tokens = NOT_TOLD, .images = NOT_TOLD};

	governor_learn(w->g, id, &outcome, now_ns);
}

static double tokens_left(struct world *w, uint64_t now_ns)
{
	return round(level(w, "l", "", RESOURCE_TOKENS, now_ns));
}

// A limit of 6000 tokens a minute, for requests of one model.
static struct world *one_limit(char *model)
{
	struct world *w = world_new();

	w->policy.headroom_ns = 250 * MS;
	world_limit(w, "l", RESOURCE_TOKENS, 6000, model);
	world_begin(w, 0);
	return w;
}

static void what_others_used_is_taken_off_once(void **state)
{
	(void)state;
	struct world *w = one_limit("m");

	submit_model(w, 1, "m", 1000, 0);
	submit_model(w, 2, "m", 1000, S);
	learn(w, 1, 6000, 3000, S); // not the 5000 that we thought; filled since, and drawn
	assert_near(tokens_left(w, S), 3000 + 100 - 1000);
	learn(w, 1, 6000, 3000, S);
	assert_near(tokens_left(w, S), 2100);
	learn(w, 2, 6000, 2100, S);
	assert_near(tokens_left(w, S), 2100);
	world_free(w);
}

// Our costs were too high: what was taken too much comes back, once nothing of what is on its way
// can be in the number.
static void what_was_taken_too_dear_comes_back_as_far_as_is_certain(void **state)
{
	(void)state;
	struct world *w = one_limit("m");

	submit_model(w, 1, "m", 3000, 0);
	assert_near(tokens_left(w, 0), 3000);
	learn(w, 1, 6000, 5000, S / 2);                // only 1000 were charged
	assert_near(tokens_left(w, S / 2), 5000 + 25); // filled since it surely was there
	// Not certain: a second request may have been charged before that number was told.
	submit_model(w, 2, "m", 2000, S / 2);
	learn(w, 1, 6000, 5000, S / 2 + S / 10);
	assert_true(tokens_left(w, S / 2 + S / 10) <= 3025 + 10);
	world_free(w);
}

static void what_is_on_its_way_is_not_given_back(void **state)
{
	(void)state;
	struct world *w = one_limit("m");

	submit_model(w, 1, "m", 1000, 0);
	submit_model(w, 2, "m", 1000, S / 10);
	learn(w, 2, 6000, 5000, S / 5); // 1 is not there yet
	assert_near(tokens_left(w, S / 5), 4000);
	world_free(w);
}

// A request that never left is in none of the provider's numbers; its refund makes no other one
// certain.
static void another_s_refund_is_not_given_back_twice(void **state)
{
	(void)state;
	struct world *w = one_limit("m");

	submit_model(w, 2, "m", 2000, 0);
	submit_model(w, 1, "m", 3000, S);
	submit_model(w, 3, "m", 900, S + S / 10);
	governor_refund(w->g, 2, S + S / 5);
	learn(w, 1, 6000, 3000, S + S / 5); // the 900 are on their way
	assert_in_range(tokens_left(w, S + S / 5), 2000, 2100 + 20);
	world_free(w);
}

static void another_s_refund_does_not_hide_what_others_used(void **state)
{
	(void)state;
	struct world *w = one_limit("m");

	submit_model(w, 1, "m", 1000, 0);
	submit_model(w, 2, "m", 2000, S / 10);
	governor_refund(w->g, 2, S);
	learn(w, 1, 6000, 500, S); // somebody else used 4500
	assert_near(tokens_left(w, S), 500 + 100);
	world_free(w);
}

// A limit over several models, or one that the provider's differs from, is not the provider's.
static void only_the_provider_s_own_limit_is_raised_by_it(void **state)
{
	(void)state;
	struct world *all = one_limit(NULL), *other = one_limit("m");

	submit_model(all, 1, "m", 3000, 0);
	learn(all, 1, 6000, 5999, S);
	assert_near(tokens_left(all, S), 3075);
	submit_model(other, 1, "m", 3000, 0);
	learn(other, 1, 9000, 8999, S);
	assert_near(tokens_left(other, S), 3075);
	world_free(all);
	world_free(other);
}

// They left together, and the second was counted first: its cost is in what remains already.
static void requests_that_overtake_each_other_are_not_counted_twice(void **state)
{
	(void)state;
	struct world *w = one_limit("m");

	submit_model(w, 1, "m", 1000, 0);
	submit_model(w, 2, "m", 1000, S / 10);
	learn(w, 1, 6000, 4000, S / 5);
	assert_near(tokens_left(w, S / 5), 4000);
	learn(w, 1, 6000, 4000, 2 * S);                 // the same, told late
	assert_near(tokens_left(w, 2 * S), 4000 + 175); // filled since headroom after the draws
	world_free(w);
}

static void a_user_s_limit_does_not_learn_what_all_use(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_key(world_limit(w, "l", RESOURCE_TOKENS, 6000, "m"), LABEL_USER);
	world_begin(w, 0);
	submit(w, ASK(w, 1, 1000, {LABEL_MODEL, "m"}, {LABEL_USER, ""}), 0);
	learn(w, 1, 6000, 0, 0);
	assert_near(tokens_left(w, 0), 5000);
	world_free(w);
}

// A limit over all models is not empty because one model's limit there is.
static void a_limit_over_many_models_learns_what_one_has_used(void **state)
{
	(void)state;
	struct world *w = one_limit(NULL);

	submit_model(w, 1, "m", 1000, 0);
	learn(w, 1, 2000, 500, 0); // 1500 are used
	assert_near(tokens_left(w, 0), 4500);
	world_free(w);
}

// "x-ratelimit-limit-requests" may be of a day: 10000 with 8.64 s for each.
static void a_day_s_number_is_not_taken_for_a_minute_s(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct limit *day;

	world_limit(w, "l", RESOURCE_REQUESTS, 500, "m");
	day = world_limit(w, "l", RESOURCE_REQUESTS, 10000, "m");
	day->name = "day";
	day->interval_ns = DAY;
	world_begin(w, 0);
	submit_model(w, 1, "m", 1, 0);
	learn_requests(w, 1, 10000, 40, 9960 * 8.64, 0);
	assert_near(level(w, "l", "", RESOURCE_REQUESTS, 0), 499);
	assert_near(level(w, "day", "", RESOURCE_REQUESTS, 0), 40);
	submit_model(w, 2, "m", 1, 0);
	learn_requests(w, 2, 500, 30, 470 * 0.12, 0);
	assert_near(level(w, "l", "", RESOURCE_REQUESTS, 0), 30);
	assert_near(level(w, "day", "", RESOURCE_REQUESTS, 0), 39);
	// Without a reset it is a minute's.
	learn_requests(w, 2, 500, 10, -1, 0);
	assert_near(level(w, "l", "", RESOURCE_REQUESTS, 0), 10);
	assert_near(level(w, "day", "", RESOURCE_REQUESTS, 0), 39);
	world_free(w);
}

static struct world *auto_limit(void)
{
	struct world *w = world_new();
	enum resource resources[] = {RESOURCE_REQUESTS, RESOURCE_TOKENS};

	for (int i = 0; i < 2; i++) {
		struct limit *l = world_limit(w, "l", resources[i], INFINITY, NULL);

		l->is_auto = true;
		world_key(l, LABEL_ORGANIZATION);
		world_key(l, LABEL_MODEL);
	}
	world_begin(w, 0);
	return w;
}

static void an_auto_limit_lets_all_pass_until_it_knows(void **state)
{
	(void)state;
	struct world *w = auto_limit();
	uint64_t now_ns = 0;
	struct bucket_view view;

	for (uint64_t id = 1; id <= 100; id++)
		assert_int_equal(submit_model(w, id, "m", 1e6, 0), VERDICT_ADMITTED);
	assert_false(bucket_of(w, "l", ",m", RESOURCE_TOKENS, 0).is_learnt);
	learn(w, 100, 30000, 600, 0);
	view = bucket_of(w, "l", ",m", RESOURCE_TOKENS, 0);
	assert_true(view.is_learnt);
	assert_near(view.capacity, 30000);
	assert_near(view.fill_per_s, 500);
	assert_near(view.level, 600);
	assert_int_equal(submit_model(w, 200, "m", 1600, 0), VERDICT_QUEUED);
	assert_int_equal(submit_model(w, 201, "other", 1e6, 0), VERDICT_ADMITTED);
	assert_next(w, &now_ns, 200, VERDICT_ADMITTED, 2 * S);
	world_free(w);
}

static void an_auto_limit_learns_a_day_s_window(void **state)
{
	(void)state;
	struct world *w = auto_limit();
	struct bucket_view view;

	submit_model(w, 1, "m", 10, 0);
	learn_requests(w, 1, 200, 199, 432, 0); // 200 a day, one in 432 s
	view = bucket_of(w, "l", ",m", RESOURCE_REQUESTS, 0);
	assert_true(view.interval_ns == DAY);
	assert_near(view.capacity, 200);
	assert_near(view.level, 199);
	assert_near(view.fill_per_s, 200 / 86400.0);
	// A later one that does not say which keeps it.
	submit_model(w, 2, "m", 10, 0);
	learn_requests(w, 2, 200, 198, -1, 0);
	assert_true(bucket_of(w, "l", ",m", RESOURCE_REQUESTS, 0).interval_ns == DAY);
	world_free(w);
}

// An account that moves to another usage tier: its limits change from one response to the next.
static void an_auto_limit_follows_what_the_provider_says(void **state)
{
	(void)state;
	struct world *w = auto_limit();

	submit_model(w, 1, "m", 1000, 0);
	learn(w, 1, 30000, 29000, 0);
	submit_model(w, 2, "m", 1000, S);
	learn(w, 2, 450000, 449000, S);
	struct bucket_view view = bucket_of(w, "l", ",m", RESOURCE_TOKENS, S);
	assert_near(view.capacity, 450000);
	assert_near(view.level, 449000); // a gift, but a certain one
	submit_model(w, 3, "m", 1000, 2 * S);
	learn(w, 3, 10000, 5000, 2 * S);
	view = bucket_of(w, "l", ",m", RESOURCE_TOKENS, 2 * S);
	assert_near(view.capacity, 10000);
	assert_near(view.level, 5000);
	world_free(w);
}

static void a_configured_limit_keeps_its_capacity(void **state)
{
	(void)state;
	struct world *w = one_limit("m");

	submit_model(w, 1, "m", 1000, 0);
	learn(w, 1, 450000, 449000, 0);
	struct bucket_view view = bucket_of(w, "l", "", RESOURCE_TOKENS, 0);
	assert_near(view.capacity, 6000);
	assert_false(view.is_learnt);
	world_free(w);
}

// Headers of a proxy or another provider: nonsense must not poison the bucket.
static void nonsense_is_not_learnt(void **state)
{
	(void)state;
	struct world *w = auto_limit();

	submit_model(w, 1, "m", 10, 0);
	learn_reset(w, 1, 0, 0, 0, 0);
	learn_reset(w, 1, -1, 5, 1, 0);
	assert_false(bucket_of(w, "l", ",m", RESOURCE_TOKENS, 0).is_learnt);
	assert_int_equal(submit_model(w, 2, "m", 1e9, 0), VERDICT_ADMITTED);
	world_free(w);
}

static void what_is_learnt_may_let_the_next_go(void **state)
{
	(void)state;
	struct world *w = one_limit("m");
	uint64_t now_ns = 3 * S;

	submit_model(w, 1, "m", 6000, 0);
	assert_int_equal(submit_model(w, 2, "m", 3000, 0), VERDICT_QUEUED);
	learn(w, 1, 6000, 5000, 3 * S);
	assert_next(w, &now_ns, 2, VERDICT_ADMITTED, 3 * S);
	world_free(w);
}

// A provider that answers seconds later, whose headers are as old: learning from them must neither
// let the governor overrun it nor keep it from using the limit in full.
static void late_headers_cost_no_throughput(void **state)
{
	(void)state;
	enum { REQUESTS = 4000, WINDOW = 4096 };
	static double remaining[REQUESTS + WINDOW];
	static uint64_t left_ns[REQUESTS + WINDOW], answered_ns[REQUESTS + WINDOW];
	static double tokens[REQUESTS + WINDOW];
	struct world *w = world_new();
	uint64_t now_ns = 0, seed = 1, submitted = 0, charged = 0;
	struct decision d;
	struct bucket theirs;
	double lowest = 0, sum = 0;

	w->policy.headroom_ns = 250 * MS;
	world_limit(w, "l", RESOURCE_TOKENS, 60000, "m");
	world_begin(w, 0);
	bucket_init(&theirs,
		    &(struct bucket_terms){
			    .capacity = 60000, .fill_amount = 60000, .interval_ns = MINUTE},
		    0, 0);
	submit_model(w, UINT64_MAX, "m", 60000, 0);
	bucket_draw(&theirs, 60000, S / 4);
	for (size_t admitted = 0; admitted < REQUESTS;) {
		while (submitted < admitted + 20) {
			seed = hash_mix(seed, 1);
			tokens[submitted] = 1 + (double)(seed % 3000);
			submit_model(w, submitted, "m", tokens[submitted], now_ns);
			submitted++;
		}
		now_ns = governor_next_ns(w->g, now_ns);
		if (!governor_run(w->g, now_ns, &d, 1))
			continue;
		assert_int_equal(d.id, admitted); // one team: they leave in order
		left_ns[admitted] = now_ns;
		sum += tokens[admitted];
		// They arrive in order, 100 ms later.
		for (; charged <= admitted && left_ns[charged] + S / 10 <= now_ns; charged++) {
			bucket_draw(&theirs, tokens[charged], left_ns[charged] + S / 10);
			lowest = fmin(lowest, theirs.level);
			remaining[charged] = floor(theirs.level);
			answered_ns[charged] =
				left_ns[charged] + 1 * S + (charged * S / 7) % (9 * S);
		}
		for (size_t i = charged > 40 ? charged - 40 : 0; i < charged; i++) {
			if (!answered_ns[i] || answered_ns[i] > now_ns)
				continue;
			learn(w, i, 60000, remaining[i], now_ns);
			governor_settle(w->g, i, NULL, now_ns);
			answered_ns[i] = 0;
		}
		admitted++;
	}
	assert_true(lowest > -1e-3);
	double used = sum / (1000.0 * (double)now_ns / S);
	if (used < 0.99)
		fail_msg("only %f of the limit was used", used);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_others_used_is_taken_off_once),
		cmocka_unit_test(what_was_taken_too_dear_comes_back_as_far_as_is_certain),
		cmocka_unit_test(what_is_on_its_way_is_not_given_back),
		cmocka_unit_test(another_s_refund_is_not_given_back_twice),
		cmocka_unit_test(another_s_refund_does_not_hide_what_others_used),
		cmocka_unit_test(only_the_provider_s_own_limit_is_raised_by_it),
		cmocka_unit_test(requests_that_overtake_each_other_are_not_counted_twice),
		cmocka_unit_test(a_user_s_limit_does_not_learn_what_all_use),
		cmocka_unit_test(a_limit_over_many_models_learns_what_one_has_used),
		cmocka_unit_test(a_day_s_number_is_not_taken_for_a_minute_s),
		cmocka_unit_test(an_auto_limit_lets_all_pass_until_it_knows),
		cmocka_unit_test(an_auto_limit_learns_a_day_s_window),
		cmocka_unit_test(an_auto_limit_follows_what_the_provider_says),
		cmocka_unit_test(a_configured_limit_keeps_its_capacity),
		cmocka_unit_test(nonsense_is_not_learnt),
		cmocka_unit_test(what_is_learnt_may_let_the_next_go),
		cmocka_unit_test(late_headers_cost_no_throughput),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
