// How much each team, workload and user gets when there is not enough for all.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "govern_world.h"
#include "govern_race.h"

enum { ADMISSIONS = 10000 };

static struct race race; // too large for the stack

static struct race *race_new(struct world *w)
{
	memset(&race, 0, sizeof(race));
	race.w = w;
	race.seed = 7;
	return &race;
}

static void assert_share(size_t source, double expected)
{
	double share = race_share(&race, source);

	if (fabs(share - expected) > 0.01 * expected)
		fail_msg("source %zu got %f of the tokens, not %f", source, share, expected);
}

static void assert_requests_share(size_t source, double expected)
{
	double share = race_requests_share(&race, source);

	if (fabs(share - expected) > 0.01 * expected)
		fail_msg("source %zu got %f of the requests, not %f", source, share, expected);
}

// Three teams of the weights 4, 2 and 1.
static struct world *three_teams(void)
{
	struct world *w = world_new();

	world_team(w, "chat", 4);
	world_team(w, "review", 2);
	world_team(w, "batch", 1);
	return w;
}

// Each asks for 1 to 4000 tokens at a time.
static void run_teams(struct world *w, double rpm, double tpm)
{
	struct race *r = race_new(w);

	for (size_t i = 0; i < w->policy.n_teams; i++)
		race_add(r, (struct source){.team = &w->teams[i], .smallest = 1, .largest = 4000});
	world_begin(w, 0);
	race_drain(r, rpm, tpm);
	race_run(r, ADMISSIONS);
}

static void tokens_are_shared_by_weight(void **state)
{
	struct world *w = three_teams();

	(void)state;
	world_limit(w, "l", RESOURCE_TOKENS, 60000, NULL);
	run_teams(w, 0, 60000);
	assert_share(0, 4 / 7.0);
	assert_share(1, 2 / 7.0);
	assert_share(2, 1 / 7.0);
	world_free(w);
}

static void requests_are_shared_by_weight_whatever_their_size(void **state)
{
	struct world *w = three_teams();

	(void)state;
	world_limit(w, "l", RESOURCE_REQUESTS, 60, NULL);
	world_limit(w, "never reached", RESOURCE_TOKENS, 6e7, NULL);
	run_teams(w, 60, 0);
	assert_requests_share(0, 4 / 7.0);
	assert_requests_share(1, 2 / 7.0);
	assert_requests_share(2, 1 / 7.0);
	world_free(w);
}

// Which models a team asks for makes no difference where all share one limit.
static void teams_on_different_models_share_a_common_limit_by_weight(void **state)
{
	struct world *w = three_teams();
	struct race *r = race_new(w);
	char *const models[] = {"m1", "m2", "m1"};

	(void)state;
	world_limit(w, "m1", RESOURCE_TOKENS, 90000, "m1");
	world_limit(w, "m2", RESOURCE_TOKENS, 90000, "m2");
	world_limit(w, "organization", RESOURCE_TOKENS, 60000, NULL);
	for (size_t i = 0; i < 3; i++)
		race_add(r, (struct source){.team = &w->teams[i],
					    .labels = {{LABEL_MODEL, models[i]}},
					    .smallest = 1,
					    .largest = 4000});
	world_begin(w, 0);
	race_drain(r, 0, 60000);
	race_run(r, ADMISSIONS);
	assert_share(0, 4 / 7.0);
	assert_share(1, 2 / 7.0);
	assert_share(2, 1 / 7.0);
	world_free(w);
}

static void a_ceiling_above_its_share_changes_nothing(void **state)
{
	struct world *w = three_teams();

	(void)state;
	world_limit(w, "l", RESOURCE_TOKENS, 60000, NULL);
	w->teams[1].tpm = (struct rate){RATE_PERCENT, 50};
	run_teams(w, 0, 60000);
	assert_share(0, 4 / 7.0);
	assert_share(1, 2 / 7.0);
	assert_share(2, 1 / 7.0);
	world_free(w);
}

