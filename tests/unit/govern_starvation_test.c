// Nobody waits for ever, whatever others send. The bound is that of contest.h: before a request of
// `amount`, in a share of that weight and priority, the limit lets through at most
//
//	W × amount / (weight × priority) + (a largest request of each contender)
//
// where W is the sum of weight × priority of all that contend, itself included. Here adversaries do
// their worst against one request, and what they got before it is counted. Tiers above 0 have no
// such bound; there ageing lifts a request. A request that needs several limits is held for before
// it would leave one that suffices, if that is worth it; but a fast limit never stands still for a
// slow one.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "govern/hashtab.h"
#include "govern_world.h"

enum { VICTIM = 1, FIRST_ID = 1000, TPM = 60000, PER_S = TPM / 60, MOST_ADMISSIONS = 200000 };

// Who is admitted is replaced by another of its kind (odd or even id), so `backlog` of them wait at
// all times.
struct attack {
	struct world *w;
	struct ask (*next)(struct attack *attack, uint64_t id);
	double amount; // of each
	size_t backlog, label;
	const char *model;
	struct ask victim;
	const char *victims_labels[WORLD_LABELS]; // the world keeps only those of the last few
	uint64_t gone_after_ns, back_after_ns; // its connection is closed again and again; 0: never
	// What became of it.
	double served; // of the adversaries, before it
	uint64_t waited_ns;
	// So far.
	uint64_t now_ns, next_id[2], came_ns, event_ns;
	bool is_away;
	char text[64];
};

static void send(struct attack *a, size_t kind)
{
	submit(a->w, a->next(a, a->next_id[kind]), a->now_ns);
	a->next_id[kind] += 2;
}

// Closes the victim's connection, or opens another.
static void reconnect(struct attack *a)
{
	a->now_ns = a->event_ns;
	if (a->is_away)
		assert_int_equal(submit(a->w, a->victim, a->now_ns), VERDICT_QUEUED);
	else
		governor_withdraw(a->w->g, VICTIM, true, a->now_ns);
	a->is_away = !a->is_away;
	a->event_ns = a->now_ns + (a->is_away ? a->back_after_ns : a->gone_after_ns);
}

static void begin(struct attack *a)
{
	memcpy(a->victims_labels, a->victim.labels, sizeof(a->victims_labels));
	a->victim.labels = a->victims_labels;
	a->next_id[0] = FIRST_ID;
	a->next_id[1] = FIRST_ID + 1;
	a->event_ns = UINT64_MAX;
	submit(a->w, ASK(a->w, 0, TPM), 0); // empties what it applies to
	for (size_t i = 0; i < a->backlog; i++)
		send(a, i % 2);
}

static void send_victim(struct attack *a)
{
	a->came_ns = a->now_ns;
	assert_int_equal(submit(a->w, a->victim, a->now_ns), VERDICT_QUEUED);
	if (a->gone_after_ns)
		a->event_ns = a->now_ns + a->gone_after_ns;
}

// The victim comes when the adversaries have had the limit for themselves for a while.
static void run(struct attack *a)
{
	struct decision d;

	begin(a);
	for (size_t n = 0; n < MOST_ADMISSIONS;) {
		uint64_t next_ns = governor_next_ns(a->w->g, a->now_ns);

		if (n == 5 * a->backlog && !a->came_ns)
			send_victim(a);
		if (a->event_ns <= next_ns) {
			reconnect(a);
			continue;
		}
		a->now_ns = next_ns;
		if (!governor_run(a->w->g, a->now_ns, &d, 1))
			continue;
		n++;
		assert_int_equal(d.verdict, VERDICT_ADMITTED);
		governor_settle(a->w->g, d.id, NULL, a->now_ns);
		if (d.id == VICTIM) {
			a->waited_ns = a->now_ns - a->came_ns;
			return;
		}
		a->served += a->came_ns ? a->amount : 0;
		send(a, d.id % 2);
	}
	fail_msg("it still waits, and %.0f tokens have come before it", a->served);
}

static void assert_within(const char *what, const struct attack *a, double bound)
{
	print_message("%s: %.0f tokens came before it (bound %.0f), it waited %.1f s\n", what,
		      a->served, bound, (double)a->waited_ns / S);
	assert_true(a->served <= bound);
}

