// Aperture's values files, as people have them. If one of these fails, a file that worked there is
// refused here, or worse, is taken and means something else. Run from the root of the repository.
#include "data/config/place.h"

#define BLUEPRINTS "tests/unit/data/blueprints/"

// Of a values file that says only what it must, line by line.
#define HEAD "blueprint: quota-scheduling/base\npolicy:\n  policy_name: p\n"       // 1 to 3
#define QUOTA "  quota_scheduler:\n    bucket_capacity: 60\n    fill_amount: 30\n" // 4 to 6
#define RATE "    rate_limiter:\n      interval: 60s\n"                            // 7 and 8
#define SELECTORS "    selectors:\n      - control_point: openai\n"                // two lines
#define PLAIN HEAD QUOTA RATE

static struct policy *load_text(struct place *place, const char *text)
{
	write_text(place->file, "");
	write_text(place->added, text);
	return load_good(place->file);
}

// The only limit of a values file in policies.d/.
static const struct limit *only_limit(const struct policy *policy)
{
	assert_int_equal(policy->n_limits, 1);
	assert_true(policy->limits[0].is_blueprint);
	return &policy->limits[0];
}

static struct policy *load_seed(struct place *place, const char *name)
{
	char path[256], text[4096];

	snprintf(path, sizeof(path), BLUEPRINTS "%s.yaml", name);
	FILE *in = fopen(path, "r");
	assert_non_null(in);
	size_t size = fread(text, 1, sizeof(text) - 1, in);
	fclose(in);
	text[size] = '\0';
	return load_text(place, text);
}

static void assert_is_gpt_4(const struct limit *limit, const char *agent_group)
{
	assert_int_equal(limit->n_selectors, 1);
	const struct selector *selector = &limit->selectors[0];
	assert_string_equal(selector->control_point, "openai");
	assert_string_equal(selector->agent_group, agent_group);

	const struct matcher *match = selector->match;
	assert_non_null(match);
	assert_int_equal(match->kind, MATCHER_ALL);
	assert_int_equal(match->n_children, 1);
	assert_int_equal(match->children[0].kind, MATCHER_IN);
	assert_int_equal(match->children[0].label, LABEL_MODEL); // model_variant
	assert_string_equal(match->children[0].values[0], "gpt-4");
	assert_null(match->children[0].values[1]);
}

static void assert_bucket(const struct limit *limit, double capacity, double fill_amount)
{
	assert_true(limit->capacity == capacity);
	assert_true(limit->fill_amount == fill_amount);
	assert_true(limit->interval_ns == 60000000000);
	assert_false(limit->is_stepwise);
	assert_int_equal(limit->over_limit, OVER_LIMIT_QUEUE);
	assert_int_equal(limit->calendar, CALENDAR_NONE);
	assert_int_equal(limit->n_keys, 1);
	assert_int_equal(limit->keys[0], LABEL_API_KEY);
	assert_true(limit->passes_without_key);
}

static void tokens_per_minute_of_gpt_4(void **state)
{
	struct policy *policy = load_seed(*state, "gpt-4-tpm");
	const struct limit *limit = only_limit(policy);

	assert_string_equal(limit->name, "gpt-4-tpm");
	assert_int_equal(limit->resource, RESOURCE_TOKENS);
	assert_bucket(limit, 40000, 40000);
	assert_false(limit->delays_fill);
	assert_is_gpt_4(limit, "coderabbit-prod");
	assert_int_equal(limit->scheduler->tokens_label, LABEL_ESTIMATED_TOKENS);
	assert_int_equal(limit->scheduler->priority_label, LABEL_PRIORITY);
	assert_true(limit->scheduler->fairness_label == NO_LABEL);
	assert_int_equal(limit->scheduler->n_workloads, 0);
	assert_true(limit->mirrors);
	assert_true(limit->is_per_model);
	policy_free(policy);
}