static void a_ceiling_holds_and_the_others_share_the_rest(void **state)
{
	const struct rate ceilings[] = {{RATE_PERCENT, 10}, {RATE_PER_MINUTE, 6000}};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct world *w = three_teams();

		world_limit(w, "l", RESOURCE_TOKENS, 60000, NULL);
		w->teams[1].tpm = ceilings[i];
		run_teams(w, 0, 60000);
		assert_share(0, 0.72);
		assert_share(1, 0.1);
		assert_share(2, 0.18);
		world_free(w);
	}
}

// Of one team: workloads by their priorities.
static void workloads_of_a_team_share_by_priority(void **state)
{
	static char *const models[] = {"m1", "m2", "m3"};
	const double priorities[] = {4, 2, 1};
	struct world *w = world_new();
	struct race *r = race_new(w);

	(void)state;
	world_limit(w, "l", RESOURCE_TOKENS, 60000, NULL);
	world_team(w, "only", 1);
	for (size_t i = 0; i < 3; i++) {
		world_workload(&w->schedulers[0], models[i],
			       world_equals(w, LABEL_MODEL, models[i]), priorities[i]);
		race_add(r, (struct source){.team = w->teams,
					    .labels = {{LABEL_MODEL, models[i]}},
					    .smallest = 1,
					    .largest = 4000});
	}
	world_begin(w, 0);
	race_drain(r, 0, 60000);
	race_run(r, ADMISSIONS);
	assert_share(0, 4 / 7.0);
	assert_share(1, 2 / 7.0);
	assert_share(2, 1 / 7.0);
	world_free(w);
}

static const char *user_name(size_t i)
{
	static char names[RACE_SOURCES][8];

	snprintf(names[i], sizeof(names[i]), "u%zu", i);
	return names[i];
}

// However many requests a user sends, and however large they are.
static void users_share_equally(void **state)
{
	enum { USERS = 20 };
	struct world *w = world_new();
	struct race *r = race_new(w);
	size_t user = world_label(w, "http.header.x-user");

	(void)state;
	world_limit(w, "l", RESOURCE_TOKENS, 60000, NULL);
	w->schedulers[0].fairness_label = user;
	for (size_t i = 0; i < USERS; i++)
		race_add(r, (struct source){.labels = {{user, user_name(i)}},
					    .smallest = 1,
					    .largest = 50 * (double)(1 + i),
					    .backlog = 1 + i % 7});
	world_begin(w, 0);
	race_drain(r, 0, 60000);
	race_run(r, ADMISSIONS);
	for (size_t i = 0; i < USERS; i++)
		assert_share(i, 1.0 / USERS);
	assert_true(race_jain_index(r) >= 0.99);
	world_free(w);
}

// What two equal teams get, one of which is split up into `n` workloads or users.
static double share_of_the_undivided(size_t n, bool into_workloads)
{
	static char names[RACE_SOURCES][8];
	struct world *w = world_new();
	struct race *r = race_new(w);
	size_t label = world_label(w, "http.header.x-part");
	double share;

	world_limit(w, "l", RESOURCE_TOKENS, 60000, NULL);
	world_team(w, "undivided", 1);
	world_team(w, "divided", 1);
	if (!into_workloads)
		w->schedulers[0].fairness_label = label;
	race_add(r, (struct source){.team = &w->teams[0], .smallest = 1, .largest = 2000});
	for (size_t i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "p%zu", i);
		if (into_workloads)
			world_workload(&w->schedulers[0], names[i],
				       world_equals(w, label, names[i]), 1);
		race_add(r, (struct source){.team = &w->teams[1],
					    .labels = {{label, names[i]}},
					    .smallest = 1,
					    .largest = 2000});
	}
	world_begin(w, 0);
	race_drain(r, 0, 60000);
	race_run(r, ADMISSIONS);
	share = race_share(r, 0);
	world_free(w);
	return share;
}

static void a_team_does_not_get_more_by_splitting_up(void **state)
{
	(void)state;
	assert_close(share_of_the_undivided(1, false), 0.5, 0.005);
	assert_close(share_of_the_undivided(10, true), 0.5, 0.005);
	assert_close(share_of_the_undivided(100, false), 0.5, 0.005);
}

