// Waiting that ends otherwise than by the request's turn: too long, connection closed, and back on
// a new connection.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern/absence.h"
#include "govern_world.h"

// One limit of 60 tokens a minute, which request 1 has emptied at 0.
static struct world *emptied(uint64_t max_wait_ns)
{
	struct world *w = world_new();

	w->policy.max_wait_ns = max_wait_ns;
	world_limit(w, "l", RESOURCE_TOKENS, 60, NULL);
	return w;
}

static void empty(struct world *w)
{
	world_begin(w, 0);
	submit_model(w, 1, "m", 60, 0);
}

static void waiting_too_long_is_a_time_out(void **state)
{
	(void)state;
	struct world *w = emptied(5 * S);
	uint64_t now_ns = 0;

	empty(w);
	submit_model(w, 2, "m", 10, 0);
	submit_model(w, 3, "m", 6, S); // behind 2, and may go when 2 has given up
	assert_next(w, &now_ns, 2, VERDICT_TIMED_OUT, 5 * S);
	assert_next(w, &now_ns, 3, VERDICT_ADMITTED, 6 * S);
	world_free(w);
}

static void a_time_out_draws_nothing(void **state)
{
	(void)state;
	struct world *w = emptied(5 * S);
	uint64_t now_ns = 0;

	empty(w);
	submit_model(w, 2, "m", 10, 0);
	assert_next(w, &now_ns, 2, VERDICT_TIMED_OUT, 5 * S);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, 5 * S), 5);
	assert_int_equal(governor_waiting(w->g), 0);
	world_free(w);
}

static void waiting_too_long_may_also_let_go(void **state)
{
	(void)state;
	struct world *w = emptied(5 * S);
	uint64_t now_ns = 0;

	w->policy.on_max_wait = MAX_WAIT_ADMIT;
	empty(w);
	submit_model(w, 2, "m", 10, 0);
	assert_next(w, &now_ns, 2, VERDICT_ADMITTED, 5 * S);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, now_ns), -5);
	world_free(w);
}

static void the_shortest_of_the_timeouts_holds(void **state)
{
	(void)state;
	struct world *w = emptied(50 * S);
	struct workload *hasty = world_workload(&w->schedulers[0], "hasty",
						world_equals(w, LABEL_MODEL, "hasty"), 1);
	uint64_t now_ns = 0;

	hasty->queue_timeout_ns = 20 * S;
	empty(w);
	submit_model(w, 2, "patient", 59, 0);
	submit_model(w, 3, "hasty", 59, 0);
	submit(w, ASK(w, 4, 59, {LABEL_MODEL, "hasty"}, {LABEL_QUEUE_TIMEOUT, "10s"}), 0);
	submit(w, ASK(w, 5, 59, {LABEL_MODEL, "hasty"}, {LABEL_QUEUE_TIMEOUT, "30s"}), 0);
	submit(w, ASK(w, 6, 59, {LABEL_QUEUE_TIMEOUT, "soon"}), 0);
	assert_next(w, &now_ns, 4, VERDICT_TIMED_OUT, 10 * S);
	assert_next(w, &now_ns, 3, VERDICT_TIMED_OUT, 20 * S);
	assert_next(w, &now_ns, 5, VERDICT_TIMED_OUT, 20 * S);
	assert_next(w, &now_ns, 2, VERDICT_TIMED_OUT, 50 * S);
	assert_next(w, &now_ns, 6, VERDICT_TIMED_OUT, 50 * S); // what is no duration says nothing
	world_free(w);
}

static void a_closed_connection_leaves_the_queue(void **state)
{
	(void)state;
	struct world *w = emptied(600 * S);
	uint64_t now_ns = 0;

	empty(w);
	submit_model(w, 2, "m", 50, 0);
	submit_model(w, 3, "m", 5, 0);
	governor_withdraw(w->g, 2, false, S);
	governor_withdraw(w->g, 1, false, S);  // has left: nothing to withdraw
	governor_withdraw(w->g, 77, false, S); // never seen
	assert_int_equal(governor_waiting(w->g), 1);
	assert_next(w, &now_ns, 3, VERDICT_ADMITTED, 5 * S);
	world_free(w);
}

static void settling_a_request_that_waits_withdraws_it(void **state)
{
	(void)state;
	struct world *w = emptied(600 * S);
	double used[N_RESOURCES] = {0};

	empty(w);
	submit_model(w, 2, "m", 50, 0);
	governor_settle(w->g, 2, used, S);
	assert_int_equal(governor_waiting(w->g), 0);
	assert_int_equal(submit_model(w, 2, "m", 1, S), VERDICT_ADMITTED);
	world_free(w);
}