static void requests_per_minute_of_gpt_4(void **state)
{
	struct policy *policy = load_seed(*state, "gpt-4-rpm");
	const struct limit *limit = only_limit(policy);

	assert_string_equal(limit->name, "gpt-4-rpm");
	assert_int_equal(limit->resource, RESOURCE_REQUESTS);
	assert_bucket(limit, 200, 200);
	assert_is_gpt_4(limit, "coderabbit-prod");
	assert_true(limit->scheduler->tokens_label == NO_LABEL);
	assert_true(limit->mirrors);
	policy_free(policy);
}

static void requests_by_the_reason_of_the_product(void **state)
{
	static const char *const names[] = {"paid_user", "trial_user", "free_user"};
	struct policy *policy = load_seed(*state, "gpt-4-rpm-workloads");
	const struct limit *limit = only_limit(policy);
	size_t reason = policy_find_label(policy, "product_reason");

	assert_string_equal(limit->name, "gpt-4-rpm");
	assert_int_equal(limit->resource, RESOURCE_REQUESTS);
	assert_bucket(limit, 4, 200);
	assert_true(limit->delays_fill);
	assert_is_gpt_4(limit, "apollo-prod");
	assert_true(reason != NO_LABEL && reason >= N_BUILTIN_LABELS);
	assert_int_equal(limit->scheduler->n_workloads, 3);
	for (size_t i = 0; i < 3; i++) {
		const struct workload *workload = &limit->scheduler->workloads[i];

		assert_string_equal(workload->name, names[i]);
		assert_true(workload->priority == 1);
		assert_true(workload->tokens < 0);
		assert_int_equal(workload->match->n_children, 1);
		assert_int_equal(workload->match->children[0].label, reason);
		assert_string_equal(workload->match->children[0].values[0], names[i]);
	}
	policy_free(policy);
}

static void a_values_file_may_be_the_main_file(void **state)
{
	struct place *place = *state;
	struct policy *policy = load_text(place, PLAIN SELECTORS);
	const struct limit *limit = only_limit(policy);

	assert_string_equal(limit->file, place->added);
	assert_int_equal(limit->line, 5);
	policy_free(policy);

	unlink(place->added);
	write_text(place->file, PLAIN SELECTORS);
	policy = load_good(place->file);
	assert_int_equal(only_limit(policy)->n_keys, 0);
	assert_int_equal(policy->mode, MODE_OBSERVE);
	assert_string_equal(policy->providers[0].name, "openai");
	policy_free(policy);
}

// --- every key of the rate limiter and around it

static void what_changes_nothing_is_taken(void **state)
{
	static const char *const texts[] = {
		"uri: github.com/fluxninja/aperture/blueprints@latest\n" PLAIN SELECTORS,
		"dashboard:\n  title: x\n  datasource: {name: y}\n" PLAIN SELECTORS,
		HEAD "  components: []\n  resources:\n    flow_control:\n      classifiers: []\n"
		     "  evaluation_interval: 1s\n" QUOTA RATE SELECTORS,
		PLAIN SELECTORS
		"    alerter:\n      alert_name: More than 90% of requests are being "
		"rate limited\n",
		PLAIN SELECTORS "    alerter: {}\n    scheduler: {}\n",
		PLAIN SELECTORS "    scheduler:\n",
		PLAIN "      lazy_sync: {enabled: true, num_sync: 4}\n" SELECTORS,
		PLAIN "      max_idle_time: 7200s\n" SELECTORS,
		PLAIN "      max_idle_time: 120s\n" SELECTORS,
		PLAIN "      max_idle_time: 0s\n" SELECTORS,
		PLAIN "      label_key: \"\"\n      limit_by_label_key: \"\"\n" SELECTORS,
		PLAIN SELECTORS "        service: any\n",
		PLAIN SELECTORS "    scheduler:\n      decision_deadline_margin: 0.01s\n",
		PLAIN SELECTORS "    scheduler:\n      tokens_label_key: \"\"\n"
				"      workload_label_key: \"\"\n",
		// Before September 2023 the file did not say of which blueprint it is.
		"policy:\n  policy_name: p\n" QUOTA RATE SELECTORS,
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct policy *policy = load_text(*state, texts[i]);
		const struct limit *limit = only_limit(policy);

		assert_string_equal(limit->name, "p");
		assert_true(limit->capacity == 60 && limit->fill_amount == 30);
		assert_int_equal(limit->resource, RESOURCE_REQUESTS);
		assert_int_equal(limit->n_keys, 0);
		assert_false(limit->passes_without_key);
		assert_true(limit->scheduler->priority_label == NO_LABEL);
		assert_true(limit->scheduler->others.priority == 1);
		policy_free(policy);
	}
}

