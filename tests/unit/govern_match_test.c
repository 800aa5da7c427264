// Which requests a policy's conditions take: selectors, globs and label matchers.
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "govern/match.h"

enum { LABEL_TIER = N_BUILTIN_LABELS, LABEL_EMPTY, LABEL_ABSENT, N_LABELS };

static const char *const labels[N_LABELS] = {
	[LABEL_PROVIDER] = "openai", [LABEL_MODEL] = "gpt-4o", [LABEL_STREAM] = "true",
	[LABEL_TIER] = "gold",       [LABEL_EMPTY] = "",
};

#define VALUES(...) ((char *[]){__VA_ARGS__, NULL})
#define CHILDREN(...)                                                                              \
	.children = (struct matcher[]){__VA_ARGS__},                                               \
	.n_children = sizeof((struct matcher[]){__VA_ARGS__}) / sizeof(struct matcher)

static bool holds(struct matcher matcher)
{
	return matcher_holds(&matcher, labels);
}

static struct matcher in(size_t label, char **values)
{
	return (struct matcher){.kind = MATCHER_IN, .label = label, .values = values};
}

static struct matcher glob(size_t label, char **values)
{
	return (struct matcher){.kind = MATCHER_GLOB, .label = label, .values = values};
}

static struct matcher exists(size_t label)
{
	return (struct matcher){.kind = MATCHER_EXISTS, .label = label};
}

static struct matcher not(struct matcher * child)
{
	return (struct matcher){.kind = MATCHER_NOT, .children = child, .n_children = 1};
}

static void no_condition_takes_all(void **state)
{
	(void)state;
	assert_true(matcher_holds(NULL, labels));
	assert_true(holds((struct matcher){.kind = MATCHER_ALL}));
	assert_false(holds((struct matcher){.kind = MATCHER_ANY}));
}

static void a_value_is_one_of_a_list(void **state)
{
	(void)state;
	assert_true(holds(in(LABEL_TIER, VALUES("silver", "gold"))));
	assert_false(holds(in(LABEL_TIER, VALUES("gol", "goldy", "GOLD"))));
	assert_true(holds(in(LABEL_EMPTY, VALUES(""))));
	assert_false(holds(in(LABEL_ABSENT, VALUES(""))));
}

static void a_glob_takes_the_whole_value_and_absence_for_empty(void **state)
{
	(void)state;
	assert_true(holds(glob(LABEL_MODEL, VALUES("o3*", "gpt-4*"))));
	assert_false(holds(glob(LABEL_MODEL, VALUES("gpt-4", "pt-4o"))));
	assert_true(holds(glob(LABEL_MODEL, VALUES("gpt-?[ao]"))));
	assert_true(holds(glob(LABEL_ABSENT, VALUES("*"))));
	assert_true(holds(glob(LABEL_ABSENT, VALUES(""))));
	assert_false(holds(glob(LABEL_ABSENT, VALUES("?*"))));
}

static void an_empty_label_is_there_an_absent_one_is_not(void **state)
{
	(void)state;
	assert_true(holds(exists(LABEL_EMPTY)));
	assert_false(holds(exists(LABEL_ABSENT)));
}

static void a_regex_may_match_anywhere(void **state)
{
	(void)state;
	regex_t regex;
	struct matcher matcher = {.kind = MATCHER_REGEX, .label = LABEL_MODEL, .regex = &regex};

	assert_int_equal(regcomp(&regex, "-[0-9]+o$", REG_EXTENDED | REG_NOSUB), 0);
	assert_true(holds(matcher));
	matcher.label = LABEL_TIER;
	assert_false(holds(matcher));
	matcher.label = LABEL_ABSENT;
	assert_false(holds(matcher));
	regfree(&regex);
	assert_int_equal(regcomp(&regex, "^$", REG_EXTENDED | REG_NOSUB), 0);
	assert_false(holds(matcher)); // absent is not empty
	matcher.label = LABEL_EMPTY;
	assert_true(holds(matcher));
	regfree(&regex);
}

