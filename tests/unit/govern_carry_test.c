// What the governor has learnt, counted and promised survives a change of the policy.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern_reload.h"

static void auto_limits(struct world *w)
{
	struct limit *l = world_limit(w, "l", RESOURCE_TOKENS, INFINITY, NULL);

	l->is_auto = true;
	world_key(l, LABEL_MODEL);
}

static void learn(struct running *r, uint64_t id, double limit, double remaining, uint64_t now_ns)
{
	struct outcome outcome = {
		.requests = {-1, -1, -1}, .tokens = {limit, remaining, -1}, .images = {-1, -1, -1}};

	governor_learn(r->w->g, id, &outcome, now_ns);
}

static void what_was_learnt_is_still_known(void **state)
{
	(void)state;
	struct running r = running();
	struct bucket_view view;

	auto_limits(r.w);
	auto_limits(r.next);
	begin(&r);
	ask_tokens(&r, 1, 100, 0);
	learn(&r, 1, 6000, 300, 0);
	assert_int_equal(ask_tokens(&r, 2, 500, 0), VERDICT_QUEUED);
	reload(&r, S);
	view = bucket_of(r.w, "l", "m", RESOURCE_TOKENS, S);
	assert_true(view.is_learnt);
	assert_near(view.capacity, 6000);
	assert_near(view.level, 400);
	uint64_t now_ns = S;
	assert_next(r.w, &now_ns, 2, VERDICT_ADMITTED, 2 * S);
	end(&r);
}

static void a_written_limit_replaces_a_learnt_one(void **state)
{
	(void)state;
	struct running r = running();
	struct bucket_view view;

	auto_limits(r.w);
	world_key(world_limit(r.next, "l", RESOURCE_TOKENS, 1000, NULL), LABEL_MODEL);
	begin(&r);
	ask_tokens(&r, 1, 100, 0);
	learn(&r, 1, 6000, 300, 0);
	reload(&r, 0);
	view = bucket_of(r.w, "l", "m", RESOURCE_TOKENS, 0);
	assert_false(view.is_learnt);
	assert_near(view.capacity, 1000);
	assert_near(view.level, 300);
	end(&r);
}

static void a_shut_bucket_stays_shut(void **state)
{
	(void)state;
	struct running r = running();
	struct outcome outcome = {.requests = {-1, -1, -1},
				  .tokens = {-1, -1, -1},
				  .images = {-1, -1, -1},
				  .shut_ns = 30 * S};
	uint64_t now_ns = S;

	auto_limits(r.w); // not learnt: the 429 is all that is known
	auto_limits(r.next);
	begin(&r);
	ask_tokens(&r, 1, 1, 0);
	governor_learn(r.w->g, 1, &outcome, 0);
	ask_tokens(&r, 2, 1, 0);
	reload(&r, S);
	assert_next(r.w, &now_ns, 2, VERDICT_ADMITTED, 30 * S);
	end(&r);
}

static void a_place_kept_for_a_retry_is_still_kept(void **state)
{
	(void)state;
	struct running r = running();
	uint64_t now_ns = S;
	struct ask ask;

	world_limit(r.w, "l", RESOURCE_TOKENS, 60, NULL);
	world_limit(r.next, "l", RESOURCE_TOKENS, 60, NULL);
	begin(&r);
	ask_tokens(&r, 1, 60, 0);
	r.memory.of[2] = (struct remembered){.tokens = 10, .model = "m"};
	ask = ask_for(&r.memory, 2);
	ask.retry_key = 222;
	submit(r.w, ask, 0);
	ask_tokens(&r, 3, 10, 0);
	governor_withdraw(r.w->g, 2, true, 0);
	reload(&r, S);
	ask = ask_for(&r.memory, 2);
	ask.retry_key = 222;
	submit(r.w, ask, 2 * S);
	assert_next(r.w, &now_ns, 2, VERDICT_ADMITTED, 10 * S);
	assert_next(r.w, &now_ns, 3, VERDICT_ADMITTED, 20 * S);
	end(&r);
}

static void bump_rules(struct world *w)
{
	struct rule *rule = world_rule(w, LABEL_PRIORITY);

	rule->for_each = world_label(w, "http.header.x-review");
	rule->add = 1;
	rule->at_most = 50;
	world_limit(w, "l", RESOURCE_REQUESTS, 60, NULL)->capacity = 1;
}