static void the_rate_limiter_is_enforced(void **state)
{
	struct policy *policy =
		load_text(*state, PLAIN "      limit_by_label_key: user_id\n"
					"      label_key: user_id\n"
					"      continuous_fill: false\n"
					"      delay_initial_fill: true\n" SELECTORS);
	const struct limit *limit = only_limit(policy);

	assert_int_equal(limit->n_keys, 1);
	assert_string_equal(policy->labels[limit->keys[0]], "user_id");
	assert_true(limit->passes_without_key);
	assert_false(limit->mirrors);
	assert_true(limit->is_stepwise);
	assert_true(limit->delays_fill);
	policy_free(policy);
}

static void a_bucket_that_is_never_filled_denies(void **state)
{
	struct policy *policy = load_text(
		*state, HEAD
		"  quota_scheduler:\n    bucket_capacity: 60\n    fill_amount: 0\n" RATE SELECTORS);

	assert_int_equal(only_limit(policy)->over_limit, OVER_LIMIT_DENY);
	policy_free(policy);
}

static void numbers_as_go_writes_them(void **state)
{
	struct policy *policy = load_text(
		*state,
		HEAD "  quota_scheduler:\n    bucket_capacity: 1e+06\n    fill_amount: 1.5e+06\n"
		     "    rate_limiter: {interval: 3600.0s}\n" SELECTORS);
	const struct limit *limit = only_limit(policy);

	assert_true(limit->capacity == 1000000);
	assert_true(limit->fill_amount == 1500000);
	assert_true(limit->interval_ns == 3600000000000);
	policy_free(policy);
}

// --- the scheduler

static void the_scheduler_is_enforced(void **state)
{
	struct policy *policy = load_text(
		*state, PLAIN SELECTORS
		"    scheduler:\n"
		"      priority_label_key: prio\n"
		"      tokens_label_key: cost\n"
		"      fairness_label_key: user_id\n"
		"      default_workload_parameters: {priority: 3, tokens: 7, queue_timeout: 30s}\n"
		"      workloads:\n"
		"        - label_matcher: {match_labels: {kind: background}}\n"
		"          parameters: {priority: 50.0, tokens: 2, queue_timeout: 1.5s}\n"
		"        - name: flat\n"
		"          label_matcher: {match_labels: {kind: chat}}\n"
		"          priority: 200\n");
	const struct limit *limit = only_limit(policy);
	const struct scheduler *s = limit->scheduler;

	assert_int_equal(limit->resource, RESOURCE_TOKENS);
	assert_false(limit->mirrors); // what `cost` says, no provider counts
	assert_string_equal(policy->labels[s->priority_label], "prio");
	assert_string_equal(policy->labels[s->tokens_label], "cost");
	assert_string_equal(policy->labels[s->fairness_label], "user_id");
	assert_true(s->others.priority == 3 && s->others.tokens == 7);
	assert_true(s->others.queue_timeout_ns == 30000000000);
	assert_int_equal(s->n_workloads, 2);
	assert_non_null(s->workloads[0].name);
	assert_true(s->workloads[0].priority == 50 && s->workloads[0].tokens == 2);
	assert_true(s->workloads[0].queue_timeout_ns == 1500000000);
	assert_string_equal(s->workloads[1].name, "flat");
	assert_true(s->workloads[1].priority == 200 && s->workloads[1].tokens < 0);
	assert_true(s->workloads[1].queue_timeout_ns == 0);
	policy_free(policy);
}