static struct world *one_limit(void)
{
	struct world *w = world_new();

	world_limit(w, "l", RESOURCE_TOKENS, TPM, NULL);
	return w;
}

// Each request is a user of its own.
static struct ask of_a_new_user(struct attack *a, uint64_t id)
{
	snprintf(a->text, sizeof(a->text), "user %llu", (unsigned long long)id);
	return ASK(a->w, id, a->amount, {a->label, a->text});
}

static void new_users_all_the_time(void **state)
{
	struct world *w = one_limit();
	size_t user = world_label(w, "http.header.x-user");
	struct attack a = {
		.w = w, .next = of_a_new_user, .amount = 100, .backlog = 50, .label = user};

	(void)state;
	w->schedulers[0].fairness_label = user;
	world_begin(w, 0);
	a.victim = ASK(w, VICTIM, 2000, {user, "patient"});
	run(&a);
	assert_within("new users", &a, 51 * 2000 + 50 * 100);
	world_free(w);
}

static struct ask more_urgent(struct attack *a, uint64_t id)
{
	double priority = fmin(1e6, pow(2, (double)(id - FIRST_ID + 1)));

	snprintf(a->text, sizeof(a->text), "%.3f", priority);
	return ASK(a->w, id, a->amount, {LABEL_PRIORITY, a->text});
}

// As high as a priority can be, and so a million times as heavy.
static void ever_higher_priorities(void **state)
{
	struct world *w = one_limit();
	struct attack a = {.w = w, .next = more_urgent, .amount = 10000, .backlog = 5};

	(void)state;
	world_begin(w, 0);
	a.victim = ASK(w, VICTIM, 1, {LABEL_PRIORITY, "1"});
	run(&a);
	assert_within("higher priorities", &a, (5 * 1e6 + 1) * 1 + 5 * 10000);
	world_free(w);
}

static struct ask small(struct attack *a, uint64_t id)
{
	return of_team(ASK(a->w, id, a->amount, {LABEL_MODEL, a->model}), &a->w->teams[0]);
}

static void small_requests_against_a_large_one(void **state)
{
	const double sizes[] = {TPM / 2, TPM, 2 * TPM};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct world *w = one_limit();
		struct attack a = {.w = w, .next = small, .amount = 10, .backlog = 20};

		world_team(w, "small", 1);
		world_begin(w, 0);
		a.victim = of_team(ASK(w, VICTIM, sizes[i]), world_team(w, "large", 1));
		run(&a);
		assert_within("small ones", &a, 2 * sizes[i] + 10);
		world_free(w);
	}
}

// In its own share, nothing that comes later comes before it.
static void small_requests_of_the_same_kind_do_not_overtake(void **state)
{
	struct world *w = one_limit();
	struct attack a = {.w = w, .next = small, .amount = 10, .backlog = 20};

	(void)state;
	world_team(w, "small", 1);
	world_begin(w, 0);
	a.victim = of_team(ASK(w, VICTIM, TPM), &w->teams[0]);
	run(&a);
	assert_within("its own kind", &a, 20 * 10);
	world_free(w);
}

// Its server closes connections that are idle for 5 s; the client comes back half a second later.
static void losing_its_connection_again_and_again(void **state)
{
	struct world *w = one_limit();
	struct attack a = {.w = w, .next = small, .amount = 10, .backlog = 20};

	(void)state;
	world_team(w, "small", 1);
	world_begin(w, 0);
	a.victim = of_team(ASK(w, VICTIM, 4 * PER_S), world_team(w, "large", 1));
	a.victim.retry_key = 7;
	a.gone_after_ns = 5 * S;
	a.back_after_ns = S / 2;
	run(&a);
	assert_within("reconnecting", &a, 2 * 4 * PER_S + 10);
	world_free(w);
}

static void a_late_tier_grows_old(void **state)
{
	struct world *w = one_limit();
	struct attack a = {.w = w, .next = small, .amount = 10, .backlog = 20};

	(void)state;
	world_team(w, "small", 1);
	world_team(w, "late", 1)->tier = 2;
	world_begin(w, 0);
	a.victim = of_team(ASK(w, VICTIM, 100), &w->teams[1]);
	run(&a);
	assert_within("tier 2", &a, 2 * 60 * PER_S + 2 * 100 + 10);
	assert_true(a.waited_ns >= 60 * S); // else tiers mean nothing
	world_free(w);
}