static void a_refund_lets_the_next_go(void **state)
{
	(void)state;
	struct world *w = emptied(600 * S);
	uint64_t now_ns = 0;

	empty(w);
	submit_model(w, 2, "m", 50, 0);
	governor_refund(w->g, 1, 0);
	governor_refund(w->g, 1, 0); // once
	assert_next(w, &now_ns, 2, VERDICT_ADMITTED, 0);
	assert_near(level(w, "l", "", RESOURCE_TOKENS, 0), 10);
	world_free(w);
}

static enum verdict submit_retry(struct world *w, uint64_t id, uint64_t retry_key, double tokens,
				 uint64_t now_ns)
{
	struct ask ask = ASK(w, id, tokens, {LABEL_MODEL, "m"});

	ask.retry_key = retry_key;
	return submit(w, ask, now_ns);
}

// A server closes connections that idle for a minute. The client's retry must not go to the end of
// a queue of which it was the head.
static void a_retry_keeps_its_place(void **state)
{
	(void)state;
	struct world *w = emptied(UINT64_MAX);
	uint64_t now_ns = 2 * S;
	struct decision d;

	empty(w);
	submit_retry(w, 2, 222, 10, 0);
	submit_retry(w, 3, 333, 10, S);
	governor_withdraw(w->g, 2, true, 2 * S);
	assert_int_equal(submit_retry(w, 4, 222, 10, 3 * S), VERDICT_QUEUED);
	assert_int_equal(governor_waiting(w->g), 2);
	assert_next(w, &now_ns, 4, VERDICT_ADMITTED, 10 * S);
	assert_next(w, &now_ns, 3, VERDICT_ADMITTED, 20 * S);
	// And its age: how long the program has waited is what people see.
	submit_retry(w, 5, 555, 10, 20 * S);
	governor_withdraw(w->g, 5, true, 22 * S);
	submit_retry(w, 6, 555, 10, 24 * S);
	now_ns = 24 * S;
	d = next_decision(w, &now_ns);
	assert_int_equal(d.id, 6);
	assert_int_equal(d.waited_ns, 10 * S);
	world_free(w);
}

static void a_retry_comes_before_those_that_came_while_it_was_gone(void **state)
{
	(void)state;
	struct world *w = emptied(UINT64_MAX);
	uint64_t now_ns = 0;

	empty(w);
	submit_retry(w, 2, 222, 10, 0);
	governor_withdraw(w->g, 2, true, S); // nobody waits now
	for (uint64_t id = 10; id < 15; id++)
		submit_retry(w, id, id, 10, 2 * S);
	submit_retry(w, 3, 222, 10, 4 * S);
	assert_next(w, &now_ns, 3, VERDICT_ADMITTED, 10 * S);
	assert_next(w, &now_ns, 10, VERDICT_ADMITTED, 20 * S);
	world_free(w);
}

// The place is not the request's for ever, nor anybody else's.
static void a_place_is_kept_for_a_minute_and_for_that_request_only(void **state)
{
	(void)state;
	struct world *w = emptied(UINT64_MAX);
	uint64_t now_ns = 0;

	w->limits[0].fill_amount = 1; // a minute and more for each
	empty(w);
	submit_retry(w, 2, 222, 10, 0);
	submit_retry(w, 3, 333, 10, S);
	submit_retry(w, 4, 444, 10, 2 * S);
	governor_withdraw(w->g, 2, true, 3 * S);
	governor_withdraw(w->g, 3, false, 3 * S); // gave up
	submit_retry(w, 5, 0, 10, 4 * S);
	submit_retry(w, 6, 333, 10, 5 * S);
	submit_retry(w, 7, 222, 10, 3 * S + ABSENCE_NS);
	const uint64_t expected[] = {4, 5, 6, 7};
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(next_decision(w, &now_ns).id, expected[i]);
	world_free(w);
}

static void a_place_is_given_back_once(void **state)
{
	(void)state;
	struct world *w = emptied(UINT64_MAX);
	uint64_t now_ns = 0;

	empty(w);
	submit_retry(w, 2, 222, 10, 0);
	submit_retry(w, 3, 333, 10, S);
	governor_withdraw(w->g, 2, true, 2 * S);
	submit_retry(w, 4, 222, 10, 3 * S);
	submit_retry(w, 5, 222, 10, 3 * S); // the same body again, but another request
	assert_next(w, &now_ns, 4, VERDICT_ADMITTED, 10 * S);
	assert_next(w, &now_ns, 3, VERDICT_ADMITTED, 20 * S);
	assert_next(w, &now_ns, 5, VERDICT_ADMITTED, 30 * S);
	world_free(w);
}