// As in an example of Aperture's: headers by its names, and workloads by their index.
static void headers_have_apertures_names(void **state)
{
	struct place *place = *state;

	write_text(place->file, "priority_sources: http.header.user-type\n");
	write_text(place->added,
		   PLAIN "      limit_by_label_key: http.request.header.api_key\n" SELECTORS
			 "    scheduler:\n"
			 "      workloads:\n"
			 "        - label_matcher:\n"
			 "            match_labels: {http.request.header.user_type: guest}\n"
			 "          parameters: {priority: 50.0, queue_timeout: 0s}\n");
	struct policy *policy = load_good(place->file);
	const struct limit *limit = only_limit(policy);
	const struct workload *workload = &limit->scheduler->workloads[0];

	assert_string_equal(policy->labels[limit->keys[0]], "http.header.api-key");
	assert_string_equal(workload->name, "0");
	assert_string_equal(policy->labels[workload->match->children[0].label],
			    "http.header.user-type");
	assert_true(workload->queue_timeout_ns == 1); // 0s: not to wait at all
	policy_free(policy);
}

// Each value a queue of its own: as the fairness label has it.
static void a_workload_label_alone_is_enforced(void **state)
{
	struct policy *policy = load_text(*state, PLAIN SELECTORS
					  "    scheduler:\n      workload_label_key: workload\n");
	const struct scheduler *s = only_limit(policy)->scheduler;

	assert_true(s->fairness_label != NO_LABEL);
	assert_string_equal(policy->labels[s->fairness_label], "workload");
	policy_free(policy);
}

// --- selectors

static const struct matcher *child(const struct matcher *matcher, size_t i, enum matcher_kind kind)
{
	assert_non_null(matcher);
	assert_true(i < matcher->n_children);
	assert_int_equal(matcher->children[i].kind, kind);
	return &matcher->children[i];
}

static void label_matchers_are_enforced(void **state)
{
	struct policy *policy =
		load_text(*state, PLAIN
			  "    selectors:\n"
			  "      - control_point: any\n"
			  "      - control_point: openai\n"
			  "        label_matcher:\n"
			  "          match_labels: {tier: gold}\n"
			  "          match_list:\n"
			  "            - {key: a, operator: In, values: [x, y]}\n"
			  "            - {key: b, operator: NotIn, values: [z]}\n"
			  "          match_expressions:\n"
			  "            - {key: c, operator: Exists}\n"
			  "            - {key: d, operator: DoesNotExist}\n"
			  "          expression:\n"
			  "            any:\n"
			  "              of:\n"
			  "                - not: {label_exists: e}\n"
			  "                - all: {of: [{label_equals: {label: f, value: g}},\n"
			  "                    {label_matches: {label: h, regex: \"^i+$\"}}]}\n");
	const struct limit *limit = only_limit(policy);

	assert_int_equal(limit->n_selectors, 2);
	assert_null(limit->selectors[0].control_point);
	assert_null(limit->selectors[0].match);

	const struct matcher *all = limit->selectors[1].match;
	assert_string_equal(child(all, 0, MATCHER_IN)->values[0], "gold");
	assert_string_equal(child(all, 1, MATCHER_IN)->values[1], "y");
	child(child(all, 2, MATCHER_NOT), 0, MATCHER_IN);
	child(all, 3, MATCHER_EXISTS);
	child(child(all, 4, MATCHER_NOT), 0, MATCHER_EXISTS);
	const struct matcher *any = child(all, 5, MATCHER_ANY);
	child(child(any, 0, MATCHER_NOT), 0, MATCHER_EXISTS);
	child(child(any, 1, MATCHER_ALL), 0, MATCHER_IN);
	const struct matcher *regex = child(child(any, 1, MATCHER_ALL), 1, MATCHER_REGEX);
	assert_int_equal(regexec(regex->regex, "iii", 0, NULL, 0), 0);
	policy_free(policy);
}

// --- what is refused: where, and in which words

