// Why a request waits, and what one would meet that is only asked about. Looking changes nothing.
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern_crowd.h"

struct needs {
	struct need_view of[8];
	char names[8][64];
	size_t n;
};

static void note_need(void *ctx, const struct need_view *need)
{
	struct needs *needs = ctx;

	assert_true(needs->n < 8);
	snprintf(needs->names[needs->n], sizeof(needs->names[0]), "%s %s", need->bucket.policy,
		 need->bucket.key);
	needs->of[needs->n++] = *need;
}

static const struct need_view *need_named(const struct needs *needs, const char *name)
{
	for (size_t i = 0; i < needs->n; i++)
		if (!strcmp(needs->names[i], name))
			return &needs->of[i];
	fail_msg("no need %s among %zu", name, needs->n);
	return NULL;
}

static struct explanation explain(struct world *w, uint64_t id, uint64_t now_ns,
				  struct needs *needs)
{
	struct explanation explanation;

	*needs = (struct needs){0};
	assert_int_equal(governor_explain(w->g, id, now_ns, note_need, needs, &explanation), 0);
	return explanation;
}

static struct explanation check(struct world *w, struct ask ask, uint64_t now_ns,
				struct needs *needs)
{
	struct explanation explanation;

	*needs = (struct needs){0};
	assert_int_equal(governor_check(w->g, &ask, now_ns, note_need, needs, &explanation), 0);
	return explanation;
}

static void says_which_limit_keeps_a_request_and_until_when(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct needs needs;

	world_limit(w, "tokens", RESOURCE_TOKENS, 60, NULL);
	world_limit(w, "requests", RESOURCE_REQUESTS, 60, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "m", 60, 0);
	submit_model(w, 2, "m", 20, S);
	submit_model(w, 3, "m", 30, S);
	struct explanation explanation = explain(w, 2, 5 * S, &needs);
	assert_int_equal(explanation.verdict, VERDICT_QUEUED);
	assert_true(explanation.waiting_ns == 4 * S && explanation.eta_ns == 15 * S);
	assert_int_equal(needs.n, 2);
	const struct need_view *need = need_named(&needs, "tokens ");
	assert_int_equal(need->state, NEED_SHORT);
	assert_near(need->amount, 20);
	assert_near(need->bucket.level, 5);
	assert_true(need->ready_ns == 15 * S);
	assert_int_equal(need->bucket.queued, 2);
	assert_int_equal(need_named(&needs, "requests ")->state, NEED_ADMITS);
	// The one behind it: the tokens would not suffice, and requests are another's turn.
	explanation = explain(w, 3, 5 * S, &needs);
	assert_true(explanation.eta_ns == 45 * S);
	assert_int_equal(need_named(&needs, "tokens ")->state, NEED_SHORT);
	assert_int_equal(governor_explain(w->g, 1, 0, note_need, &needs, &explanation), -ENOENT);
	assert_int_equal(governor_explain(w->g, 9, 0, note_need, &needs, &explanation), -ENOENT);
	world_free(w);
}

static void says_that_others_come_first(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct needs needs;

	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "m", 30, 0);
	submit_model(w, 2, "m", 60, 0);
	submit_model(w, 3, "m", 1, 0); // would fit
	explain(w, 3, S, &needs);
	assert_int_equal(needs.of[0].state, NEED_CLAIMED);
	struct explanation explanation = check(w, ASK(w, 4, 1), S, &needs);
	assert_int_equal(needs.of[0].state, NEED_CLAIMED);
	assert_int_equal(explanation.verdict, VERDICT_QUEUED);
	assert_true(explanation.eta_ns == 31 * S); // 2 leaves at 30 s, 3 and this after it
	world_free(w);
}

static void says_that_a_429_has_shut_it(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct outcome outcome = {.requests = {-1, -1, -1},
				  .tokens = {-1, -1, -1},
				  .images = {-1, -1, -1},
				  .shut_ns = 20 * S};
	struct needs needs;

	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "m", 1, 0);
	governor_learn(w->g, 1, &outcome, 0);
	submit_model(w, 2, "m", 1, 0);
	explain(w, 2, 5 * S, &needs);
	assert_int_equal(needs.of[0].state, NEED_SHUT);
	assert_true(needs.of[0].ready_ns == 15 * S);
	assert_true(needs.of[0].bucket.shut_ns == 15 * S);
	world_free(w);
}