// NotIn and DoesNotExist take what lacks the label, as in Aperture and Kubernetes.
static void not_takes_what_lacks_the_label(void **state)
{
	(void)state;
	struct matcher gold = in(LABEL_TIER, VALUES("gold"));
	struct matcher absent_gold = in(LABEL_ABSENT, VALUES("gold"));
	struct matcher is_there = exists(LABEL_TIER), is_not = exists(LABEL_ABSENT);

	assert_false(holds(not(&gold)));
	assert_true(holds(not(&absent_gold)));
	assert_false(holds(not(&is_there)));
	assert_true(holds(not(&is_not)));
}

static void conditions_nest(void **state)
{
	(void)state;
	struct matcher gold = in(LABEL_TIER, VALUES("gold"));
	struct matcher o3 = glob(LABEL_MODEL, VALUES("o3*"));
	struct matcher either = {.kind = MATCHER_ANY, CHILDREN(o3, gold)};
	struct matcher both = {.kind = MATCHER_ALL, CHILDREN(o3, gold)};
	struct matcher neither = not(&either);

	assert_true(holds(either));
	assert_false(holds(both));
	assert_false(holds(neither));
	assert_true(holds((struct matcher){.kind = MATCHER_ALL, CHILDREN(either, not(&both))}));
	assert_false(holds((struct matcher){.kind = MATCHER_ANY, CHILDREN(both, neither)}));
}

static bool takes(struct selector *selectors, size_t n, char *agent_group)
{
	struct policy policy = {.agent_group = agent_group};
	struct limit limit = {.selectors = selectors, .n_selectors = n};

	return limit_matches(&policy, &limit, labels);
}

static void a_limit_without_selectors_is_for_all(void **state)
{
	(void)state;
	assert_true(takes(NULL, 0, NULL));
}

static void one_selector_must_match_in_all_its_parts(void **state)
{
	(void)state;
	struct matcher gold = in(LABEL_TIER, VALUES("gold"));
	struct matcher silver = in(LABEL_TIER, VALUES("silver"));
	struct selector selectors[] = {{.match = &silver},
				       {.control_point = "azure", .match = &gold},
				       {.control_point = "open*", .match = &gold}};

	assert_false(takes(&selectors[0], 1, NULL));
	assert_false(takes(&selectors[0], 2, NULL));
	assert_true(takes(&selectors[0], 3, NULL));
	assert_true(takes(&selectors[2], 1, NULL));
}

static void an_agent_group_counts_where_the_policy_has_one(void **state)
{
	(void)state;
	struct selector selector = {.agent_group = "prod"};

	assert_true(takes(&selector, 1, "prod"));
	assert_false(takes(&selector, 1, "test"));
	assert_true(takes(&selector, 1, NULL));
	selector.agent_group = NULL;
	assert_true(takes(&selector, 1, "test"));
}

static void a_request_to_no_known_provider_is_at_no_control_point(void **state)
{
	(void)state;
	const char *const none[N_LABELS] = {0};
	struct policy policy = {0};
	struct selector selector = {.control_point = "openai"};
	struct limit limit = {.selectors = &selector, .n_selectors = 1};

	assert_false(limit_matches(&policy, &limit, none));
	selector.control_point = NULL;
	assert_true(limit_matches(&policy, &limit, none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_condition_takes_all),
		cmocka_unit_test(a_value_is_one_of_a_list),
		cmocka_unit_test(a_glob_takes_the_whole_value_and_absence_for_empty),
		cmocka_unit_test(an_empty_label_is_there_an_absent_one_is_not),
		cmocka_unit_test(a_regex_may_match_anywhere),
		cmocka_unit_test(not_takes_what_lacks_the_label),
		cmocka_unit_test(conditions_nest),
		cmocka_unit_test(a_limit_without_selectors_is_for_all),
		cmocka_unit_test(one_selector_must_match_in_all_its_parts),
		cmocka_unit_test(an_agent_group_counts_where_the_policy_has_one),
		cmocka_unit_test(a_request_to_no_known_provider_is_at_no_control_point),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
