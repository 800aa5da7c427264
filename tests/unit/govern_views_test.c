// What people see: who waits, in which order and until when, and what limits have let through. What
// a view says must come true. Why a request waits is in govern_explain_test.c.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern_crowd.h"

static void collect_line(void *ctx, const struct waiting_view *view)
{
	char *text = ctx;
	size_t n = strlen(text);

	snprintf(text + n, 300 - n, "%u %s x%g %g+%g;", (unsigned int)view->id, view->workload,
		 view->priority, (double)view->waiting_ns / S, (double)view->eta_ns / S);
}

static void shows_who_waits_and_until_when(void **state)
{
	(void)state;
	struct world *w = world_new();
	char text[300] = "";

	w->policy.max_wait_ns = 60 * S;
	world_workload(&w->schedulers[0], "paid", world_equals(w, LABEL_MODEL, "paid"), 10);
	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "m", 60, 0);
	submit_model(w, 2, "m", 20, 0);
	submit_model(w, 3, "m", 50, S);
	submit_model(w, 4, "paid", 5, S);
	governor_each_waiting(w->g, 2 * S, collect_line, text);
	// 3 times out before its turn.
	assert_string_equal(text, "4 paid x10 1+3;2 default x1 2+23;3 default x1 1+1.84467e+10;");
	world_free(w);
}

static void one_that_is_let_go_in_the_end_is_expected_then(void **state)
{
	(void)state;
	struct world *w = world_new();
	char text[300] = "";

	w->policy.max_wait_ns = 5 * S;
	w->policy.on_max_wait = MAX_WAIT_ADMIT;
	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "m", 60, 0);
	submit_model(w, 2, "m", 20, S);
	governor_each_waiting(w->g, 2 * S, collect_line, text);
	assert_string_equal(text, "2 default x1 1+4;");
	world_free(w);
}

static void one_that_a_429_shuts_out_for_ever_has_no_time(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct outcome outcome = {.requests = {-1, -1, -1},
				  .tokens = {-1, -1, -1},
				  .images = {-1, -1, -1},
				  .shut_ns = UINT64_MAX};
	char text[300] = "";

	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "m", 1, 0);
	governor_learn(w->g, 1, &outcome, 0);
	submit_model(w, 2, "m", 20, 0);
	governor_each_waiting(w->g, 0, collect_line, text);
	assert_string_equal(text, "2 default x1 0+1.84467e+10;");
	world_free(w);
}

// --- What is expected comes true, to the microsecond, where lanes share all limiters or none.

static size_t place_of(const struct expected *expected, uint64_t id)
{
	for (size_t i = 0; i < expected->n; i++)
		if (expected->of[i].id == id)
			return i;
	fail_msg("request %u was not expected", (unsigned int)id);
	return 0;
}

// Whether it all comes as the view says: when (but for the rounding of a ns), and in which order at
// each limit.
static void assert_comes_true(struct world *w, uint64_t now_ns, int try)
{
	struct expected expected = {.now_ns = now_ns};
	size_t last[2] = {0};

	governor_each_waiting(w->g, now_ns, note_expected, &expected);
	assert_int_equal(expected.n, governor_waiting(w->g));
	for (size_t i = 0; i < expected.n; i++) {
		struct decision d = next_decision(w, &now_ns);
		size_t place = place_of(&expected, d.id);

		assert_int_equal(d.verdict, VERDICT_ADMITTED);
		if (now_ns - expected.of[place].at_ns + 1000 > 2000)
			fail_msg("try %d: request %u left at %.9f s, not at %.9f s", try,
				 (unsigned int)d.id, (double)now_ns / S,
				 (double)expected.of[place].at_ns / S);
		if (place < last[limit_of[d.id]])
			fail_msg("try %d: request %u left at %.9f s, but later than expected", try,
				 (unsigned int)d.id, (double)now_ns / S);
		last[limit_of[d.id]] = place;
	}
}

static void what_is_expected_comes_true(void **state)
{
	(void)state;
	for (int try = 0; try < 100; try++) {
		uint64_t seed = (uint64_t)try + 1, id = 1, now_ns = 0;
		size_t user;
		struct world *w = crowded_world(&seed, &user);

		empty_both(w);
		for (; id <= CROWD / 2; id++)
			submit_somebody(w, &seed, user, id, 0);
		for (int i = 0; i < CROWD / 4; i++) { // in the midst of it
			next_decision(w, &now_ns);
			submit_somebody(w, &seed, user, id++, now_ns);
		}
		assert_comes_true(w, now_ns, try);
		world_free(w);
	}
}

// --- Buckets and counters.

static void collect_names(void *ctx, const struct bucket_view *view)
{
	char *text = ctx;
	size_t n = strlen(text);

	snprintf(text + n, 300 - n, "%s/%s/%d;", view->policy, view->key, (int)view->resource);
}

static void buckets_come_in_a_stable_order(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct team *t = world_team(w, "t", 1);
	char text[300] = "";

	t->rpm = (struct rate){RATE_PER_MINUTE, 60};
	t->tpm = (struct rate){RATE_PERCENT, 50};
	world_key(world_limit(w, "b", RESOURCE_TOKENS, 60, NULL), LABEL_MODEL);
	world_limit(w, "a", RESOURCE_REQUESTS, 60, NULL);
	world_begin(w, 0);
	submit(w, of_team(ASK(w, 1, 1, {LABEL_MODEL, "y"}), t), 0);
	submit(w, of_team(ASK(w, 2, 1, {LABEL_MODEL, "x"}), t), 0);
	governor_each_bucket(w->g, 0, collect_names, text);
	assert_string_equal(text, "a//0;b/x/1;b/y/1;team t//0;team t/b,x/1;team t/b,y/1;");
	world_free(w);
}

static void note_limit(void *ctx, const struct limit_view *view)
{
	struct limit_view *of = ctx;

	of[view->limit->line - 1] = *view;
}

static void limits_count_what_they_were_offered_and_let_through(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct limit_view of[2];
	uint64_t now_ns = 0;

	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	world_limit(w, "strict", RESOURCE_REQUESTS, 1, "strict")->over_limit = OVER_LIMIT_DENY;
	world_begin(w, 0);
	submit_model(w, 1, "m", 60, 0);
	submit_model(w, 2, "m", 30, 0);
	submit_model(w, 3, "strict", 5, 0);
	submit_model(w, 4, "strict", 5, 0);
	assert_next(w, &now_ns, 2, VERDICT_ADMITTED, 30 * S);
	assert_next(w, &now_ns, 3, VERDICT_ADMITTED, 35 * S);
	assert_next(w, &now_ns, 4, VERDICT_DENIED, 40 * S);
	governor_each_limit(w->g, 40 * S, note_limit, of);
	assert_int_equal(of[0].n_accepted, 3);
	assert_near(of[0].accepted, 95);
	assert_true(of[0].saturated_ns == 40 * S);
	assert_near(of[0].saturated_filled, 40);
	assert_near(of[0].saturated_accepted, 35);
	assert_int_equal(of[1].n_accepted, 1);
	assert_int_equal(of[1].n_denied, 1);
	assert_int_equal(of[1].n_offered, 2);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_who_waits_and_until_when),
		cmocka_unit_test(one_that_is_let_go_in_the_end_is_expected_then),
		cmocka_unit_test(one_that_a_429_shuts_out_for_ever_has_no_time),
		cmocka_unit_test(what_is_expected_comes_true),
		cmocka_unit_test(buckets_come_in_a_stable_order),
		cmocka_unit_test(limits_count_what_they_were_offered_and_let_through),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