static const struct {
	const char *text;
	int line; // of the added file
	const char *word, *expected;
} REFUSED[] = {
	{"blueprint: rate-limiting/base\npolicy: {rate_limiter: {a: b}}\n", 1, "rate-limiting/base",
	 "quota-scheduling/base"},
	{"blueprint: quota-scheduling/base\n", 1, "policy", "policy_name"},
	{"blueprint: quota-scheduling/base\npolicy:\n", 2, "policy", "a mapping"},
	{"mode: enforce\n" PLAIN SELECTORS, 1, "\"mode\"", "policy"},
	{HEAD "  policy_nam: q\n" QUOTA RATE SELECTORS, 4, "policy_nam", "policy_name"},
	{HEAD "  components:\n    - decider: {}\n" QUOTA RATE SELECTORS, 5, "components", "none"},
	{HEAD "  resources: {flow_control: {classifiers: [{rules: {}}]}}\n" QUOTA RATE SELECTORS, 4,
	 "resources", "rules"},
	{HEAD "  resources: {infra_meters: {x: {a: b}}}\n" QUOTA RATE SELECTORS, 4, "resources",
	 "none"},
	{HEAD "  evaluation_interval: often\n" QUOTA RATE SELECTORS, 4, "evaluation_interval",
	 "duration"},
	{"blueprint: quota-scheduling/base\npolicy:\n  policy_name: __REQUIRED_FIELD__\n" QUOTA RATE
		 SELECTORS,
	 3, "filled in", "a name"},
	{"blueprint: quota-scheduling/base\npolicy:\n" QUOTA RATE SELECTORS, 3, "policy_name",
	 "a name"},
	{HEAD, 3, "quota_scheduler", "bucket_capacity"},
	{HEAD "  quota_scheduler:\n    fill_amount: 1\n" RATE SELECTORS, 5, "bucket_capacity",
	 "number"},
	{HEAD "  quota_scheduler:\n    bucket_capacity: 1\n" RATE SELECTORS, 5, "fill_amount",
	 "number"},
	{HEAD "  quota_scheduler:\n    bucket_capacity: -1\n    fill_amount: 1\n" RATE SELECTORS, 5,
	 "negative", "number"},
	{HEAD
	 "  quota_scheduler:\n    bucket_capacity: __REQUIRED_FIELD__\n    fill_amount: 1\n" RATE
		 SELECTORS,
	 5, "__REQUIRED_FIELD__", "number"},
	{HEAD QUOTA SELECTORS, 5, "rate_limiter", "interval"},
	{PLAIN, 5, "selectors", "control_point"},
	{PLAIN "    selectors: []\n", 9, "empty", "at least one"},
	{PLAIN
	 "    selectors:\n      - control_point: openai\n        service: svc.cluster.local\n",
	 11, "service", "any"},
	{PLAIN "    selectors:\n      - control_point: openai\n        port: 1\n", 11, "port",
	 "control_point"},
	{PLAIN "    selectors:\n      - control_point: nowhere\n", 10, "nowhere", "openai"},
	{PLAIN "    selectors:\n      - control_point: openai\n        label_matcher:\n"
	       "          match_labls: {a: b}\n",
	 12, "match_labls", "match_labels"},
	{HEAD QUOTA "    rate_limiter: {label_key: api_key}\n" SELECTORS, 7, "interval", "60s"},
	{HEAD QUOTA "    rate_limiter: {interval: 0.1s}\n" SELECTORS, 7, "too short", "1s"},
	{PLAIN "      intervall: 1s\n" SELECTORS, 9, "intervall", "interval"},
	{PLAIN "      tokens_label_key: tokens\n" SELECTORS, 9, "tokens_label_key", "scheduler"},
	{PLAIN "      denied_response_status_code: 503\n" SELECTORS, 9,
	 "denied_response_status_code", "none"},
	{PLAIN "      adaptive_load_scheduler: {}\n" SELECTORS, 9, "adaptive_load_scheduler",
	 "none"},
	{PLAIN "      label_key: a\n      limit_by_label_key: b\n" SELECTORS, 9, "label_key",
	 "one of them"},
	{PLAIN "      continuous_fill: perhaps\n" SELECTORS, 9, "continuous_fill", "true or false"},
	{PLAIN "      lazy_sync: {enable: true}\n" SELECTORS, 9, "enable", "enabled"},
	{PLAIN "      max_idle_time: 119s\n" SELECTORS, 9, "max_idle_time", "120s"},
	{PLAIN SELECTORS "    alerter:\n      alert_name: mine\n", 12, "alerter", "metrics"},
	{PLAIN SELECTORS "    adaptive_load_scheduler: {}\n", 11, "adaptive_load_scheduler",
	 "none"},
	{PLAIN SELECTORS "    burst: 1\n", 11, "burst", "bucket_capacity"},
	{PLAIN SELECTORS "    scheduler: fast\n", 11, "scheduler", "a mapping"},
	{PLAIN SELECTORS "    scheduler:\n      denied_response_status_code: 429\n", 12,
	 "denied_response_status_code", "none"},
	{PLAIN SELECTORS "    scheduler:\n      max_timeout: 5s\n", 12, "max_timeout",
	 "queue_timeout"},
	{PLAIN SELECTORS "    scheduler:\n      priorities_label_key: x\n", 12,
	 "priorities_label_key", "priority_label_key"},
	{PLAIN SELECTORS
	 "    scheduler:\n      fairness_label_key: a\n      workload_label_key: b\n",
	 13, "workload_label_key", "one of them"},
	{PLAIN SELECTORS
	 "    scheduler:\n      workload_label_key: b\n"
	 "      workloads:\n        - {name: x, label_matcher: {match_labels: {a: b}}}\n",
	 12, "workload_label_key", "one of them"},
	{PLAIN SELECTORS "    scheduler:\n      workload: []\n", 12, "workload", "workloads"},
	{PLAIN SELECTORS
	 "    scheduler:\n      workloads:\n"
	 "        - {label_matcher: {match_labels: {a: b}}, parameters: {prio: 1}}\n",
	 13, "prio", "priority"},
	{PLAIN SELECTORS "    scheduler:\n      default_workload_parameters: {priority: -1}\n", 12,
	 "negative", "above 0"},
};