// A request of priority p costs its team 1/p of its tokens (contest.h).
static void a_priority_makes_tokens_cheaper_for_its_team(void **state)
{
	struct world *w = world_new();
	struct race *r = race_new(w);

	(void)state;
	world_limit(w, "l", RESOURCE_TOKENS, 60000, NULL);
	world_team(w, "urgent", 1);
	world_team(w, "not", 2);
	race_add(r, (struct source){.team = &w->teams[0],
				    .labels = {{LABEL_PRIORITY, "20"}},
				    .smallest = 1,
				    .largest = 1000});
	race_add(r, (struct source){.team = &w->teams[1], .smallest = 1, .largest = 1000});
	world_begin(w, 0);
	race_drain(r, 0, 60000);
	race_run(r, ADMISSIONS);
	assert_share(0, 20 / 22.0);
	assert_close(race_share(r, 1), 2 / 22.0, 0.0015);
	world_free(w);
}

// A team that was away does not get later what it did not want then.
static void idle_time_is_not_saved_up(void **state)
{
	struct world *w = three_teams();
	struct race *r = race_new(w);

	(void)state;
	for (size_t i = 0; i < 3; i++)
		w->teams[i].weight = 1;
	world_limit(w, "l", RESOURCE_TOKENS, 60000, NULL);
	race_add(r, (struct source){.team = &w->teams[0], .smallest = 1, .largest = 1000});
	race_add(r, (struct source){.team = &w->teams[1], .smallest = 1, .largest = 1000});
	world_begin(w, 0);
	race_drain(r, 0, 60000);
	race_run(r, ADMISSIONS);
	size_t late =
		race_add(r, (struct source){.team = &w->teams[2], .smallest = 1, .largest = 1000});
	for (size_t i = 0; i < r->n_sources; i++)
		r->sources[i].tokens = 0;
	for (size_t i = 0; i < 5; i++)
		race_send(r, late);
	race_run(r, 300);
	assert_close(race_share(r, late), 1 / 3.0, 0.01);
	world_free(w);
}

static void a_guarantee_holds_against_weights_and_priorities(void **state)
{
	struct world *w = three_teams();
	struct race *r = race_new(w);

	(void)state;
	world_limit(w, "l", RESOURCE_TOKENS, 60000, NULL);
	w->teams[2].guarantee = 20;
	for (size_t i = 0; i < 3; i++)
		race_add(r, (struct source){.team = &w->teams[i],
					    .labels = {{LABEL_PRIORITY, i == 2 ? "1" : "1000"}},
					    .smallest = 1,
					    .largest = 2000});
	world_begin(w, 0);
	race_drain(r, 0, 60000);
	race_run(r, ADMISSIONS);
	assert_share(0, 0.8 * 4 / 6);
	assert_share(1, 0.8 * 2 / 6);
	assert_share(2, 0.2);
	world_free(w);
}

static void a_guarantee_below_the_share_takes_nothing_from_others(void **state)
{
	struct world *w = three_teams();

	(void)state;
	world_limit(w, "l", RESOURCE_TOKENS, 60000, NULL);
	w->teams[0].guarantee = 20;
	run_teams(w, 0, 60000);
	assert_share(0, 4 / 7.0);
	assert_share(1, 2 / 7.0);
	assert_share(2, 1 / 7.0);
	world_free(w);
}

static void a_guarantee_that_nobody_uses_is_lent(void **state)
{
	struct world *w = three_teams();
	struct race *r = race_new(w);
	uint64_t began;

	(void)state;
	world_limit(w, "l", RESOURCE_TOKENS, 60000, NULL);
	w->teams[2].guarantee = 90;
	race_add(r, (struct source){.team = &w->teams[0], .smallest = 1, .largest = 2000});
	race_add(r, (struct source){.team = &w->teams[1], .smallest = 1, .largest = 2000});
	world_begin(w, 0);
	race_drain(r, 0, 60000);
	began = r->now_ns;
	race_run(r, ADMISSIONS);
	assert_share(0, 4 / 6.0);
	assert_share(1, 2 / 6.0);
	assert_close(race_tokens(r) / ((double)(r->now_ns - began) / S), 1000, 1);
	world_free(w);
}

static void set_sizes(double smallest, double largest)
{
	for (size_t i = 0; i < race.n_sources; i++) {
		race.sources[i].smallest = smallest;
		race.sources[i].largest = largest;
	}
}

