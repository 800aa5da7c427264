// Who goes first, and how much each team gets when there is not enough for all.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern/bucket.h"
#include "govern/governor.h"
#include "govern/hashtab.h"

#define S NS_PER_S
#define TEAMS 3
#define MINUTES(value)                                                                             \
	{                                                                                          \
		RATE_PER_MINUTE, value                                                             \
	}

static uint64_t seed;

static uint64_t random_below(uint64_t n)
{
	seed = hash_mix(seed, 1);
	return seed % n;
}

// Submits, and says what became of it.
static enum verdict submit(struct governor *g, uint64_t id, const struct team *team,
			   const char *model, double tokens, uint64_t now)
{
	struct ask ask = {.id = id, .model = model, .team = team, .requests = 1, .tokens = tokens};
	enum verdict verdict;
	const char *policy;

	assert_int_equal(governor_submit(g, &ask, now, &verdict, &policy), 0);
	return verdict;
}

static void drain(struct governor *g, uint64_t id, const char *model)
{
	struct ask ask = {.id = id, .model = model, .requests = 1e4, .tokens = 1e5};
	enum verdict verdict;
	const char *policy;

	assert_int_equal(governor_submit(g, &ask, 0, &verdict, &policy), 0);
}

// Teams that always have more to send: whoever is admitted is replaced at once. Runs until
// `admissions`; got[i] is what team i had admitted, in units of the contended limit.
struct race {
	const struct policy *policy;
	const char *models[TEAMS];
	bool in_requests; // what is contended
	double got[TEAMS];
};

static void run_race(struct race *race, size_t admissions)
{
	enum { EACH = 5, IDS = 1000000 };
	struct governor *g = governor_new(race->policy, 0);
	static double tokens[IDS];
	struct decision d;
	uint64_t now = 0, id = 10;

	seed = 7;
	drain(g, 0, "m1");
	drain(g, 1, "m2");
	for (size_t i = 0; i < EACH * TEAMS; i++, id++) {
		size_t team = id % TEAMS;

		tokens[id] = 1 + (double)random_below(4000);
		submit(g, id, &race->policy->teams[team], race->models[team], tokens[id], now);
	}
	for (id = (id + TEAMS - 1) / TEAMS * TEAMS; admissions;) {
		now = governor_next_ns(g, now);
		if (!governor_run(g, now, &d, 1))
			continue;
		assert_int_equal(d.verdict, VERDICT_ADMITTED);
		governor_settle(g, d.id, now);
		if (d.id < 10)
			continue;
		size_t team = d.id % TEAMS;
		race->got[team] += race->in_requests ? 1 : tokens[d.id];
		admissions--;
		uint64_t next = id + team;
		id += TEAMS;
		assert_true(next < IDS);
		tokens[next] = 1 + (double)random_below(4000);
		submit(g, next, &race->policy->teams[team], race->models[team], tokens[next], now);
	}
	governor_free(g);
}

static void assert_shares(const struct race *race, const double expected[TEAMS])
{
	double sum = race->got[0] + race->got[1] + race->got[2];

	for (size_t i = 0; i < TEAMS; i++)
		if (fabs(race->got[i] / sum - expected[i]) > 0.01 * expected[i])
			fail_msg("team %zu got %f of all, not %f", i, race->got[i] / sum,
				 expected[i]);
}

static struct team chat = {.name = "chat", .weight = 4, .priority = 1};
static struct team review = {.name = "review", .weight = 2, .priority = 1};
static struct team batch = {.name = "batch", .weight = 1, .priority = 1};
static const double four_two_one[] = {4 / 7.0, 2 / 7.0, 1 / 7.0};

static struct policy policy_of(struct team teams[TEAMS], struct limit *limits, size_t n_limits)
{
	teams[0] = chat;
	teams[1] = review;
	teams[2] = batch;
	return (struct policy){
		.max_wait_ns = UINT64_MAX,
		.headroom_ns = S / 4,
		.teams = teams,
		.n_teams = TEAMS,
		.limits = limits,
		.n_limits = n_limits,
	};
}

static void tokens_are_shared_by_weight(void **state)
{
	(void)state;
	struct team teams[TEAMS];
	struct limit limit = {.name = "l", .rpm = MINUTES(6e6), .tpm = MINUTES(60000)};
	struct policy policy = policy_of(teams, &limit, 1);
	struct race race = {&policy, {"m1", "m1", "m1"}, false, {0}};

	run_race(&race, 10000);
	assert_shares(&race, four_two_one);
}

static void requests_are_shared_by_weight_whatever_their_size(void **state)
{
	(void)state;
	struct team teams[TEAMS];
	struct limit limit = {.name = "l", .rpm = MINUTES(60), .tpm = MINUTES(6e7)};
	struct policy policy = policy_of(teams, &limit, 1);
	struct race race = {&policy, {"m1", "m1", "m1"}, true, {0}};

	run_race(&race, 10000);
	assert_shares(&race, four_two_one);
}

// A team with a ceiling of its own still has its weight's share of the limit that all want.
static void a_ceiling_does_not_change_the_shares(void **state)
{
	(void)state;
	struct team teams[TEAMS];
	struct limit limit = {.name = "l", .tpm = MINUTES(60000)};
	struct policy policy = policy_of(teams, &limit, 1);
	struct race race = {&policy, {"m1", "m1", "m1"}, false, {0}};

	teams[1].tpm = (struct rate){RATE_PERCENT, 50};
	run_race(&race, 10000);
	assert_shares(&race, four_two_one);
}