static void asks_what_a_request_would_meet(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct team *t = world_team(w, "t", 1), *out = world_team(w, "out", 1);
	size_t user = world_label(w, "http.header.x-user");
	struct limit *by_user = world_limit(w, "by-user", RESOURCE_REQUESTS, 60, NULL);
	struct explanation explanation;
	struct needs needs;

	t->rpm = (struct rate){RATE_PER_MINUTE, 60};
	out->deny = true;
	world_key(by_user, user);
	by_user->passes_without_key = true;
	world_limit(w, "queue", RESOURCE_TOKENS, 60, "m");
	world_limit(w, "strict", RESOURCE_REQUESTS, 60, "strict")->over_limit = OVER_LIMIT_DENY;
	world_limit(w, "zero", RESOURCE_REQUESTS, 0, "zero");
	world_begin(w, 0);
	// It could leave.
	explanation =
		check(w, of_team(ASK(w, 1, 10, {LABEL_MODEL, "m"}, {user, "u"}), t), 0, &needs);
	assert_int_equal(explanation.verdict, VERDICT_ADMITTED);
	assert_int_equal(needs.n, 3);
	assert_int_equal(need_named(&needs, "queue ")->state, NEED_ADMITS);
	assert_int_equal(need_named(&needs, "by-user u")->state, NEED_ADMITS);
	assert_true(need_named(&needs, "team t ")->is_team);
	// It lacks the label of a key.
	explanation = check(w, ASK(w, 1, 10, {LABEL_MODEL, "m"}), 0, &needs);
	assert_int_equal(explanation.verdict, VERDICT_ADMITTED);
	assert_int_equal(need_named(&needs, "by-user ")->state, NEED_NO_KEY);
	// It would be denied: by a limit that does, that forbids, or by its team.
	for (uint64_t id = 10; id < 70; id++)
		submit_model(w, id, "strict", 1, 0);
	explanation = check(w, ASK(w, 1, 10, {LABEL_MODEL, "strict"}, {user, "u"}), 0, &needs);
	assert_int_equal(explanation.verdict, VERDICT_DENIED);
	assert_string_equal(explanation.denied_by, "strict");
	assert_int_equal(need_named(&needs, "strict ")->state, NEED_DENIES);
	explanation = check(w, ASK(w, 1, 10, {LABEL_MODEL, "zero"}, {user, "u"}), 0, &needs);
	assert_string_equal(explanation.denied_by, "zero");
	assert_int_equal(need_named(&needs, "zero ")->state, NEED_FORBIDS);
	explanation = check(w, of_team(ASK(w, 1, 10, {LABEL_MODEL, "m"}), out), 0, &needs);
	assert_int_equal(explanation.verdict, VERDICT_DENIED);
	assert_string_equal(explanation.denied_by, "out");
	// Nothing of a resource may pass for its team.
	t->rpm.value = 0;
	check(w, of_team(ASK(w, 1, 10, {LABEL_MODEL, "m"}, {user, "u"}), t), 0, &needs);
	assert_int_equal(need_named(&needs, "t ")->state, NEED_FORBIDS);
	t->rpm = (struct rate){RATE_PERCENT, 0};
	check(w, of_team(ASK(w, 1, 10, {LABEL_MODEL, "m"}, {user, "u"}), t), 0, &needs);
	assert_int_equal(need_named(&needs, "t ")->state, NEED_FORBIDS);
	world_free(w);
}

// What would deny it is told together with the rest of what it would meet.
static void a_denied_request_is_told_of_all_its_limits(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct needs needs;

	world_limit(w, "zero", RESOURCE_REQUESTS, 0, NULL);
	world_limit(w, "queue", RESOURCE_TOKENS, 60, NULL);
	world_begin(w, 0);
	struct explanation explanation = check(w, ASK(w, 1, 10), 0, &needs);
	assert_string_equal(explanation.denied_by, "zero");
	assert_int_equal(needs.n, 2);
	assert_int_equal(need_named(&needs, "queue ")->state, NEED_ADMITS);
	world_free(w);
}

static void a_check_names_the_same_limit_as_the_denial(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct needs needs;

	world_limit(w, "first", RESOURCE_REQUESTS, 0, NULL);
	world_limit(w, "second", RESOURCE_TOKENS, 0, NULL);
	world_begin(w, 0);
	assert_string_equal(check(w, ASK(w, 1, 10), 0, &needs).denied_by, "first");
	submit(w, ASK(w, 1, 10), 0);
	assert_string_equal(w->last.policy, "first");
	world_free(w);
}

