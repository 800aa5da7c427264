// A restart of the daemon: what was spent stays spent, what was refilled meanwhile is there, and
// what the provider has shut stays shut.
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern/state.h"
#include "govern_world.h"

#define BASE_S 1777593600LL // 2026-05-01T00:00:00Z

enum { STATES = 32 };

// What a state file would hold.
struct saved {
	struct bucket_state of[STATES];
	char texts[STATES][3][64];
	size_t n;
};

static void keep(void *ctx, const struct bucket_state *state)
{
	struct saved *saved = ctx;
	size_t i = saved->n++;
	const char *texts[] = {state->limit, state->team, state->key};

	assert_true(i < STATES);
	for (int j = 0; j < 3; j++)
		snprintf(saved->texts[i][j], sizeof(saved->texts[i][j]), "%s", texts[j]);
	saved->of[i] = *state;
	saved->of[i].limit = saved->texts[i][0];
	saved->of[i].team = saved->texts[i][1];
	saved->of[i].key = saved->texts[i][2];
}

static void save(struct world *w, bool all, uint64_t now_ns, struct saved *ret)
{
	ret->n = 0;
	governor_save(w->g, all, now_ns, keep, ret);
}

static size_t count_saved(struct world *w, bool all, uint64_t now_ns)
{
	struct saved saved;

	save(w, all, now_ns, &saved);
	return saved.n;
}

// The governor's clock begins at another moment with each boot.
static void boot(struct world *w, uint64_t now_ns, double unix_s)
{
	governor_free(w->g);
	w->g = governor_new(&w->policy, now_ns, (int64_t)(unix_s * NS_PER_S) - (int64_t)now_ns);
	assert_non_null(w->g);
}

static void restore(struct world *w, const struct saved *saved, uint64_t now_ns)
{
	for (size_t i = 0; i < saved->n; i++)
		assert_int_equal(governor_restore(w->g, &saved->of[i], now_ns), 0);
}

// Stops the daemon at now_ns, and starts it after down_s on a machine whose clock says boot_ns.
static void restart(struct world *w, uint64_t now_ns, double down_s, uint64_t boot_ns)
{
	struct saved saved;
	double unix_s = ((double)now_ns + (double)w->g->wall_offset_ns) / NS_PER_S + down_s;

	save(w, true, now_ns, &saved);
	boot(w, boot_ns, unix_s);
	restore(w, &saved, boot_ns);
}

static void what_was_spent_stays_spent_and_fills_meanwhile(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_key(world_limit(w, "l", RESOURCE_TOKENS, 600, NULL), LABEL_MODEL);
	boot(w, 1000 * S, BASE_S);
	submit_model(w, 1, "m", 500, 1000 * S);
	restart(w, 1001 * S, 0, 7 * S);
	assert_close(level(w, "l", "m", RESOURCE_TOKENS, 7 * S), 110, 0.01);
	restart(w, 7 * S, 20, 3 * S);
	assert_close(level(w, "l", "m", RESOURCE_TOKENS, 3 * S), 310, 0.01);
	assert_close(level(w, "l", "m", RESOURCE_TOKENS, 4 * S), 320, 0.01);
	restart(w, 4 * S, 3600, 5 * S);
	assert_close(level(w, "l", "m", RESOURCE_TOKENS, 5 * S), 600, 0.01);
	world_free(w);
}

static void a_debt_survives(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	boot(w, 0, BASE_S);
	submit_model(w, 1, "m", 160, 0);
	restart(w, 10 * S, 20, 50 * S);
	assert_close(level(w, "l", "", RESOURCE_TOKENS, 50 * S), -70, 0.01);
	world_free(w);
}

