// A policy that changes while requests wait: nobody loses a place, no spent token comes back.
// What else the governor knows: govern_carry_test.c.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern_reload.h"

static void assert_one(struct running *r, uint64_t now_ns, uint64_t id, enum verdict verdict)
{
	struct decision d;

	assert_int_equal(governor_next_ns(r->w->g, now_ns), now_ns);
	assert_int_equal(governor_run(r->w->g, now_ns, &d, 1), 1);
	assert_int_equal(d.id, id);
	assert_int_equal(d.verdict, verdict);
}

static void levels_and_places_survive(void **state)
{
	(void)state;
	struct running r = running();
	struct decision d;
	uint64_t now_ns = 10 * S;

	world_limit(r.w, "l", RESOURCE_TOKENS, 60, NULL);
	world_limit(r.next, "l", RESOURCE_TOKENS, 120, NULL);
	begin(&r);
	ask_tokens(&r, 1, 50, 0);
	ask_tokens(&r, 2, 40, 0);
	ask_tokens(&r, 3, 10, 0);
	reload(&r, 10 * S);
	assert_near(level(r.w, "l", "", RESOURCE_TOKENS, 10 * S), 20);
	assert_int_equal(governor_waiting(r.w->g), 2);
	d = next_decision(r.w, &now_ns);
	assert_int_equal(now_ns, 20 * S); // 20 more, at 2 a second
	assert_int_equal(d.id, 2);
	assert_int_equal(d.waited_ns, 20 * S);
	assert_next(r.w, &now_ns, 3, VERDICT_ADMITTED, 25 * S);
	end(&r);
}

// What left before the reload is still known: it can be given back, corrected and learnt from.
static void what_left_before_is_still_known(void **state)
{
	(void)state;
	struct running r = running();

	world_limit(r.w, "l", RESOURCE_TOKENS, 60, "m");
	world_limit(r.next, "l", RESOURCE_TOKENS, 60, "m");
	begin(&r);
	ask_tokens(&r, 1, 30, 0);
	ask_tokens(&r, 2, 20, 0);
	reload(&r, S);
	assert_near(level(r.w, "l", "", RESOURCE_TOKENS, S), 11);
	governor_amend(r.w->g, 1, ASK(r.w, 1, 35).amounts, S);
	assert_near(level(r.w, "l", "", RESOURCE_TOKENS, S), 6);
	governor_refund(r.w->g, 2, S);
	assert_near(level(r.w, "l", "", RESOURCE_TOKENS, S), 6 + 20);
	struct outcome outcome = {
		.requests = {-1, -1, -1}, .tokens = {60, 3, 57}, .images = {-1, -1, -1}};
	governor_learn(r.w->g, 1, &outcome, S);
	assert_near(level(r.w, "l", "", RESOURCE_TOKENS, S), 3 + 1); // filled since it left
	governor_settle(r.w->g, 1, NULL, S);
	assert_int_equal(ask_tokens(&r, 1, 1, S), VERDICT_ADMITTED);
	end(&r);
}

static void a_smaller_limit_clips(void **state)
{
	(void)state;
	struct running r = running();

	world_limit(r.w, "l", RESOURCE_TOKENS, 60, NULL);
	world_limit(r.next, "l", RESOURCE_TOKENS, 6, NULL);
	begin(&r);
	ask_tokens(&r, 1, 10, 0);
	reload(&r, 0);
	assert_near(level(r.w, "l", "", RESOURCE_TOKENS, 0), 6);
	end(&r);
}

struct by_interval {
	double day, hour;
};

static void note_by_interval(void *ctx, const struct bucket_view *view)
{
	struct by_interval *found = ctx;

	if (view->interval_ns == DAY)
		found->day = view->level;
	if (view->interval_ns == HOUR)
		found->hour = view->level;
}

// The same name for another window or resource is another limit.
static void a_limit_is_told_by_name_resource_and_interval(void **state)
{
	(void)state;
	struct running r = running();

	world_limit(r.w, "l", RESOURCE_TOKENS, 60, NULL);
	world_limit(r.w, "l", RESOURCE_TOKENS, 1000, NULL)->interval_ns = DAY;
	world_limit(r.next, "l", RESOURCE_REQUESTS, 7, NULL);
	world_limit(r.next, "l", RESOURCE_TOKENS, 1000, NULL)->interval_ns = DAY;
	world_limit(r.next, "l", RESOURCE_TOKENS, 600, NULL)->interval_ns = HOUR;
	begin(&r);
	ask_tokens(&r, 1, 60, 0);
	reload(&r, 0);
	ask_tokens(&r, 2, 1, 0);
	assert_near(level(r.w, "l", "", RESOURCE_REQUESTS, 0), 6);
	struct by_interval found = {0};
	governor_each_bucket(r.w->g, 0, note_by_interval, &found);
	assert_near(found.day, 939);
	assert_near(found.hour, 599);
	end(&r);
}