static struct ask of_a_or_b(struct attack *a, uint64_t id)
{
	return of_team(ASK(a->w, id, a->amount, {LABEL_MODEL, id % 2 ? "a" : "b"}),
		       &a->w->teams[0]);
}

// It needs two limits at once, each of which others empty as soon as it fills.
static void two_limits_that_are_never_full_together(void **state)
{
	static char *const names[] = {"l", "m"}, *const models[] = {"[ac]", "[bc]"};
	const double amounts[] = {TPM / 100, TPM / 4, TPM};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct world *w = world_new();
		struct attack a = {.w = w, .next = of_a_or_b, .amount = 100, .backlog = 40};

		for (size_t j = 0; j < 2; j++)
			world_limit(w, names[j], RESOURCE_TOKENS, TPM, models[j]);
		world_team(w, "a and b", 1);
		world_team(w, "both", 1);
		world_begin(w, 0);
		a.victim = of_team(ASK(w, VICTIM, amounts[i], {LABEL_MODEL, "c"}), &w->teams[1]);
		assert_int_equal(submit(w, ASK(w, 2, TPM, {LABEL_MODEL, "c"}), 0),
				 VERDICT_ADMITTED);
		run(&a);
		assert_within("two limits", &a, 4 * (2 * amounts[i] + 100));
		world_free(w);
	}
}

// The small ones wait for their turn at another limit, and come from there to the one that the
// large one waits for.
static void small_requests_that_come_by_another_limit(void **state)
{
	struct world *w = one_limit();
	struct attack a = {.w = w, .next = small, .amount = 100, .backlog = 20};

	(void)state;
	world_limit(w, "requests", RESOURCE_REQUESTS, 590, "small");
	world_team(w, "small", 1);
	world_team(w, "large", 1);
	world_begin(w, 0);
	a.model = "small";
	struct ask all = ASK(w, 2, 0, {LABEL_MODEL, "small"});
	all.amounts[RESOURCE_REQUESTS] = 590;
	assert_int_equal(submit(w, all, 0), VERDICT_ADMITTED);
	a.victim = of_team(ASK(w, VICTIM, TPM / 2, {LABEL_MODEL, "large"}), &w->teams[1]);
	run(&a);
	assert_within("by another limit", &a, 2 * TPM / 2 + 100);
	world_free(w);
}

// It is held for until its limits suffice together; when one of them is shut, the others reopen.
static void a_429_ends_a_hold(void **state)
{
	struct world *w = world_new();
	struct outcome o = {.requests = {-1, -1, -1},
			    .tokens = {-1, -1, -1},
			    .images = {-1, -1, -1},
			    .shut_ns = HOUR};
	struct decision d;
	uint64_t now_ns;

	(void)state;
	world_limit(w, "a", RESOURCE_TOKENS, TPM, "[ac]");
	world_limit(w, "b", RESOURCE_TOKENS, TPM, "[bc]");
	world_begin(w, 0);
	submit_model(w, 10, "a", TPM, 0);
	submit_model(w, 11, "b", TPM, 0);
	submit_model(w, VICTIM, "c", 10 * PER_S, 0);
	submit_model(w, 12, "a", 1, 0); // behind it
	// Just before a suffices, b is emptied.
	assert_int_equal(submit_model(w, 13, "b", 9 * PER_S, 10 * S - MS), VERDICT_ADMITTED);
	for (now_ns = 10 * S; now_ns < 15 * S; now_ns += S)
		assert_int_equal(governor_run(w->g, now_ns, &d, 1), 0);
	governor_learn(w->g, 11, &o, now_ns);
	assert_next(w, &now_ns, 12, VERDICT_ADMITTED, now_ns);
	world_free(w);
}