static void buckets_of_one_name_are_not_confused(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct team *t = world_team(w, "t", 1);

	t->tpm = (struct rate){RATE_PERCENT, 50};
	t->rpm = (struct rate){RATE_PER_MINUTE, 10};
	world_key(world_limit(w, "l", RESOURCE_REQUESTS, 60, NULL), LABEL_MODEL);
	world_key(world_limit(w, "l", RESOURCE_TOKENS, 600, NULL), LABEL_MODEL);
	world_limit(w, "l", RESOURCE_TOKENS, 10000, NULL)->interval_ns = DAY;
	boot(w, 0, BASE_S);
	submit(w, of_team(ASK(w, 1, 100, {LABEL_MODEL, "a"}), t), 0);
	submit(w, of_team(ASK(w, 2, 200, {LABEL_MODEL, "b"}), t), 0);
	restart(w, 0, 0, 77 * S);
	assert_close(level(w, "l", "a", RESOURCE_REQUESTS, 77 * S), 59, 0.01);
	assert_close(level(w, "l", "a", RESOURCE_TOKENS, 77 * S), 500, 0.01);
	assert_close(level(w, "l", "b", RESOURCE_TOKENS, 77 * S), 400, 0.01);
	assert_close(level(w, "l", "", RESOURCE_TOKENS, 77 * S), 9700, 0.01);
	assert_close(level(w, "team t", "l,a", RESOURCE_TOKENS, 77 * S), 200, 0.01);
	assert_close(level(w, "team t", "", RESOURCE_REQUESTS, 77 * S), 8, 0.01);
	world_free(w);
}

static void a_step_comes_when_it_would_have(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct limit *l = world_limit(w, "l", RESOURCE_REQUESTS, 10, NULL);

	l->is_stepwise = true;
	l->fill_amount = 4;
	boot(w, 1000 * S, BASE_S);
	for (uint64_t id = 1; id <= 10; id++)
		submit_model(w, id, "m", 1, 1000 * S);
	restart(w, 1030 * S, 10, 500 * S); // steps at 520 s, 580 s, …
	assert_near(level(w, "l", "", RESOURCE_REQUESTS, 500 * S), 0);
	assert_near(level(w, "l", "", RESOURCE_REQUESTS, 520 * S - MS), 0);
	assert_near(level(w, "l", "", RESOURCE_REQUESTS, 520 * S + MS), 4);
	restart(w, 530 * S, 60, 100 * S); // one more has come; the next at 140 s - 10 s
	assert_near(level(w, "l", "", RESOURCE_REQUESTS, 100 * S), 8);
	assert_near(level(w, "l", "", RESOURCE_REQUESTS, 150 * S - MS), 8);
	assert_near(level(w, "l", "", RESOURCE_REQUESTS, 150 * S + MS), 10);
	world_free(w);
}

// The machine has booted seconds ago, and its clock knows no moment before: the step of that hour
// comes late, but it comes.
static void a_step_older_than_the_clock_comes_an_interval_later(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct limit *l = world_limit(w, "l", RESOURCE_REQUESTS, 10, NULL);

	l->is_stepwise = true;
	l->fill_amount = 4;
	l->interval_ns = HOUR;
	boot(w, 5000 * S, BASE_S);
	for (uint64_t id = 1; id <= 10; id++)
		submit_model(w, id, "m", 1, 5000 * S);
	restart(w, 5000 * S, 1800, 60 * S); // half an hour is over
	assert_near(level(w, "l", "", RESOURCE_REQUESTS, 60 * S), 0);
	assert_near(level(w, "l", "", RESOURCE_REQUESTS, HOUR), 4);
	restart(w, HOUR, 3 * 3600, 60 * S); // whole hours are over
	assert_near(level(w, "l", "", RESOURCE_REQUESTS, 60 * S), 10);
	world_free(w);
}

static struct world *budget(enum calendar calendar)
{
	struct world *w = world_new();
	struct limit *l = world_limit(w, "budget", RESOURCE_COST, 500, NULL);

	l->calendar = calendar;
	l->interval_ns = calendar == CALENDAR_DAY ? DAY : 30 * DAY;
	l->over_limit = OVER_LIMIT_DENY;
	boot(w, 0, BASE_S + 10 * 86400);
	return w;
}

static void spend(struct world *w, uint64_t id, double dollars, uint64_t now_ns)
{
	struct ask ask = ASK(w, id, 1);

	ask.amounts[RESOURCE_COST] = dollars;
	assert_int_equal(submit(w, ask, now_ns), VERDICT_ADMITTED);
}

static void a_month_s_budget_is_not_new_because_the_daemon_is(void **state)
{
	(void)state;
	struct world *w = budget(CALENDAR_MONTH);

	spend(w, 1, 480, 0);
	restart(w, S, 20 * 86400, 3 * S); // the 31st
	assert_near(level(w, "budget", "", RESOURCE_COST, 3 * S), 20);
	assert_near(level(w, "budget", "", RESOURCE_COST, DAY - S), 20);
	assert_near(level(w, "budget", "", RESOURCE_COST, DAY + 4 * S), 500);
	world_free(w);
}

