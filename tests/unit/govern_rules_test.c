// Labels that a policy derives from others, and priorities that rise with each further request.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern/rules.h"
#include "govern_world.h"

struct desk {
	struct world *w;
	size_t reason, kind, review;
	struct rules rules;
};

// Rules are to be added, then desk_begin().
static struct desk desk_new(void)
{
	struct desk desk = {.w = world_new()};

	desk.reason = world_label(desk.w, "http.header.x-product-reason");
	desk.review = world_label(desk.w, "http.header.x-review-id");
	desk.kind = world_label(desk.w, "kind");
	return desk;
}

static void desk_begin(struct desk *desk)
{
	assert_int_equal(rules_init(&desk->rules, &desk->w->policy), 0);
}

static void desk_end(struct desk *desk)
{
	rules_free(&desk->rules);
	world_free(desk->w);
}

#define APPLY(desk, counts, ...)                                                                   \
	rules_apply(&(desk)->rules, &(desk)->w->policy, ASK((desk)->w, 1, 1, __VA_ARGS__).labels,  \
		    counts)

static void without_rules_labels_are_as_given(void **state)
{
	(void)state;
	struct desk desk = desk_new();

	desk_begin(&desk);
	const char *const *labels = APPLY(&desk, true, {LABEL_MODEL, "m"}, {desk.reason, "r"});
	assert_string_equal(labels[LABEL_MODEL], "m");
	assert_string_equal(labels[desk.reason], "r");
	assert_null(labels[LABEL_PRIORITY]);
	desk_end(&desk);
}

static void a_rule_takes_another_label_or_a_default(void **state)
{
	(void)state;
	struct desk desk = desk_new();
	struct rule *rule = world_rule(desk.w, desk.kind);

	rule->from = desk.reason;
	rule->fallback = "free_user";
	desk_begin(&desk);
	assert_string_equal(APPLY(&desk, true, {desk.reason, "paid_user"})[desk.kind], "paid_user");
	assert_string_equal(APPLY(&desk, true, {desk.reason, ""})[desk.kind], "");
	assert_string_equal(APPLY(&desk, true)[desk.kind], "free_user");
	rule->fallback = NULL; // then it stays as it is
	assert_null(APPLY(&desk, true)[desk.kind]);
	assert_string_equal(APPLY(&desk, true, {desk.kind, "was"})[desk.kind], "was");
	desk_end(&desk);
}

static void a_map_translates_and_what_it_lacks_gets_the_default(void **state)
{
	(void)state;
	struct desk desk = desk_new();
	struct rule *rule = world_rule(desk.w, LABEL_PRIORITY);

	rule->from = desk.reason;
	rule->map_from = (char *[]){"paid_user", "trial_user", NULL};
	rule->map_to = (char *[]){"100", "50", NULL};
	rule->fallback = "10";
	desk_begin(&desk);
	assert_string_equal(APPLY(&desk, true, {desk.reason, "trial_user"})[LABEL_PRIORITY], "50");
	assert_string_equal(APPLY(&desk, true, {desk.reason, "crook"})[LABEL_PRIORITY], "10");
	assert_string_equal(APPLY(&desk, true)[LABEL_PRIORITY], "10");
	rule->fallback = NULL;
	assert_null(APPLY(&desk, true, {desk.reason, "crook"})[LABEL_PRIORITY]);
	desk_end(&desk);
}