static void forget_what_was_got(void)
{
	for (size_t i = 0; i < race.n_sources; i++) {
		race.sources[i].tokens = 0;
		race.sources[i].requests = 0;
	}
}

// Small requests and large ones in turn, so that now the requests and now the tokens are short. Of
// what is short the shares are right, once those that waited since before the turn are gone. (Until
// then both are short, and who has old, large ones left has fewer requests.)
static void shares_hold_while_the_bottleneck_flips(void **state)
{
	const double shares[] = {4 / 7.0, 2 / 7.0, 1 / 7.0};
	struct world *w = three_teams();
	struct race *r = race_new(w);

	(void)state;
	world_limit(w, "requests", RESOURCE_REQUESTS, 60, NULL);
	world_limit(w, "tokens", RESOURCE_TOKENS, 60000, NULL);
	for (size_t i = 0; i < 3; i++)
		race_add(r, (struct source){.team = &w->teams[i], .smallest = 100, .largest = 500});
	world_begin(w, 0);
	race_drain(r, 60, 60000);
	for (size_t phase = 0; phase < 20; phase++) {
		set_sizes(phase % 2 ? 1500 : 100, phase % 2 ? 4000 : 500);
		race_run(r, 150);
		forget_what_was_got();
		race_run(r, ADMISSIONS / 20);
		for (size_t i = 0; i < 3; i++) {
			double share = phase % 2 ? race_share(r, i) : race_requests_share(r, i);

			assert_close(share, shares[i], 0.03 * shares[i]);
		}
	}
	world_free(w);
}

// Two teams of which one sends few large requests and the other many small ones, under a limit of
// both kinds that both would fill: neither is left behind in both.
static void a_team_of_large_requests_and_one_of_small_ones_share_two_limits(void **state)
{
	struct world *w = world_new();
	struct race *r = race_new(w);
	uint64_t began;

	(void)state;
	world_limit(w, "requests", RESOURCE_REQUESTS, 60, NULL);
	world_limit(w, "tokens", RESOURCE_TOKENS, 60000, NULL);
	race_add(r, (struct source){
			    .team = world_team(w, "large", 1), .smallest = 1500, .largest = 2500});
	race_add(r, (struct source){
			    .team = world_team(w, "small", 1), .smallest = 100, .largest = 900});
	world_begin(w, 0);
	race_drain(r, 60, 60000);
	began = r->now_ns;
	race_run(r, ADMISSIONS);
	double seconds = (double)(r->now_ns - began) / S;
	print_message("large: %.3f of the tokens, %.3f of the requests; of both limits %.3f and "
		      "%.3f are used\n",
		      race_share(r, 0), race_requests_share(r, 0), race_tokens(r) / seconds / 1000,
		      ADMISSIONS / seconds);
	assert_true(race_share(r, 0) >= 0.5 && race_requests_share(r, 1) >= 0.5);
	assert_true(race_tokens(r) / seconds > 0.95 * 1000 || ADMISSIONS / seconds > 0.95);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens_are_shared_by_weight),
		cmocka_unit_test(requests_are_shared_by_weight_whatever_their_size),
		cmocka_unit_test(teams_on_different_models_share_a_common_limit_by_weight),
		cmocka_unit_test(a_ceiling_above_its_share_changes_nothing),
		cmocka_unit_test(a_ceiling_holds_and_the_others_share_the_rest),
		cmocka_unit_test(workloads_of_a_team_share_by_priority),
		cmocka_unit_test(users_share_equally),
		cmocka_unit_test(a_team_does_not_get_more_by_splitting_up),
		cmocka_unit_test(a_priority_makes_tokens_cheaper_for_its_team),
		cmocka_unit_test(idle_time_is_not_saved_up),
		cmocka_unit_test(a_guarantee_holds_against_weights_and_priorities),
		cmocka_unit_test(a_guarantee_below_the_share_takes_nothing_from_others),
		cmocka_unit_test(a_guarantee_that_nobody_uses_is_lent),
		cmocka_unit_test(shares_hold_while_the_bottleneck_flips),
		cmocka_unit_test(a_team_of_large_requests_and_one_of_small_ones_share_two_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