static void what_is_free_now_goes(void **state)
{
	(void)state;
	struct running r = running();

	world_limit(r.w, "l", RESOURCE_TOKENS, 60, NULL);
	begin(&r);
	ask_tokens(&r, 1, 60, 0);
	ask_tokens(&r, 2, 60, 0);
	reload(&r, S);
	reload(&r, S); // changed again, before anyone has looked
	assert_one(&r, S, 2, VERDICT_ADMITTED);
	assert_int_equal(governor_waiting(r.w->g), 0);
	governor_settle(r.w->g, 1, NULL, S);
	governor_settle(r.w->g, 2, NULL, S);
	end(&r);
}

static void what_is_forbidden_now_is_denied(void **state)
{
	(void)state;
	struct running r = running();
	struct decision d;

	world_limit(r.w, "l", RESOURCE_TOKENS, 60, NULL);
	world_limit(r.next, "shut", RESOURCE_TOKENS, 0, NULL);
	begin(&r);
	ask_tokens(&r, 1, 60, 0);
	ask_tokens(&r, 2, 60, 0);
	ask_tokens(&r, 3, 60, 0);
	reload(&r, S);
	governor_withdraw(r.w->g, 3, false, S);
	assert_int_equal(governor_run(r.w->g, S, &d, 1), 1);
	assert_int_equal(d.verdict, VERDICT_DENIED);
	assert_string_equal(d.policy, "shut");
	assert_int_equal(governor_waiting(r.w->g), 0);
	assert_int_equal(governor_next_ns(r.w->g, S), UINT64_MAX);
	end(&r);
}

static void what_is_gone_is_forgotten(void **state)
{
	(void)state;
	struct running r = running();

	world_limit(r.w, "l", RESOURCE_TOKENS, 60, NULL);
	world_limit(r.next, "l", RESOURCE_TOKENS, 60, NULL);
	begin(&r);
	ask_tokens(&r, 1, 60, 0);
	ask_tokens(&r, 2, 60, 0);
	r.memory.of[2].is_gone = true;
	reload(&r, S);
	assert_int_equal(governor_waiting(r.w->g), 0);
	assert_int_equal(governor_next_ns(r.w->g, S), UINT64_MAX);
	end(&r);
}

static void a_new_team_counts_at_once(void **state)
{
	(void)state;
	struct running r = running();
	struct decision d;

	world_team(r.next, "out", 1)->deny = true;
	world_limit(r.w, "l", RESOURCE_TOKENS, 60, NULL);
	world_limit(r.next, "l", RESOURCE_TOKENS, 60, NULL);
	begin(&r);
	ask_tokens(&r, 1, 60, 0);
	ask_tokens(&r, 2, 60, 0);
	r.memory.team = "out";
	reload(&r, S);
	assert_int_equal(governor_run(r.w->g, S, &d, 1), 1);
	assert_string_equal(d.policy, "out");
	end(&r);
}

static void a_team_s_ceiling_keeps_its_level(void **state)
{
	(void)state;
	struct running r = running();

	world_team(r.w, "t", 1)->tpm = (struct rate){RATE_PERCENT, 50};
	world_team(r.next, "first", 1);
	world_team(r.next, "t", 1)->tpm = (struct rate){RATE_PERCENT, 25};
	world_limit(r.w, "l", RESOURCE_TOKENS, 600, NULL);
	world_limit(r.next, "l", RESOURCE_TOKENS, 600, NULL);
	begin(&r);
	r.memory.team = "t";
	ask_tokens(&r, 1, 250, 0);
	reload(&r, 0);
	assert_near(level(r.w, "team t", "l", RESOURCE_TOKENS, 0), 50);
	assert_near(level(r.w, "l", "", RESOURCE_TOKENS, 0), 350);
	end(&r);
}

// Labels are numbered otherwise by the new policy; keys must be the same.
static void a_label_with_another_number_is_the_same_label(void **state)
{
	(void)state;
	struct running r = running();

	world_key(world_limit(r.w, "l", RESOURCE_TOKENS, 60, NULL),
		  world_label(r.w, "http.header.x-user"));
	world_label(r.next, "http.header.x-other");
	world_key(world_limit(r.next, "l", RESOURCE_TOKENS, 60, NULL),
		  world_label(r.next, "http.header.x-user"));
	begin(&r);
	ask_running(&r, 1, (struct remembered){.tokens = 60, .user = "a"}, 0);
	ask_running(&r, 2, (struct remembered){.tokens = 60, .user = "a"}, 0);
	ask_running(&r, 3, (struct remembered){.tokens = 10, .user = "b"}, 0);
	reload(&r, S);
	assert_near(level(r.w, "l", "a", RESOURCE_TOKENS, S), 1);
	assert_near(level(r.w, "l", "b", RESOURCE_TOKENS, S), 51);
	assert_int_equal(governor_waiting(r.w->g), 1);
	end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels_and_places_survive),
		cmocka_unit_test(what_left_before_is_still_known),
		cmocka_unit_test(a_smaller_limit_clips),
		cmocka_unit_test(a_limit_is_told_by_name_resource_and_interval),
		cmocka_unit_test(what_is_free_now_goes),
		cmocka_unit_test(what_is_forbidden_now_is_denied),
		cmocka_unit_test(what_is_gone_is_forgotten),
		cmocka_unit_test(a_new_team_counts_at_once),
		cmocka_unit_test(a_team_s_ceiling_keeps_its_level),
		cmocka_unit_test(a_label_with_another_number_is_the_same_label),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