static void another_month_s_budget_is_new(void **state)
{
	(void)state;
	struct world *w = budget(CALENDAR_MONTH);

	spend(w, 1, 480, 0);
	restart(w, S, 21 * 86400, 3 * S);
	assert_near(level(w, "budget", "", RESOURCE_COST, 3 * S), 500);
	w->policy.limits[0].capacity = 500;
	world_free(w);
}

static void a_day_ends_at_midnight_of_the_zone(void **state)
{
	(void)state;
	struct zone_offset east[] = {{0, 2 * 3600}};
	struct zone zone = {.name = "east", .offsets = east, .n_offsets = 1};
	struct world *w = world_new();
	struct limit *l = world_limit(w, "budget", RESOURCE_COST, 500, NULL);

	w->policy.zone = &zone;
	l->calendar = CALENDAR_DAY;
	l->interval_ns = DAY;
	boot(w, 0, BASE_S + 20 * 3600); // 22:00 there
	spend(w, 1, 480, 0);
	restart(w, S, 3600, 0);
	assert_near(level(w, "budget", "", RESOURCE_COST, 0), 20);
	restart(w, 0, 3600, 0);
	assert_near(level(w, "budget", "", RESOURCE_COST, 0), 500);
	world_free(w);
}

static void a_delayed_fill_is_still_delayed(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_limit(w, "l", RESOURCE_TOKENS, 600, NULL)->delays_fill = true;
	boot(w, 0, BASE_S);
	submit_model(w, 1, "m", 300, 0);
	restart(w, 10 * S, 20, 100 * S); // 30 s are over; it fills from 60 s on
	assert_close(level(w, "l", "", RESOURCE_TOKENS, 100 * S), 300, 0.01);
	assert_close(level(w, "l", "", RESOURCE_TOKENS, 130 * S), 300, 0.01);
	assert_close(level(w, "l", "", RESOURCE_TOKENS, 140 * S), 400, 0.01);
	world_free(w);
}

static void shut_for(struct world *w, uint64_t id, uint64_t shut_ns, uint64_t now_ns)
{
	struct outcome outcome = {.requests = {-1, -1, -1},
				  .tokens = {-1, -1, -1},
				  .images = {-1, -1, -1},
				  .shut_ns = shut_ns};

	governor_learn(w->g, id, &outcome, now_ns);
}

static void a_429_holds_across_the_restart(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_key(world_limit(w, "l", RESOURCE_REQUESTS, 60, NULL), LABEL_MODEL);
	boot(w, 1000 * S, BASE_S);
	submit_model(w, 1, "a", 1, 1000 * S);
	submit_model(w, 2, "b", 1, 1000 * S);
	submit_model(w, 3, "c", 1, 1000 * S);
	shut_for(w, 1, 60 * S, 1000 * S);
	shut_for(w, 2, UINT64_MAX, 1000 * S);
	shut_for(w, 3, 5 * S, 1000 * S);
	restart(w, 1010 * S, 10, 2 * S);
	assert_close((double)bucket_of(w, "l", "a", RESOURCE_REQUESTS, 2 * S).shut_ns, 40.0 * S,
		     1e4);
	assert_true(bucket_of(w, "l", "b", RESOURCE_REQUESTS, 2 * S).shut_ns == UINT64_MAX);
	assert_true(bucket_of(w, "l", "c", RESOURCE_REQUESTS, 2 * S).shut_ns == 0);
	assert_int_equal(submit_model(w, 4, "a", 1, 2 * S), VERDICT_QUEUED);
	assert_int_equal(submit_model(w, 5, "c", 1, 2 * S), VERDICT_ADMITTED);
	world_free(w);
}

static struct world *auto_world(void)
{
	struct world *w = world_new();
	enum resource resources[] = {RESOURCE_REQUESTS, RESOURCE_TOKENS};

	for (int i = 0; i < 2; i++) {
		struct limit *l = world_limit(w, "l", resources[i], INFINITY, NULL);

		l->is_auto = true;
		world_key(l, LABEL_MODEL);
	}
	boot(w, 0, BASE_S);
	return w;
}

