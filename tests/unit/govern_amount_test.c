// How much a request takes of each limit, and as what it contends: labels, workloads, estimates and
// Aperture's blueprints. Which buckets it takes from is in govern_demand_test.c.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern_world.h"

static void nothing_asked_is_nothing_taken(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_limit(w, "l", RESOURCE_IMAGES, 5, NULL);
	world_limit(w, "cost", RESOURCE_COST, 5, NULL);
	world_begin(w, 0);
	struct ask ask = ASK(w, 1, 1);
	ask.amounts[RESOURCE_IMAGES] = 5;
	ask.amounts[RESOURCE_COST] = 5;
	assert_int_equal(submit(w, ask, 0), VERDICT_ADMITTED);
	assert_int_equal(submit(w, ASK(w, 2, 1), 0), VERDICT_ADMITTED); // exhausted, but not needed
	ask.id = 3;
	assert_int_equal(submit(w, ask, 0), VERDICT_QUEUED);
	world_free(w);
}

static void a_workload_s_tokens_stand_in_for_an_unknown_amount(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct workload *bulk = world_workload(&w->schedulers[0], "bulk", NULL, 1);

	bulk->tokens = 40;
	world_limit(w, "l", RESOURCE_TOKENS, 100, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "m", 0, 0);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, 0), 60);
	submit_model(w, 2, "m", 10, 0); // known: that counts
	assert_near(level(w, "l", "", RESOURCE_TOKENS, 0), 50);
	world_free(w);
}

// `tokens: 40` is neither 40 pictures nor 40 dollars nor 40 requests.
static void a_workload_s_tokens_are_tokens(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_workload(&w->schedulers[0], "bulk", NULL, 1)->tokens = 40;
	world_limit(w, "l", RESOURCE_REQUESTS, 10, NULL);
	world_limit(w, "l", RESOURCE_IMAGES, 10, NULL);
	world_limit(w, "l", RESOURCE_COST, 10, NULL);
	world_begin(w, 0);
	for (uint64_t id = 1; id <= 10; id++)
		assert_int_equal(submit_model(w, id, "m", 1, 0), VERDICT_ADMITTED);
	world_free(w);
}

static void a_label_may_say_the_tokens(void **state)
{
	(void)state;
	struct world *w = world_new();
	size_t tokens = world_label(w, "http.header.x-tokens");
	struct scheduler *own = world_scheduler(w);
	struct limit *l = world_limit(w, "l", RESOURCE_TOKENS, 1000, NULL);

	own->tokens_label = tokens;
	own->others.tokens = 7;
	l->scheduler = own;
	world_limit(w, "r", RESOURCE_REQUESTS, 10, NULL)->scheduler = own;
	world_begin(w, 0);
	submit(w, ASK(w, 1, 100, {tokens, "250"}), 0);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, 0), 750);
	assert_near(level(w, "r", "", RESOURCE_REQUESTS, 0), 9); // a request is one
	// What is no amount: the estimate, and what the workload says only without one.
	submit(w, ASK(w, 2, 100, {tokens, "many"}), 0);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, 0), 650);
	submit(w, ASK(w, 3, 100, {tokens, "-5"}), 0);
	submit(w, ASK(w, 4, 100, {tokens, "inf"}), 0);
	submit(w, ASK(w, 5, 100), 0);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, 0), 350);
	submit(w, ASK(w, 6, 0, {tokens, ""}), 0);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, 0), 343);
	world_free(w);
}

static void what_a_label_said_is_not_amended(void **state)
{
	(void)state;
	struct world *w = world_new();
	size_t tokens = world_label(w, "http.header.x-tokens");

	w->schedulers[0].tokens_label = tokens;
	world_limit(w, "l", RESOURCE_TOKENS, 1000, NULL);
	world_limit(w, "in", RESOURCE_INPUT_TOKENS, 1000, NULL);
	world_begin(w, 0);
	submit(w, ASK(w, 1, 100, {tokens, "250"}), 0);
	governor_amend(w->g, 1, ASK(w, 1, 300).amounts, 0);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, 0), 750);
	assert_near(level(w, "in", "", RESOURCE_INPUT_TOKENS, 0), 700);
	world_free(w);
}

// --- Aperture's files: a request is one token, or as many as its label or workload says.

static struct limit *blueprint(struct world *w, struct scheduler *s)
{
	struct limit *l = world_limit(
		w, "b", s->tokens_label == NO_LABEL ? RESOURCE_REQUESTS : RESOURCE_TOKENS, 100,
		NULL);

	l->is_blueprint = true;
	l->scheduler = s;
	l->mirrors = false;
	return l;
}

static void a_blueprint_counts_requests_unless_it_says_tokens(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct scheduler *s = world_scheduler(w);

	world_workload(s, "heavy", world_equals(w, LABEL_MODEL, "heavy"), 1)->tokens = 30;
	blueprint(w, s);
	world_begin(w, 0);
	submit_model(w, 1, "light", 5000, 0);
	assert_near(level(w, "b", "", RESOURCE_REQUESTS, 0), 99);
	submit_model(w, 2, "heavy", 5000, 0);
	assert_near(level(w, "b", "", RESOURCE_REQUESTS, 0), 69);
	assert_string_equal(w->last.workload, "heavy");
	world_free(w);
}