// A message names the place first, then what is wrong, then what would be right.
static void assert_message(const char *message, const char *path, int line, const char *word,
			   const char *expected)
{
	char begin[160];

	snprintf(begin, sizeof(begin), "%s:%d: ", path, line);
	if (strncmp(message, begin, strlen(begin)) != 0)
		fail_msg("not at %s\n  %s", begin, message);
	if (!strstr(message, word))
		fail_msg("no \"%s\" in\n  %s", word, message);
	const char *at = message;
	for (const char *words[] = {"; expected ", expected, NULL}, **w = words; *w; w++) {
		at = strstr(at, *w);
		if (!at)
			fail_msg("no \"%s\" in\n  %s", *w, message);
	}
}

static void what_cannot_be_enforced_is_refused_by_name(void **state)
{
	struct place *place = *state;

	for (size_t i = 0; i < sizeof(REFUSED) / sizeof(REFUSED[0]); i++) {
		write_text(place->file, "");
		write_text(place->added, REFUSED[i].text);
		char *error = load_bad(place->file);
		if (getenv("CONFIG_TEST_SHOW"))
			fprintf(stderr, "%s\n", error);
		assert_message(error, place->added, REFUSED[i].line, REFUSED[i].word,
			       REFUSED[i].expected);
		free(error);
	}
}

static void two_of_the_same_name_and_resource_are_refused(void **state)
{
	struct place *place = *state;

	write_text(place->file, PLAIN SELECTORS);
	write_text(place->added, PLAIN SELECTORS);
	char *error = load_bad(place->file);
	assert_non_null(strstr(error, "duplicate"));
	assert_non_null(strstr(error, "\"p\""));
	free(error);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tokens_per_minute_of_gpt_4),
		TEST(requests_per_minute_of_gpt_4),
		TEST(requests_by_the_reason_of_the_product),
		TEST(a_values_file_may_be_the_main_file),
		TEST(what_changes_nothing_is_taken),
		TEST(the_rate_limiter_is_enforced),
		TEST(a_bucket_that_is_never_filled_denies),
		TEST(numbers_as_go_writes_them),
		TEST(the_scheduler_is_enforced),
		TEST(headers_have_apertures_names),
		TEST(a_workload_label_alone_is_enforced),
		TEST(label_matchers_are_enforced),
		TEST(what_cannot_be_enforced_is_refused_by_name),
		TEST(two_of_the_same_name_and_resource_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