static void a_check_says_how_long_one_would_wait(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct needs needs;

	world_workload(&w->schedulers[0], "paid", world_equals(w, LABEL_MODEL, "paid"), 10);
	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	world_begin(w, 0);
	submit_model(w, 1, "m", 60, 0);
	submit_model(w, 2, "m", 20, 0);
	assert_true(check(w, ASK(w, 3, 10, {LABEL_MODEL, "m"}), 0, &needs).eta_ns == 30 * S);
	assert_true(check(w, ASK(w, 3, 10, {LABEL_MODEL, "paid"}), 0, &needs).eta_ns == 10 * S);
	// A time-out comes before its turn.
	w->policy.max_wait_ns = 25 * S;
	assert_true(check(w, ASK(w, 3, 10, {LABEL_MODEL, "m"}), 0, &needs).eta_ns == UINT64_MAX);
	world_free(w);
}

// --- Looking changes nothing.

// The same random traffic twice, once with curious people at every step.
static uint64_t history(uint64_t seed, bool is_watched)
{
	uint64_t hash = seed, id = 1, now_ns = 0, other = seed;
	size_t user;
	struct world *w = crowded_world(&seed, &user);
	struct expected expected;
	struct needs needs;
	struct decision d;

	empty_both(w);
	for (int i = 0; i < 300; i++) {
		if (is_watched) {
			size_t of = (size_t)random_below(&other, 2);

			expected = (struct expected){.now_ns = now_ns};
			governor_each_waiting(w->g, now_ns, note_expected, &expected);
			check(w,
			      of_team(ASK(w, 5000, (double)random_below(&other, 900),
					  {LABEL_MODEL, of ? "one" : "two"}, {user, "w"}),
				      &w->teams[of]),
			      now_ns, &needs);
			if (expected.n)
				explain(w, expected.of[expected.n / 2].id, now_ns, &needs);
		}
		if (governor_waiting(w->g) < CROWD - 20 && random_below(&seed, 2)) {
			submit_somebody(w, &seed, user, id, now_ns);
			hash = hash_mix(hash, w->last.verdict);
			id++;
			continue;
		}
		now_ns += random_below(&seed, S / 2);
		while (governor_run(w->g, now_ns, &d, 1)) {
			hash = hash_mix(hash_mix(hash, d.id), now_ns);
			governor_settle(w->g, d.id, NULL, now_ns);
		}
	}
	world_free(w);
	return hash;
}

static void looking_changes_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++)
		if (history(seed, true) != history(seed, false))
			fail_msg("seed %u: decisions differ where somebody looked",
				 (unsigned int)seed);
}

static void count_bucket(void *ctx, const struct bucket_view *view)
{
	(void)view;
	++*(size_t *)ctx;
}

static void a_check_draws_nothing_counts_nothing_and_wakes_nobody(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct needs needs;
	size_t n = 0;

	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	world_begin(w, 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(check(w, ASK(w, 1, 60), 0, &needs).verdict, VERDICT_ADMITTED);
	assert_int_equal(governor_next_ns(w->g, 0), UINT64_MAX);
	assert_int_equal(governor_waiting(w->g), 0);
	assert_int_equal(submit_model(w, 1, "m", 60, 0), VERDICT_ADMITTED);
	check(w, ASK(w, 2, 60), 0, &needs);
	assert_int_equal(governor_waiting(w->g), 0);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, S), 1);
	assert_int_equal(governor_next_ns(w->g, 0), UINT64_MAX);
	governor_each_bucket(w->g, 0, count_bucket, &n);
	assert_int_equal(n, 1);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_which_limit_keeps_a_request_and_until_when),
		cmocka_unit_test(says_that_others_come_first),
		cmocka_unit_test(says_that_a_429_has_shut_it),
		cmocka_unit_test(asks_what_a_request_would_meet),
		cmocka_unit_test(a_denied_request_is_told_of_all_its_limits),
		cmocka_unit_test(a_check_names_the_same_limit_as_the_denial),
		cmocka_unit_test(a_check_says_how_long_one_would_wait),
		cmocka_unit_test(looking_changes_nothing),
		cmocka_unit_test(a_check_draws_nothing_counts_nothing_and_wakes_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