static void what_was_learnt_is_known_at_once(void **state)
{
	(void)state;
	struct world *w = auto_world();
	struct outcome outcome = {.requests = {200, 100, 43200},
				  .tokens = {30000, 300, 59.4},
				  .images = {-1, -1, -1}};

	submit_model(w, 1, "m", 1, 0);
	governor_learn(w->g, 1, &outcome, 0);
	restart(w, 0, 2, 9 * S);
	struct bucket_view view = bucket_of(w, "l", "m", RESOURCE_TOKENS, 9 * S);
	assert_true(view.is_learnt);
	assert_near(view.capacity, 30000);
	assert_close(view.level, 1300, 0.1);
	assert_near(view.fill_per_s, 500);
	view = bucket_of(w, "l", "m", RESOURCE_REQUESTS, 9 * S);
	assert_true(view.interval_ns == DAY);
	assert_near(view.capacity, 200);
	assert_close(view.level, 100, 0.01);
	world_free(w);
}

// All that is known of the limit is that it was hit.
static void an_auto_limit_that_is_shut_before_it_is_learnt_stays_shut(void **state)
{
	(void)state;
	struct world *w = auto_world();

	submit_model(w, 1, "m", 1, 0);
	submit_model(w, 2, "fine", 1, 0);
	shut_for(w, 1, 60 * S, 0);
	assert_int_equal(count_saved(w, true, 0), 2);
	restart(w, 0, 10, 0);
	assert_int_equal(submit_model(w, 3, "m", 1, 49 * S), VERDICT_QUEUED);
	assert_int_equal(submit_model(w, 4, "fine", 1e9, 0), VERDICT_ADMITTED);
	uint64_t now_ns = 49 * S;
	struct decision d = next_decision(w, &now_ns);
	assert_int_equal(d.id, 3);
	assert_close((double)now_ns, 50.0 * S, 1e4);
	world_free(w);
}

static void the_tier_s_capacity_goes_with_the_model(void **state)
{
	(void)state;
	static const struct tier_row rows[] = {{"gpt-4o", 500, 30000, -1}};
	struct world *w = world_new();
	struct limit *l = world_limit(w, "tier-1", RESOURCE_TOKENS, 0, NULL);

	l->tier = 1;
	l->tier_rows = rows;
	l->n_tier_rows = 1;
	world_key(l, LABEL_API_KEY);
	boot(w, 0, BASE_S);
	submit_model(w, 1, "gpt-4o-2024-08-06", 10000, 0);
	restart(w, 0, 2, S);
	struct bucket_view view = bucket_of(w, "tier-1", ",gpt-4o", RESOURCE_TOKENS, S);
	assert_near(view.capacity, 30000);
	assert_close(view.level, 21000, 0.1);
	// A model that the table has no more.
	struct saved saved;
	save(w, true, S, &saved);
	l->n_tier_rows = 0;
	boot(w, 0, BASE_S);
	assert_int_equal(governor_restore(w->g, &saved.of[0], 0), -ENOENT);
	world_free(w);
}

static void what_the_policy_has_no_more_is_refused(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct team *t = world_team(w, "t", 1);

	t->rpm = (struct rate){RATE_PER_MINUTE, 10};
	t->tpm = (struct rate){RATE_PERCENT, 50};
	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	boot(w, 0, BASE_S);
	submit(w, of_team(ASK(w, 1, 10), t), 0);
	struct saved saved;
	save(w, true, 0, &saved);
	assert_int_equal(saved.n, 3);
	w->limits[0].interval_ns = HOUR;
	t->rpm.kind = RATE_ABSENT;
	boot(w, 0, BASE_S);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(governor_restore(w->g, &saved.of[i], 0), -ENOENT);
	w->limits[0].interval_ns = MINUTE;
	t->name = "other";
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(governor_restore(w->g, &saved.of[i], 0),
				 *saved.of[i].team ? -ENOENT : 0);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, 0), 50);
	world_free(w);
}

static void a_smaller_limit_clips(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_limit(w, "l", RESOURCE_TOKENS, 600, NULL);
	boot(w, 0, BASE_S);
	submit_model(w, 1, "m", 100, 0);
	w->limits[0].capacity = w->limits[0].fill_amount = 60;
	restart(w, 0, 0, 0);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, 0), 60);
	world_free(w);
}