// A program that is torn from its queue for good must not be waited for: the minute is about its
// place, not about the tokens.
static void nothing_is_held_for_one_that_is_gone(void **state)
{
	(void)state;
	struct world *w = emptied(UINT64_MAX);
	uint64_t now_ns = 0;

	empty(w);
	submit_retry(w, 2, 222, 10, 0);
	submit_retry(w, 3, 333, 5, S);
	governor_withdraw(w->g, 2, true, 2 * S);
	assert_next(w, &now_ns, 3, VERDICT_ADMITTED, 5 * S);
	assert_int_equal(submit_retry(w, 4, 222, 10, 15 * S), VERDICT_ADMITTED);
	assert_int_equal(w->last.waited_ns, 15 * S);
	world_free(w);
}

// Its wait began when it first came: a client that retries for ever must not wait for ever.
static void a_retry_times_out_when_the_first_would_have(void **state)
{
	(void)state;
	struct world *w = emptied(8 * S);
	uint64_t now_ns = 0;

	empty(w);
	submit_retry(w, 2, 222, 60, 0);
	governor_withdraw(w->g, 2, true, 2 * S);
	submit_retry(w, 3, 222, 60, 4 * S);
	assert_next(w, &now_ns, 3, VERDICT_TIMED_OUT, 8 * S);
	world_free(w);
}

// Connections that come and go without end must not fill the memory.
static void the_oldest_places_are_forgotten(void **state)
{
	(void)state;
	struct world *w = emptied(UINT64_MAX);

	empty(w);
	for (uint64_t id = 2; id < 2 + 2 * ABSENCES_KEPT; id++) {
		submit_retry(w, id, id, 10, id);
		governor_withdraw(w->g, id, true, id);
	}
	assert_true(w->g->absences.count <= ABSENCES_KEPT);
	submit_retry(w, 1000000, 2, 10, 5 * S);
	submit_retry(w, 1000001, 1 + 2 * ABSENCES_KEPT, 10, 6 * S);
	uint64_t now_ns = 6 * S;
	assert_next(w, &now_ns, 1000001, VERDICT_ADMITTED, 10 * S);
	assert_next(w, &now_ns, 1000000, VERDICT_ADMITTED, 20 * S);
	world_free(w);
}

// Low tiers wait for high ones without end, but for ageing, which counts from when it first came.
static void a_retry_keeps_what_it_has_aged(void **state)
{
	(void)state;
	struct world *w = emptied(UINT64_MAX);
	struct workload *later =
		world_workload(&w->schedulers[0], "later", world_equals(w, LABEL_MODEL, "m"), 1);
	uint64_t now_ns = 0, id = 100;

	later->tier = 1;
	empty(w);
	submit_retry(w, 2, 222, 10, 0);
	for (int i = 0; i < 3; i++)
		submit_model(w, id++, "urgent", 10, 0);
	while (now_ns < 50 * S) { // urgent ones come without end
		assert_int_not_equal(next_decision(w, &now_ns).id, 2);
		submit_model(w, id++, "urgent", 10, now_ns);
	}
	governor_withdraw(w->g, 2, true, now_ns);
	submit_retry(w, 3, 222, 10, now_ns + S);
	while (now_ns < 120 * S) {
		if (next_decision(w, &now_ns).id == 3)
			break;
		submit_model(w, id++, "urgent", 10, now_ns);
	}
	if (now_ns > 100 * S)
		fail_msg("it left after %.0f s, although it counts as urgent from 60 s on",
			 (double)now_ns / S);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waiting_too_long_is_a_time_out),
		cmocka_unit_test(a_time_out_draws_nothing),
		cmocka_unit_test(waiting_too_long_may_also_let_go),
		cmocka_unit_test(the_shortest_of_the_timeouts_holds),
		cmocka_unit_test(a_closed_connection_leaves_the_queue),
		cmocka_unit_test(settling_a_request_that_waits_withdraws_it),
		cmocka_unit_test(a_refund_lets_the_next_go),
		cmocka_unit_test(a_retry_keeps_its_place),
		cmocka_unit_test(a_retry_comes_before_those_that_came_while_it_was_gone),
		cmocka_unit_test(a_place_is_kept_for_a_minute_and_for_that_request_only),
		cmocka_unit_test(a_place_is_given_back_once),
		cmocka_unit_test(nothing_is_held_for_one_that_is_gone),
		cmocka_unit_test(a_retry_times_out_when_the_first_would_have),
		cmocka_unit_test(the_oldest_places_are_forgotten),
		cmocka_unit_test(a_retry_keeps_what_it_has_aged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