// The last step of a long review comes first, and still does after a reload.
static void sequences_go_on_and_waiting_bumps_hold(void **state)
{
	(void)state;
	struct running r = running();
	uint64_t now_ns = S / 2;

	bump_rules(r.w);
	bump_rules(r.next);
	begin(&r);
	for (uint64_t id = 1; id <= 3; id++) // 1 leaves
		ask_running(&r, id, (struct remembered){.review = "a"}, 0);
	ask_running(&r, 4, (struct remembered){.review = "b"}, 0);
	reload(&r, S / 2);
	ask_running(&r, 5, (struct remembered){.review = "c"}, S / 2);
	ask_running(&r, 6, (struct remembered){.review = "a"}, S / 2);
	assert_int_not_equal(next_decision(r.w, &now_ns).id, 4);
	assert_int_not_equal(next_decision(r.w, &now_ns).id, 4);
	end(&r);
}

static void tiers(struct world *w)
{
	world_workload(&w->schedulers[0], "later", world_equals(w, LABEL_MODEL, "later"), 1)->tier =
		1;
	world_limit(w, "l", RESOURCE_REQUESTS, 6, NULL)->capacity = 1;
}

// A policy that is reloaded every half minute must not keep low tiers waiting for ever.
static void ageing_goes_on(void **state)
{
	(void)state;
	struct running r = running();
	uint64_t now_ns = 0, next_id = 10, reload_ns = 30 * S;

	tiers(r.w);
	tiers(r.next);
	begin(&r);
	ask_running(&r, 1, (struct remembered){.model = "now"}, 0);
	ask_running(&r, 2, (struct remembered){.model = "later"}, 0);
	for (int i = 0; i < 3; i++)
		ask_running(&r, next_id++, (struct remembered){.model = "now"}, 0);
	while (now_ns < 150 * S) {
		if (next_decision(r.w, &now_ns).id == 2)
			break;
		ask_running(&r, next_id++, (struct remembered){.model = "now"}, now_ns);
		if (now_ns >= reload_ns) {
			reload(&r, now_ns);
			reload_ns += 30 * S;
		}
	}
	assert_in_range(now_ns, 60 * S, 90 * S);
	end(&r);
}

static void note_view(void *ctx, const struct limit_view *view)
{
	*(struct limit_view *)ctx = *view;
}

// Counters that fall back look like a restart to who draws graphs of them.
static void counters_go_on(void **state)
{
	(void)state;
	struct running r = running();
	struct limit_view view;

	world_limit(r.w, "l", RESOURCE_TOKENS, 60, NULL);
	world_limit(r.next, "new", RESOURCE_TOKENS, 600, NULL);
	world_limit(r.next, "l", RESOURCE_TOKENS, 60, NULL);
	begin(&r);
	ask_tokens(&r, 1, 60, 0);
	ask_tokens(&r, 2, 30, 0);
	struct decision d;
	assert_int_equal(governor_run(r.w->g, 0, &d, 1), 0);
	reload(&r, 10 * S);
	governor_each_limit(r.w->g, 10 * S, note_view, &view);
	assert_string_equal(view.limit->name, "l");
	assert_int_equal(view.n_offered, 2);
	assert_int_equal(view.n_accepted, 1);
	assert_near(view.offered, 90);
	assert_near(view.accepted, 60);
	assert_true(view.saturated_ns == 10 * S);
	uint64_t now_ns = 10 * S;
	next_decision(r.w, &now_ns);
	governor_each_limit(r.w->g, now_ns, note_view, &view);
	assert_int_equal(view.n_accepted, 2);
	assert_true(view.saturated_ns == 30 * S);
	assert_near(view.saturated_filled, 30);
	end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_learnt_is_still_known),
		cmocka_unit_test(a_written_limit_replaces_a_learnt_one),
		cmocka_unit_test(a_shut_bucket_stays_shut),
		cmocka_unit_test(a_place_kept_for_a_retry_is_still_kept),
		cmocka_unit_test(sequences_go_on_and_waiting_bumps_hold),
		cmocka_unit_test(ageing_goes_on),
		cmocka_unit_test(counters_go_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