static void a_ceiling_holds_and_the_others_share_the_rest(void **state)
{
	(void)state;
	struct team teams[TEAMS];
	struct limit limit = {.name = "l", .tpm = MINUTES(60000)};
	struct policy policy = policy_of(teams, &limit, 1);
	struct race race = {&policy, {"m1", "m1", "m1"}, false, {0}};

	teams[1].tpm = (struct rate){RATE_PERCENT, 10};
	run_race(&race, 10000);
	assert_shares(&race, (double[]){0.72, 0.1, 0.18});
}

// Different models, one organization-wide limit.
static void lanes_that_share_a_limit_share_it_by_weight(void **state)
{
	(void)state;
	struct team teams[TEAMS];
	struct limit limits[] = {
		{.name = "m1", .match.model = "m1", .tpm = MINUTES(90000)},
		{.name = "m2", .match.model = "m2", .tpm = MINUTES(90000)},
		{.name = "org", .tpm = MINUTES(60000)},
	};
	struct policy policy = policy_of(teams, limits, 3);
	struct race race = {&policy, {"m1", "m2", "m1"}, false, {0}};

	run_race(&race, 10000);
	assert_shares(&race, four_two_one);
}

// One bucket of `tpm`, drained; then requests from the teams of `policy`.
static struct governor *drained(const struct policy *policy, double tpm)
{
	struct governor *g = governor_new(policy, 0);

	assert_int_equal(submit(g, 1000, NULL, "m", tpm, 0), VERDICT_ADMITTED);
	return g;
}

static void assert_leaving_order(struct governor *g, const uint64_t *ids, size_t n)
{
	uint64_t now = 0;
	struct decision d;

	for (size_t i = 0; i < n;) {
		now = governor_next_ns(g, now);
		if (!governor_run(g, now, &d, 1))
			continue;
		assert_int_equal(d.id, ids[i]);
		i++;
	}
}

static void a_later_more_urgent_request_overtakes(void **state)
{
	(void)state;
	struct team teams[TEAMS];
	struct limit limit = {.name = "l", .tpm = MINUTES(60)};
	struct policy policy = policy_of(teams, &limit, 1);
	struct governor *g = drained(&policy, 60);

	teams[0].priority = 100;
	for (uint64_t id = 1; id <= 3; id++)
		submit(g, id, &teams[2], "m", 10, 0);
	submit(g, 4, &teams[1], "m", 10, 0);
	submit(g, 5, &teams[0], "m", 10, 0);
	assert_leaving_order(g, (uint64_t[]){5, 4, 1, 2, 3}, 5);
	governor_free(g);
}

static void equals_leave_in_order_of_arrival(void **state)
{
	(void)state;
	struct team teams[TEAMS];
	struct limit limit = {.name = "l", .tpm = MINUTES(60)};
	struct policy policy = policy_of(teams, &limit, 1);
	struct governor *g = drained(&policy, 60);

	teams[0].weight = teams[1].weight = 1;
	submit(g, 1, &teams[2], "m", 10, 0);
	submit(g, 2, &teams[0], "m", 10, 0);
	submit(g, 3, &teams[1], "m", 10, 0);
	assert_leaving_order(g, (uint64_t[]){1, 2, 3}, 3);
	governor_free(g);
}

// Cancelling does not cost a team its turn.
static void a_withdrawn_request_gives_its_turn_back(void **state)
{
	(void)state;
	struct team teams[TEAMS];
	struct limit limit = {.name = "l", .tpm = MINUTES(60)};
	struct policy policy = policy_of(teams, &limit, 1);
	struct governor *g = drained(&policy, 60);

	teams[0].weight = teams[1].weight = 1;
	submit(g, 1, &teams[0], "m", 50, 0); // large, and gone soon
	submit(g, 2, &teams[0], "m", 40, 0);
	submit(g, 3, &teams[0], "m", 10, 0);
	submit(g, 4, &teams[1], "m", 15, 0);
	governor_withdraw(g, 1, 0);
	governor_withdraw(g, 2, 0);
	assert_leaving_order(g, (uint64_t[]){3, 4}, 2);
	governor_free(g);
}

// What a team took while nobody else wanted it is not held against it.
static void idle_capacity_is_free(void **state)
{
	(void)state;
	struct team teams[TEAMS];
	struct limit limit = {.name = "l", .tpm = MINUTES(60)};
	struct policy policy = policy_of(teams, &limit, 1);
	struct governor *g = governor_new(&policy, 0);

	teams[0].weight = 1;
	for (uint64_t id = 10; id < 16; id++)
		assert_int_equal(submit(g, id, &teams[0], "m", 10, 0), VERDICT_ADMITTED);
	submit(g, 1, &teams[0], "m", 10, 0);
	submit(g, 2, &teams[2], "m", 10, 0);
	assert_leaving_order(g, (uint64_t[]){1, 2}, 2);
	governor_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens_are_shared_by_weight),
		cmocka_unit_test(requests_are_shared_by_weight_whatever_their_size),
		cmocka_unit_test(a_ceiling_does_not_change_the_shares),
		cmocka_unit_test(a_ceiling_holds_and_the_others_share_the_rest),
		cmocka_unit_test(lanes_that_share_a_limit_share_it_by_weight),
		cmocka_unit_test(a_later_more_urgent_request_overtakes),
		cmocka_unit_test(equals_leave_in_order_of_arrival),
		cmocka_unit_test(a_withdrawn_request_gives_its_turn_back),
		cmocka_unit_test(idle_capacity_is_free),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