// Each sees what those before it have set.
static void rules_run_in_order_and_only_when_their_condition_holds(void **state)
{
	(void)state;
	struct desk desk = desk_new();
	struct rule *gold = world_rule(desk.w, desk.kind), *copy, *silver;

	gold->value = "gold";
	gold->when = world_equals(desk.w, LABEL_TEAM, "chat");
	copy = world_rule(desk.w, LABEL_PRIORITY);
	copy->from = desk.kind;
	copy->map_from = (char *[]){"gold", "silver", NULL};
	copy->map_to = (char *[]){"9", "5", NULL};
	copy->fallback = "1";
	silver = world_rule(desk.w, desk.kind);
	silver->value = "silver";
	silver->when = world_equals(desk.w, desk.kind, "gold");
	desk_begin(&desk);
	const char *const *labels = APPLY(&desk, true, {LABEL_TEAM, "chat"});
	assert_string_equal(labels[LABEL_PRIORITY], "9");
	assert_string_equal(labels[desk.kind], "silver");
	labels = APPLY(&desk, true, {LABEL_TEAM, "batch"});
	assert_string_equal(labels[LABEL_PRIORITY], "1");
	assert_null(labels[desk.kind]);
	desk_end(&desk);
}

static struct rule *bump(struct desk *desk, size_t label, double add, double at_most)
{
	struct rule *rule = world_rule(desk->w, label);

	rule->for_each = desk->review;
	rule->add = add;
	rule->at_most = at_most;
	return rule;
}

static void later_requests_of_a_sequence_come_first(void **state)
{
	(void)state;
	struct desk desk = desk_new();

	bump(&desk, LABEL_PRIORITY, 1, 2);
	desk_begin(&desk);
	for (int i = 0; i < 5; i++) {
		const char *expected[] = {"1", "2", "3", "3", "3"}; // at most 2 more

		assert_string_equal(APPLY(&desk, true, {desk.review, "a"})[LABEL_PRIORITY],
				    expected[i]);
	}
	assert_string_equal(APPLY(&desk, true, {desk.review, "b"})[LABEL_PRIORITY], "1");
	assert_null(APPLY(&desk, true)[LABEL_PRIORITY]); // of no sequence
	desk_end(&desk);
}

static void a_bump_adds_to_the_number_that_is_there(void **state)
{
	(void)state;
	struct desk desk = desk_new();
	struct rule *base = world_rule(desk.w, LABEL_PRIORITY);

	base->from = desk.reason;
	bump(&desk, LABEL_PRIORITY, 0.5, 50);
	desk_begin(&desk);
	APPLY(&desk, true, {desk.review, "a"});
	assert_string_equal(
		APPLY(&desk, true, {desk.reason, "40"}, {desk.review, "a"})[LABEL_PRIORITY],
		"40.5");
	// What is no number counts as none.
	assert_string_equal(
		APPLY(&desk, true, {desk.reason, "urgent"}, {desk.review, "a"})[LABEL_PRIORITY],
		"2");
	assert_string_equal(
		APPLY(&desk, true, {desk.reason, ""}, {desk.review, "a"})[LABEL_PRIORITY], "2.5");
	desk_end(&desk);
}

static void asking_does_not_advance_a_sequence(void **state)
{
	(void)state;
	struct desk desk = desk_new();

	bump(&desk, LABEL_PRIORITY, 1, 50);
	desk_begin(&desk);
	assert_string_equal(APPLY(&desk, false, {desk.review, "a"})[LABEL_PRIORITY], "1");
	APPLY(&desk, true, {desk.review, "a"});
	for (int i = 0; i < 3; i++)
		assert_string_equal(APPLY(&desk, false, {desk.review, "a"})[LABEL_PRIORITY], "2");
	assert_string_equal(APPLY(&desk, true, {desk.review, "a"})[LABEL_PRIORITY], "2");
	desk_end(&desk);
}

// One request is one request, however many rules look at its sequence.
static void two_bumps_on_one_sequence_count_each_request_once(void **state)
{
	(void)state;
	struct desk desk = desk_new();

	bump(&desk, LABEL_PRIORITY, 1, 50);
	bump(&desk, desk.kind, 10, 500);
	desk_begin(&desk);
	for (int i = 0; i < 3; i++) {
		const char *priority[] = {"1", "2", "3"}, *kind[] = {"1", "11", "21"};
		const char *const *labels = APPLY(&desk, true, {desk.review, "a"});

		assert_string_equal(labels[LABEL_PRIORITY], priority[i]);
		assert_string_equal(labels[desk.kind], kind[i]);
	}
	desk_end(&desk);
}