// The file is written every few seconds: only what has changed.
static void only_what_has_changed_is_saved(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_key(world_limit(w, "l", RESOURCE_TOKENS, 600, NULL), LABEL_MODEL);
	boot(w, 0, BASE_S);
	assert_int_equal(count_saved(w, false, 0), 0);
	submit_model(w, 1, "a", 100, 0);
	submit_model(w, 2, "b", 100, 0);
	assert_int_equal(count_saved(w, false, 0), 2);
	assert_int_equal(count_saved(w, false, 5 * S), 0); // filling is known anyway
	assert_int_equal(count_saved(w, true, 5 * S), 2);
	governor_amend(w->g, 1, ASK(w, 1, 150).amounts, 6 * S);
	struct saved saved;
	save(w, false, 6 * S, &saved);
	assert_int_equal(saved.n, 1);
	assert_string_equal(saved.of[0].key, "a");
	assert_close(saved.of[0].level, 510, 0.01);
	assert_close(saved.of[0].at_s, BASE_S + 6, 0.001);
	shut_for(w, 2, 60 * S, 7 * S);
	assert_int_equal(count_saved(w, false, 7 * S), 1);
	governor_reset(w->g, NULL, NULL, 8 * S);
	assert_int_equal(count_saved(w, false, 8 * S), 2);
	governor_refund(w->g, 1, 9 * S);
	submit_model(w, 3, "b", 700, 9 * S);
	submit_model(w, 4, "b", 100, 9 * S); // waits: nothing is drawn
	assert_int_equal(count_saved(w, false, 9 * S), 2);
	assert_int_equal(count_saved(w, false, 9 * S), 0);
	world_free(w);
}

static void what_is_restored_is_saved_again(void **state)
{
	(void)state;
	struct world *w = world_new();

	world_limit(w, "l", RESOURCE_TOKENS, 600, NULL);
	boot(w, 0, BASE_S);
	submit_model(w, 1, "m", 500, 0);
	for (int i = 0; i < 5; i++)
		restart(w, (uint64_t)i * S, 0, (uint64_t)i * S);
	assert_close(level(w, "l", "", RESOURCE_TOKENS, 4 * S), 140, 0.01);
	world_free(w);
}

// A clock that was a year ahead when the state was saved must not keep a bucket empty for a year.
static void a_state_from_the_future_does_not_stop_the_refill(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct limit *stepwise;

	world_limit(w, "l", RESOURCE_TOKENS, 600, NULL);
	world_limit(w, "late", RESOURCE_TOKENS, 600, NULL)->delays_fill = true;
	stepwise = world_limit(w, "steps", RESOURCE_TOKENS, 600, NULL);
	stepwise->is_stepwise = true;
	boot(w, 0, BASE_S + 365 * 86400);
	submit_model(w, 1, "m", 600, 0);
	shut_for(w, 1, 30 * S, 0);
	restart(w, 0, -365.0 * 86400, 0);
	assert_true(bucket_of(w, "l", "", RESOURCE_TOKENS, 0).shut_ns <= 31 * S);
	assert_close(level(w, "l", "", RESOURCE_TOKENS, 61 * S), 600, 0.01);
	assert_close(level(w, "late", "", RESOURCE_TOKENS, 121 * S), 600, 0.01);
	assert_close(level(w, "steps", "", RESOURCE_TOKENS, 61 * S), 600, 0.01);
	assert_true(level(w, "l", "", RESOURCE_TOKENS, S) < 20);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_spent_stays_spent_and_fills_meanwhile),
		cmocka_unit_test(a_debt_survives),
		cmocka_unit_test(buckets_of_one_name_are_not_confused),
		cmocka_unit_test(a_step_comes_when_it_would_have),
		cmocka_unit_test(a_step_older_than_the_clock_comes_an_interval_later),
		cmocka_unit_test(a_month_s_budget_is_not_new_because_the_daemon_is),
		cmocka_unit_test(another_month_s_budget_is_new),
		cmocka_unit_test(a_day_ends_at_midnight_of_the_zone),
		cmocka_unit_test(a_delayed_fill_is_still_delayed),
		cmocka_unit_test(a_429_holds_across_the_restart),
		cmocka_unit_test(what_was_learnt_is_known_at_once),
		cmocka_unit_test(an_auto_limit_that_is_shut_before_it_is_learnt_stays_shut),
		cmocka_unit_test(the_tier_s_capacity_goes_with_the_model),
		cmocka_unit_test(what_the_policy_has_no_more_is_refused),
		cmocka_unit_test(a_smaller_limit_clips),
		cmocka_unit_test(only_what_has_changed_is_saved),
		cmocka_unit_test(what_is_restored_is_saved_again),
		cmocka_unit_test(a_state_from_the_future_does_not_stop_the_refill),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