static void a_blueprint_may_count_the_estimate(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct scheduler *s = world_scheduler(w);

	s->tokens_label = LABEL_ESTIMATED_TOKENS;
	blueprint(w, s);
	world_begin(w, 0);
	submit(w, ASK(w, 1, 20, {LABEL_ESTIMATED_TOKENS, "20"}), 0);
	assert_near(level(w, "b", "", RESOURCE_TOKENS, 0), 80);
	// Without a word on it (a trace may lack it): what the governor was told.
	submit(w, ASK(w, 2, 30), 0);
	assert_near(level(w, "b", "", RESOURCE_TOKENS, 0), 50);
	submit(w, ASK(w, 3, 0), 0);
	assert_near(level(w, "b", "", RESOURCE_TOKENS, 0), 49);
	governor_amend(w->g, 1, ASK(w, 1, 25).amounts, 0); // an estimate may be bettered
	assert_near(level(w, "b", "", RESOURCE_TOKENS, 0), 44);
	world_free(w);
}

// --- Classes.

static void priority_of(void *ctx, const struct need_view *need)
{
	*(struct need_view *)ctx = *need;
}

static struct need_view need_of(struct world *w, struct ask ask)
{
	struct need_view need = {0};
	struct explanation ignored;

	assert_int_equal(governor_check(w->g, &ask, 0, priority_of, &need, &ignored), 0);
	return need;
}

static void the_first_workload_that_matches_decides(void **state)
{
	(void)state;
	struct world *w = world_new();
	size_t reason = world_label(w, "http.header.x-reason");
	struct scheduler *s = &w->schedulers[0];

	world_workload(s, "paid", world_equals(w, reason, "paid"), 8)->tier = 0;
	world_workload(s, "any-reason", world_glob(w, reason, "?*"), 4)->tier = 3;
	world_limit(w, "l", RESOURCE_REQUESTS, 60, NULL);
	world_begin(w, 0);
	struct need_view need = need_of(w, ASK(w, 1, 1, {reason, "paid"}));
	assert_string_equal(need.workload, "paid");
	assert_near(need.priority, 8);
	assert_int_equal(need.tier, 0);
	need = need_of(w, ASK(w, 1, 1, {reason, "trial"}));
	assert_string_equal(need.workload, "any-reason");
	assert_near(need.priority, 4);
	assert_int_equal(need.tier, 3);
	need = need_of(w, ASK(w, 1, 1));
	assert_string_equal(need.workload, "default");
	assert_near(need.priority, 1);
	world_free(w);
}

static void a_priority_label_goes_before_the_workload_s(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		double priority;
	} cases[] = {{"250", 250},   {"0.5", 0.5},   {"0", 8},   {"-3", 8},
		     {"high", 8},    {"", 8},        {"nan", 8}, {"inf", 8},
		     {"1e300", 1e6}, {"1e-9", 1e-3}, {"12 ", 8}};
	struct world *w = world_new();

	world_workload(&w->schedulers[0], "w", NULL, 8);
	world_limit(w, "l", RESOURCE_REQUESTS, 60, NULL);
	world_begin(w, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		double got = need_of(w, ASK(w, 1, 1, {LABEL_PRIORITY, cases[i].text})).priority;

		if (fabs(got - cases[i].priority) > 1e-9)
			fail_msg("priority '%s' counts %g", cases[i].text, got);
	}
	world_free(w);
}

static void a_team_multiplies_priorities_and_gives_the_tier(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct team *t = world_team(w, "t", 1);
	struct workload *first = world_workload(&w->schedulers[0], "first",
						world_equals(w, LABEL_MODEL, "first"), 3);

	first->tier = 0;
	t->priority = 5;
	t->tier = 2;
	world_limit(w, "l", RESOURCE_REQUESTS, 60, NULL);
	world_begin(w, 0);
	struct need_view need = need_of(w, of_team(ASK(w, 1, 1, {LABEL_MODEL, "m"}), t));
	assert_near(need.priority, 5);
	assert_int_equal(need.tier, 2);
	need = need_of(w, of_team(ASK(w, 1, 1, {LABEL_MODEL, "first"}), t));
	assert_near(need.priority, 15);
	assert_int_equal(need.tier, 0);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_asked_is_nothing_taken),
		cmocka_unit_test(a_workload_s_tokens_stand_in_for_an_unknown_amount),
		cmocka_unit_test(a_workload_s_tokens_are_tokens),
		cmocka_unit_test(a_label_may_say_the_tokens),
		cmocka_unit_test(what_a_label_said_is_not_amended),
		cmocka_unit_test(a_blueprint_counts_requests_unless_it_says_tokens),
		cmocka_unit_test(a_blueprint_may_count_the_estimate),
		cmocka_unit_test(the_first_workload_that_matches_decides),
		cmocka_unit_test(a_priority_label_goes_before_the_workload_s),
		cmocka_unit_test(a_team_multiplies_priorities_and_gives_the_tier),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