// Review ids come from programs without end; memory must not grow with them, and a sequence that
// is in use is not the one that is forgotten.
static void of_many_sequences_the_one_longest_unused_is_forgotten(void **state)
{
	(void)state;
	struct desk desk = desk_new();
	char id[32];

	bump(&desk, LABEL_PRIORITY, 1, 1e6);
	desk_begin(&desk);
	APPLY(&desk, true, {desk.review, "unused"});
	for (int i = 0; i < 3 * SEQUENCES_KEPT; i++) {
		snprintf(id, sizeof(id), "review-%d", i);
		APPLY(&desk, true, {desk.review, id});
		APPLY(&desk, true, {desk.review, "busy"});
	}
	assert_true(desk.rules.sequences.count <= SEQUENCES_KEPT);
	snprintf(id, sizeof(id), "%d", 1 + 3 * SEQUENCES_KEPT);
	assert_string_equal(APPLY(&desk, false, {desk.review, "busy"})[LABEL_PRIORITY], id);
	assert_string_equal(APPLY(&desk, false, {desk.review, "unused"})[LABEL_PRIORITY], "1");
	desk_end(&desk);
}

static void a_new_policy_takes_over_the_sequences(void **state)
{
	(void)state;
	struct desk desk = desk_new();
	struct rules next;

	bump(&desk, LABEL_PRIORITY, 1, 50);
	desk_begin(&desk);
	APPLY(&desk, true, {desk.review, "a"});
	APPLY(&desk, true, {desk.review, "a"});
	assert_int_equal(rules_init(&next, &desk.w->policy), 0);
	rules_carry(&next, &desk.rules);
	assert_string_equal(rules_apply(&next, &desk.w->policy,
					ASK(desk.w, 1, 1, {desk.review, "a"}).labels,
					true)[LABEL_PRIORITY],
			    "3");
	rules_free(&next);
	desk_end(&desk);
}

// All of it together: the rule, and the scheduler that reads its label.
static void a_bumped_request_overtakes(void **state)
{
	(void)state;
	struct desk desk = desk_new();
	struct world *w = desk.w;
	uint64_t now_ns = 0;

	bump(&desk, LABEL_PRIORITY, 1, 50);
	world_limit(w, "l", RESOURCE_REQUESTS, 60, NULL);
	w->limits[0].capacity = 1;
	desk_begin(&desk);
	world_begin(w, 0);
	submit(w, ASK(w, 1, 1, {desk.review, "a"}), 0);
	submit(w, ASK(w, 2, 1, {desk.review, "b"}), 0);
	submit(w, ASK(w, 3, 1, {desk.review, "c"}), 0);
	submit(w, ASK(w, 4, 1, {desk.review, "a"}), 0);
	assert_next(w, &now_ns, 4, VERDICT_ADMITTED, S);
	assert_next(w, &now_ns, 2, VERDICT_ADMITTED, 2 * S);
	assert_next(w, &now_ns, 3, VERDICT_ADMITTED, 3 * S);
	desk_end(&desk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_rules_labels_are_as_given),
		cmocka_unit_test(a_rule_takes_another_label_or_a_default),
		cmocka_unit_test(a_map_translates_and_what_it_lacks_gets_the_default),
		cmocka_unit_test(rules_run_in_order_and_only_when_their_condition_holds),
		cmocka_unit_test(later_requests_of_a_sequence_come_first),
		cmocka_unit_test(a_bump_adds_to_the_number_that_is_there),
		cmocka_unit_test(asking_does_not_advance_a_sequence),
		cmocka_unit_test(two_bumps_on_one_sequence_count_each_request_once),
		cmocka_unit_test(of_many_sequences_the_one_longest_unused_is_forgotten),
		cmocka_unit_test(a_new_policy_takes_over_the_sequences),
		cmocka_unit_test(a_bumped_request_overtakes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