// Two limits, of a day and of a minute. A request that needs hours of the day's must not keep the
// minute's closed meanwhile, nor lose those hours for want of a second of the minute's.
static void a_fast_limit_does_not_stand_still_for_a_slow_one(void **state)
{
	enum { DAYS_TOKENS = 864000, HOURS_TOKENS = 86400, REFILL_S = 8640 };
	struct world *w = world_new();
	struct attack a = {.w = w, .next = of_a_or_b, .amount = 100, .backlog = 40};
	uint64_t last_b_ns = 0, longest_gap_ns = 0;
	struct decision d = {0};

	(void)state;
	world_limit(w, "day", RESOURCE_TOKENS, DAYS_TOKENS, "[ac]")->interval_ns = DAY;
	world_limit(w, "minute", RESOURCE_REQUESTS, 60, "[bc]");
	world_team(w, "a and b", 1);
	world_team(w, "both", 1);
	world_begin(w, 0);
	for (uint64_t id = 10; id < 70; id++)
		assert_int_equal(submit_model(w, id, "b", 1, 0), VERDICT_ADMITTED);
	// There is enough of the day's when it comes, but not when its second is over.
	a.victim = of_team(ASK(w, VICTIM, HOURS_TOKENS, {LABEL_MODEL, "c"}), &w->teams[1]);
	assert_int_equal(submit(w, a.victim, 0), VERDICT_QUEUED);
	assert_int_equal(submit_model(w, 70, "a", DAYS_TOKENS, 0), VERDICT_ADMITTED);
	begin(&a);
	for (size_t n = 0; n < MOST_ADMISSIONS && d.id != VICTIM; n++) {
		d = next_decision(w, &a.now_ns);
		governor_settle(w->g, d.id, NULL, a.now_ns);
		if (d.id == VICTIM)
			continue;
		send(&a, d.id % 2);
		if (d.id % 2)
			continue;
		longest_gap_ns = fmax((double)longest_gap_ns, (double)(a.now_ns - last_b_ns));
		last_b_ns = a.now_ns;
	}
	assert_int_equal(d.id, VICTIM);
	print_message("a day's and a minute's limit: it waited %.0f s, the minute's stood still "
		      "for %.1f s\n",
		      (double)a.now_ns / S, (double)longest_gap_ns / S);
	assert_true(longest_gap_ns <= 2 * S && a.now_ns - last_b_ns <= 2 * S);
	assert_true(a.now_ns <= (2 * REFILL_S + 2) * S);
	world_free(w);
}

// A thousand teams of one request each at a time: each has its turn.
static void a_thousand_teams(void **state)
{
	enum { TEAMS = 1000, ROUNDS = 20 };
	static struct team teams[TEAMS];
	static double served_before[TEAMS], amounts[TEAMS];
	struct world *w = one_limit();
	double served = 0, worst = 0;
	uint64_t now_ns = 0, seed = 1;

	(void)state;
	for (size_t i = 0; i < TEAMS; i++)
		teams[i] = (struct team){.name = "team", .weight = 1, .priority = 1};
	w->policy.teams = teams;
	w->policy.n_teams = TEAMS;
	world_begin(w, 0);
	assert_int_equal(submit(w, ASK(w, TEAMS, TPM), 0), VERDICT_ADMITTED);
	for (size_t n = 0; n < TEAMS * (ROUNDS + 1); n++) {
		size_t i = n;

		if (n >= TEAMS) {
			struct decision d = next_decision(w, &now_ns);

			i = d.id;
			governor_settle(w->g, d.id, NULL, now_ns);
			worst = fmax(worst, served - served_before[i] - TEAMS * amounts[i]);
			served += amounts[i];
		}
		seed = hash_mix(seed, 1);
		amounts[i] = 1 + (double)(seed % 1000);
		served_before[i] = served;
		submit(w, of_team(ASK(w, i, amounts[i]), &teams[i]), now_ns);
	}
	print_message("a thousand teams: at most %.0f tokens more than a thousand times its own "
		      "came before a request (bound %d)\n",
		      worst, TEAMS * 1000);
	assert_true(worst <= TEAMS * 1000);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_users_all_the_time),
		cmocka_unit_test(ever_higher_priorities),
		cmocka_unit_test(small_requests_against_a_large_one),
		cmocka_unit_test(small_requests_of_the_same_kind_do_not_overtake),
		cmocka_unit_test(losing_its_connection_again_and_again),
		cmocka_unit_test(a_late_tier_grows_old),
		cmocka_unit_test(two_limits_that_are_never_full_together),
		cmocka_unit_test(small_requests_that_come_by_another_limit),
		cmocka_unit_test(a_429_ends_a_hold),
		cmocka_unit_test(a_fast_limit_does_not_stand_still_for_a_slow_one),
		cmocka_unit_test(a_thousand_teams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
