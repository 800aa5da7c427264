// The policy language as its writer meets it: what a file that is right gives. Run from the root of
// the repository. What is wrong is in config_mistakes_test.c.
#include <math.h>

#include "data/config/place.h"

static void assert_strings(char *const *strings, const char *const *expected)
{
	for (; *expected; strings++, expected++) {
		assert_non_null(*strings);
		assert_string_equal(*strings, *expected);
	}
	assert_null(*strings);
}
#define assert_list(strings, ...) assert_strings(strings, (const char *const[]){__VA_ARGS__, NULL})

static void assert_rate(struct rate rate, int kind, double value)
{
	assert_int_equal(rate.kind, kind);
	assert_true(rate.value == value);
}

// The labels of the limit's key, by name.
static void assert_key_names(const struct policy *p, const struct limit *limit,
			     const char *const *expected)
{
	size_t n = 0;

	for (; expected[n]; n++) {
		assert_true(n < limit->n_keys);
		assert_string_equal(p->labels[limit->keys[n]], expected[n]);
	}
	assert_int_equal(limit->n_keys, n);
}
#define assert_keys(p, limit, ...)                                                                 \
	assert_key_names(p, limit, (const char *const[]){__VA_ARGS__, NULL})

static const struct limit *find_limit(const struct policy *p, const char *name,
				      enum resource resource, uint64_t interval_ns)
{
	for (size_t i = 0; i < p->n_limits; i++)
		if (strcmp(p->limits[i].name, name) == 0 && p->limits[i].resource == resource &&
		    p->limits[i].interval_ns == interval_ns)
			return &p->limits[i];
	fail_msg("no limit %s of %s", name, resource_name(resource));
	return NULL;
}

static void assert_bucket(const struct limit *limit, double capacity, double fill_amount)
{
	assert_true(limit->capacity == capacity);
	assert_true(limit->fill_amount == fill_amount);
}

static void assert_matcher(const struct policy *p, const struct matcher *m, enum matcher_kind kind,
			   const char *label)
{
	assert_int_equal(m->kind, kind);
	if (label)
		assert_string_equal(p->labels[m->label], label);
}

#define S 1000000000ull
#define MINUTE (60 * S)
#define DAY (86400 * S)

static void assert_defaults(const struct policy *p)
{
	assert_int_equal(p->mode, MODE_OBSERVE);
	assert_int_equal(p->on_daemon_failure, FAILURE_OPEN);
	assert_int_equal(p->on_max_wait, MAX_WAIT_DENY);
	assert_true(p->max_wait_ns == 600000000000ull);
	assert_int_equal(p->opaque, OPAQUE_GOVERN);
	assert_null(p->opaque_model);
	assert_true(p->http2_max_hold_ns == 20 * S);
	assert_int_equal(p->n_proxy_ports, 2);
	assert_int_equal(p->proxy_ports[0], 3128);
	assert_int_equal(p->proxy_ports[1], 8080);
	assert_true(p->plaintext_memory_bytes == 64 << 20);
	assert_true(p->headroom_ns == 250000000ull);
	assert_int_equal(p->n_providers, 1);
	assert_string_equal(p->providers[0].name, "openai");
	assert_list(p->providers[0].hosts, "api.openai.com");
	assert_int_equal(p->providers[0].n_ports, 1);
	assert_int_equal(p->providers[0].ports[0], 443);
	assert_int_equal(p->n_teams, 0);
	assert_int_equal(p->n_limits, 0);
	assert_int_equal(p->n_rules, 0);
	assert_true(p->ageing_ns == 60 * S);
	assert_false(p->headroom_is_given);
	assert_string_equal(p->zone->name, "UTC");
	assert_int_equal(p->n_schedulers, 1);
	assert_int_equal(p->schedulers[0]->priority_label, LABEL_PRIORITY);
	assert_true(p->schedulers[0]->tokens_label == NO_LABEL);
	assert_true(p->schedulers[0]->fairness_label == NO_LABEL);
	assert_string_equal(p->schedulers[0]->others.name, "default");
	assert_true(p->schedulers[0]->others.priority == 1);
	assert_int_equal(p->n_labels, N_BUILTIN_LABELS);
	assert_true(p->n_prices > 100);
}

static void files_that_say_nothing_give_the_defaults(void **state)
{
	static const char *const texts[] = {
		"",
		"# only a comment\n",
		"---\n",
		"~\n",
		"{}\n",
		"\xef\xbb\xbf# a byte order mark\n",
		"providers:\nteams:\n# - {name: a}\nlimits:\n",
		"teams: []\nlimits: ~\n",
		"rules:\npolicies:\nscheduler: {}\n",
	};
	struct place *place = *state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		write_text(place->file, texts[i]);
		struct policy *policy = load_good(place->file);
		assert_defaults(policy);
		policy_free(policy);
	}
	policy_free(NULL);
}

static void the_shipped_file_is_harmless(void **state)
{
	(void)state;
	struct policy *policy = load_good("systemd/sluice.yaml");

	assert_defaults(policy);
	policy_free(policy);
}

// The examples in the shipped file, uncommented as its own text tells the reader to do.
static void the_shipped_examples_load(void **state)
{
	struct place *place = *state;
	FILE *in = fopen("systemd/sluice.yaml", "r"), *out = fopen(place->file, "w");
	char line[256];

	assert_non_null(in);
	assert_non_null(out);
	while (fgets(line, sizeof(line), in)) {
		fputs(line + (strncmp(line, "#- ", 3) == 0 || strncmp(line, "#  - ", 5) == 0), out);
	}
	fclose(in);
	fclose(out);
	struct policy *policy = load_good(place->file);
	assert_int_equal(policy->n_providers, 4);
	assert_int_equal(policy->n_teams, 5);
	assert_int_equal(policy->n_limits, 11); // with two numbers or learnt, an entry makes two
	assert_int_equal(policy->n_rules, 3);
	assert_int_equal(policy->schedulers[0]->n_workloads, 2);
	policy_free(policy);
}

static void check_design_teams(const struct policy *p)
{
	assert_int_equal(p->n_teams, 5);
	assert_string_equal(p->teams[0].name, "chat");
	assert_list(p->teams[0].cgroups, "/chat.slice");
	assert_null(p->teams[0].units);
	assert_null(p->teams[0].users);
	assert_true(p->teams[0].weight == 4 && p->teams[0].priority == 1);
	assert_true(p->teams[0].guarantee == 20 && p->teams[0].tier == 2);
	assert_false(p->teams[0].deny);
	assert_rate(p->teams[0].rpm, RATE_ABSENT, 0);

	assert_list(p->teams[1].cgroups, "/review-*.slice", "/ci.slice");
	assert_rate(p->teams[1].tpm, RATE_PERCENT, 50);

	assert_null(p->teams[2].cgroups);
	assert_list(p->teams[2].users, "batch");
	assert_list(p->teams[2].units, "cron.service", "worker@*.service");
	assert_rate(p->teams[2].rpm, RATE_PER_MINUTE, 1000);

	assert_list(p->teams[3].users, "1000");
	assert_true(p->teams[3].deny);
	assert_true(p->teams[3].priority == 0.5);

	assert_string_equal(p->teams[4].name, "rest");
	assert_true(p->teams[4].weight == 1);
}

static void check_design_match(const struct policy *p)
{
	const struct limit *limit = find_limit(p, "everything-else", RESOURCE_TOKENS, MINUTE);
	const struct matcher *m = limit->selectors[0].match;
	static const struct {
		enum matcher_kind kind;
		const char *label, *value;
	} expected[] = {
		{MATCHER_GLOB, "provider", "open*"},
		{MATCHER_GLOB, "model", "gpt-*"},
		{MATCHER_GLOB, "team", "[cb]*"},
		{MATCHER_GLOB, "endpoint", "/v1/*"},
		{MATCHER_GLOB, "api_key", "0123456789abcdef"},
		{MATCHER_GLOB, "organization", "org-?"},
		{MATCHER_GLOB, "project", "proj_1"},
		{MATCHER_GLOB, "http.header.x-user", "a*"},
		{MATCHER_GLOB, "product_reason", "free_user"},
		{MATCHER_IN, "user", "batch"},
		{MATCHER_IN, "api_key", "0011223344556677"},
		{MATCHER_IN, "stream", "true"},
	};
	const size_t n = sizeof(expected) / sizeof(expected[0]);

	assert_int_equal(limit->n_selectors, 1);
	assert_matcher(p, m, MATCHER_ALL, NULL);
	assert_int_equal(m->n_children, n + 4);
	for (size_t i = 0; i < n; i++) {
		assert_matcher(p, &m->children[i], expected[i].kind, expected[i].label);
		assert_string_equal(m->children[i].values[0], expected[i].value);
	}
	assert_list(m->children[1].values, "gpt-*", "o3");
	assert_list(m->children[11].values, "true", "false");
	m = &m->children[n];
	assert_matcher(p, &m[0], MATCHER_NOT, NULL);
	assert_matcher(p, m[0].children, MATCHER_IN, "unit");
	assert_matcher(p, &m[1], MATCHER_EXISTS, "cgroup");
	assert_matcher(p, &m[2], MATCHER_NOT, NULL);
	assert_matcher(p, m[2].children, MATCHER_EXISTS, "comm");
	assert_matcher(p, &m[3], MATCHER_ANY, NULL);
	m = m[3].children;
	assert_matcher(p, &m[0], MATCHER_IN, "provider");
	assert_matcher(p, &m[1], MATCHER_NOT, NULL);
	assert_matcher(p, m[1].children, MATCHER_REGEX, "model");
	assert_int_equal(regexec(m[1].children->regex, "gpt-4o", 0, NULL, 0), 0);
	assert_int_equal(regexec(m[1].children->regex, "my-gpt-4", 0, NULL, 0), REG_NOMATCH);
	assert_matcher(p, &m[2], MATCHER_ALL, NULL);
	assert_matcher(p, m[2].children, MATCHER_EXISTS, "body.user");
}

static void check_design_limits(const struct policy *p)
{
	const struct limit *limit = p->limits;

	assert_string_equal(limit->name, "gpt-4");
	assert_int_equal(limit->line, 21);
	assert_string_equal(limit->file, DATA "design.yaml");
	assert_int_equal(limit->resource, RESOURCE_REQUESTS);
	assert_true(limit->interval_ns == MINUTE);
	assert_bucket(limit, 200, 200);
	assert_keys(p, limit, "api_key");
	assert_int_equal(limit->over_limit, OVER_LIMIT_QUEUE);
	assert_true(limit->mirrors && limit->is_per_model && !limit->is_blueprint);
	assert_ptr_equal(limit->scheduler, p->schedulers[0]);
	assert_bucket(&limit[1], 40000, 40000);
	assert_int_equal(limit[1].resource, RESOURCE_TOKENS);
	assert_string_equal(limit[1].name, "gpt-4");

	limit = find_limit(p, "everything-else", RESOURCE_TOKENS, MINUTE);
	assert_keys(p, limit, "organization", "project", "model", "team", "user", "provider",
		    "http.header.x-user", "body.metadata.review");
	assert_bucket(limit, 1.5e6, 1.5e6);
	assert_int_equal(limit->over_limit, OVER_LIMIT_DENY);
	assert_false(limit->mirrors || limit->passes_without_key);

	assert_int_equal(find_limit(p, "one-for-all", RESOURCE_REQUESTS, MINUTE)->n_keys, 0);
	assert_bucket(find_limit(p, "one-for-all", RESOURCE_TOKENS, MINUTE), 1e6, 1e6);
	assert_bucket(find_limit(p, "one-for-all", RESOURCE_IMAGES, MINUTE), 5, 5);
	assert_bucket(find_limit(p, "one-for-all", RESOURCE_REQUESTS, DAY), 1e7, 1e7);
	assert_bucket(find_limit(p, "one-for-all", RESOURCE_TOKENS, DAY), 1e7, 1e7);
	limit = find_limit(p, "one-for-all", RESOURCE_COST, 30 * DAY);
	assert_bucket(limit, 500, 500);
	assert_int_equal(limit->calendar, CALENDAR_MONTH);
	assert_int_equal(limit->over_limit, OVER_LIMIT_DENY);
	assert_false(limit->mirrors);
}

static void check_design_open_limits(const struct policy *p)
{
	const struct limit *limit = find_limit(p, "smooth", RESOURCE_REQUESTS, MINUTE);

	assert_bucket(limit, 1, 60);
	assert_true(limit->smooth_ns == S);
	assert_false(limit->mirrors); // its key has the team
	assert_bucket(find_limit(p, "smooth", RESOURCE_TOKENS, MINUTE), 10, 600);

	limit = find_limit(p, "learnt", RESOURCE_TOKENS, MINUTE);
	assert_true(limit->is_auto && isinf(limit->capacity) && isinf(limit->fill_amount));
	assert_keys(p, limit, "organization", "model");
	assert_true(find_limit(p, "learnt", RESOURCE_REQUESTS, MINUTE)->is_auto);

	limit = find_limit(p, "account", RESOURCE_TOKENS, MINUTE);
	assert_int_equal(limit->tier, 3);
	assert_true(limit->is_per_model && limit->mirrors);
	assert_keys(p, limit, "api_key");
	assert_true(tier_find(limit->tier_rows, limit->n_tier_rows, "gpt-4o")->tpm == 800000);
	assert_true(tier_find(limit->tier_rows, limit->n_tier_rows, "gpt-4o")->ipm < 0);
	find_limit(p, "account", RESOURCE_REQUESTS, MINUTE);
	find_limit(p, "account", RESOURCE_IMAGES, MINUTE);
}

static void check_design_policies(const struct policy *p)
{
	const struct limit *limit = find_limit(p, "user-day", RESOURCE_TOTAL_TOKENS, DAY);

	assert_bucket(limit, 10000, 10000);
	assert_keys(p, limit, "http.header.x-on-behalf-of");
	assert_true(limit->passes_without_key);
	assert_int_equal(limit->over_limit, OVER_LIMIT_DENY);
	assert_int_equal(limit->n_selectors, 2);
	assert_string_equal(limit->selectors[0].control_point, "openai");
	assert_string_equal(limit->selectors[0].agent_group, "prod");
	assert_matcher(p, limit->selectors[0].match->children, MATCHER_NOT, NULL);
	assert_null(limit->selectors[1].control_point);
	assert_matcher(p, limit->selectors[1].match->children, MATCHER_GLOB, "team");

	limit = find_limit(p, "lump", RESOURCE_COST, 30 * DAY);
	assert_bucket(limit, 12.5, 0);
	assert_int_equal(limit->calendar, CALENDAR_NONE);
	assert_int_equal(limit->over_limit, OVER_LIMIT_DENY); // it never fills again

	limit = find_limit(p, "stepwise", RESOURCE_OUTPUT_TOKENS, 5400 * S);
	assert_bucket(limit, 1000, 500);
	assert_true(limit->is_stepwise && limit->delays_fill);
	assert_int_equal(limit->n_keys, 0);
	assert_ptr_equal(limit->scheduler, p->schedulers[1]);
}

static void check_design_schedulers(const struct policy *p)
{
	const struct scheduler *s = p->schedulers[0];
	const struct workload *w = s->workloads;

	assert_int_equal(p->n_schedulers, 2);
	assert_int_equal(s->priority_label, LABEL_PRIORITY);
	assert_int_equal(s->n_workloads, 1);
	assert_string_equal(w->name, "interactive");
	assert_matcher(p, w->match->children, MATCHER_GLOB, "prompt_type");
	assert_true(w->priority == 20 && w->tokens == 10 && w->tier == 0);
	assert_true(w->queue_timeout_ns == MINUTE);
	assert_true(s->others.priority == 2 && s->others.tokens < 0 && s->others.tier == 1);

	s = p->schedulers[1];
	w = s->workloads;
	assert_true(s->priority_label == NO_LABEL);
	assert_int_equal(s->tokens_label, LABEL_ESTIMATED_TOKENS);
	assert_string_equal(p->labels[s->fairness_label], "body.user");
	assert_string_equal(w->name, "paid");
	assert_true(w->priority == 100 && w->tokens == 20 && w->tier < 0);
	assert_true(w->queue_timeout_ns == 30 * S);
	assert_true(s->others.priority == 5);
}

static void check_design_rules(const struct policy *p)
{
	const struct rule *rule = p->rules;

	assert_int_equal(p->n_rules, 4);
	assert_string_equal(p->labels[rule->label], "product_reason");
	assert_string_equal(p->labels[rule->from], "http.header.x-product-reason");
	assert_string_equal(rule->fallback, "free_user");
	assert_matcher(p, rule->when->children, MATCHER_GLOB, "team");
	assert_null(rule->value);
	rule++;
	assert_int_equal(rule->label, LABEL_PRIORITY);
	assert_int_equal(rule->from, p->rules[0].label);
	assert_list(rule->map_from, "paid_user", "trial_user");
	assert_list(rule->map_to, "100", "50");
	assert_null(rule->when);
	rule++;
	assert_true(rule->add == 2 && rule->at_most == 100);
	assert_string_equal(p->labels[rule->for_each], "body.metadata.review");
	assert_true(rule->from == NO_LABEL);
	rule++;
	assert_int_equal(rule->label, LABEL_QUEUE_TIMEOUT);
	assert_string_equal(rule->value, "30s");
	assert_true(rule->for_each == NO_LABEL);
}

static void the_design_example_is_read_whole(void **state)
{
	(void)state;
	struct policy *p = load_good(DATA "design.yaml");

	assert_int_equal(p->mode, MODE_ENFORCE);
	assert_int_equal(p->on_max_wait, MAX_WAIT_ADMIT);
	assert_true(p->max_wait_ns == 5400 * S);
	assert_true(p->headroom_ns == 1500000000ull && p->headroom_is_given);
	assert_true(p->ageing_ns == 120 * S);
	assert_string_equal(p->agent_group, "prod");
	assert_list(p->priority_sources, "http.header.x-product-reason", "body.metadata.*");
	assert_int_equal(p->n_providers, 2);
	assert_list(p->providers[0].hosts, "api.openai.com", "2001:db8::1", "192.0.2.7");
	assert_int_equal(p->providers[0].n_ports, 2);
	assert_int_equal(p->providers[0].ports[1], 8443);
	assert_list(p->providers[1].hosts, "*.openai.azure.com");
	assert_int_equal(p->providers[1].ports[0], 443);
	check_design_teams(p);
	check_design_limits(p);
	check_design_match(p);
	check_design_open_limits(p);
	check_design_policies(p);
	check_design_schedulers(p);
	check_design_rules(p);
	policy_free(p);
}

// What `sluice policy show` prints can be kept as the policy: nothing in it is lost.
static void what_is_written_loads_to_the_same(void **state)
{
	struct place *place = *state;
	struct policy *p = load_good(DATA "design.yaml");
	char *first = NULL, *second = NULL;
	size_t first_size, second_size;
	FILE *out = open_memstream(&first, &first_size);

	assert_int_equal(policy_write(p, out), 0);
	fclose(out);
	policy_free(p);
	write_text(place->file, first);
	p = load_good(place->file);
	check_design_teams(p);
	check_design_match(p);
	check_design_policies(p);
	check_design_schedulers(p);
	check_design_rules(p);
	out = open_memstream(&second, &second_size);
	assert_int_equal(policy_write(p, out), 0);
	fclose(out);
	assert_string_equal(first, second);
	policy_free(p);
	free(first);
	free(second);
}

// What is local midnight in Berlin in the summer and in the winter of 2026, and long ahead.
static void time_zones_are_those_of_the_system(void **state)
{
	static const struct {
		int64_t at_s;
		int32_t offset_s;
	} berlin[] = {
		{0, 3600},          {1782864000, 7200}, // 2026-07-01
		{1798761600, 3600},                     // 2027-01-01
		{1774745999, 3600}, {1774746000, 7200}, // 2026-03-29 01:00 UTC
		{4090000000, 7200},                     // August 2099
	};
	struct place *place = *state;

	setenv("TZ", "Asia/Tokyo", 1);
	write_text(place->file, "timezone: Europe/Berlin\n");
	struct policy *p = load_good(place->file);
	assert_string_equal(p->zone->name, "Europe/Berlin");
	for (size_t i = 0; i < sizeof(berlin) / sizeof(berlin[0]); i++) {
		const struct zone_offset *at = p->zone->offsets;

		for (size_t j = 0; j < p->zone->n_offsets; j++)
			if (p->zone->offsets[j].from_s <= berlin[i].at_s)
				at = &p->zone->offsets[j];
		assert_int_equal(at->offset_s, berlin[i].offset_s);
	}
	policy_free(p);
	assert_string_equal(getenv("TZ"), "Asia/Tokyo"); // the daemon's own time is left alone
	unsetenv("TZ");
}

static void assert_price(const struct policy *p, const char *model, double input, double cached,
			 double output)
{
	const struct price *price = policy_find_price(p, model);

	assert_non_null(price);
	assert_true(price->input == input && price->cached_input == cached &&
		    price->output == output);
}

static void prices_are_found_by_model(void **state)
{
	struct place *place = *state;
	char path[128];

	snprintf(path, sizeof(path), "%s/prices.csv", place->directory);
	write_text(path, "usd_per_1m_output,model,usd_per_1m_input,note,usd_per_1m_cached_input\n"
			 "9,gpt-4o,7,ours,8\n"
			 "3,my-model,2,,\n");
	write_text(place->file, "mode: observe\n");
	struct policy *p = load_good(place->file);
	assert_price(p, "gpt-4o", 2.5, 1.25, 10);
	assert_price(p, "gpt-4o-2024-05-13", 5, 5, 15);          // a row of its own
	assert_price(p, "gpt-4o-2027-01-31", 2.5, 1.25, 10);     // a dated snapshot
	assert_price(p, "gpt-4.1-0414", 2, 0.5, 8);              // the same, as Azure has it
	assert_price(p, "openai/gpt-4o-mini", 0.15, 0.075, 0.6); // as OpenRouter has it
	assert_null(policy_find_price(p, "gpt-4o-latest"));
	assert_null(policy_find_price(p, "gpt-4o-2027-1-31"));
	assert_null(policy_find_price(p, "my-model"));
	assert_null(policy_find_price(p, ""));
	policy_free(p);

	write_text(place->file, "prices: prices.csv\n");
	p = load_good(place->file);
	assert_price(p, "gpt-4o", 7, 8, 9);
	assert_price(p, "my-model", 2, 2, 3);
	assert_price(p, "gpt-4o-mini", 0.15, 0.075, 0.6);
	policy_free(p);
	unlink(path);
}

static void labels_are_found_by_name_and_alias(void **state)
{
	struct place *place = *state;

	write_text(place->file, "limits: [{name: a, key: http.header.X-User, rpm: 1}]\n");
	struct policy *p = load_good(place->file);
	assert_int_equal(policy_find_label(p, "control_point"), LABEL_PROVIDER);
	assert_int_equal(policy_find_label(p, "model_variant"), LABEL_MODEL);
	assert_int_equal(policy_find_label(p, "queue_timeout"), LABEL_QUEUE_TIMEOUT);
	assert_int_equal(policy_find_label(p, "container"), LABEL_CONTAINER);
	assert_int_equal(policy_find_label(p, "protocol"), LABEL_PROTOCOL);
	assert_int_equal(policy_find_label(p, "opaque"), LABEL_OPAQUE);
	assert_int_equal(policy_find_label(p, "HTTP.Header.x-USER"), N_BUILTIN_LABELS);
	assert_true(policy_find_label(p, "Model") == NO_LABEL);
	policy_free(p);

	// Once a rule sets it, also if the rule comes later, in another file.
	write_text(place->file, "limits: [{name: a, key: model_variant, rpm: 1}]\n");
	write_text(place->added, "rules: [{set: model_variant, value: x}]\n");
	p = load_good(place->file);
	assert_int_equal(p->rules[0].label, policy_find_label(p, "model_variant"));
	assert_true(p->rules[0].label >= N_BUILTIN_LABELS);
	assert_int_equal(p->limits[0].keys[0], p->rules[0].label);
	policy_free(p);
}

// Connections whose plaintext cannot be read, HTTP/2, proxies, and the memory for reading.
static void connections_are_treated_as_written(void **state)
{
	struct place *place = *state;

	write_text(place->file, "opaque: deny\n"
				"opaque_model: gpt-4o\n"
				"http2_max_hold: 1m30s\n"
				"proxy_ports: [1080, 65535, 1]\n"
				"plaintext_memory: 1GiB\n");
	struct policy *p = load_good(place->file);
	assert_int_equal(p->opaque, OPAQUE_DENY);
	assert_string_equal(p->opaque_model, "gpt-4o");
	assert_true(p->http2_max_hold_ns == 90 * S);
	assert_int_equal(p->n_proxy_ports, 3);
	assert_int_equal(p->proxy_ports[0], 1080);
	assert_int_equal(p->proxy_ports[1], 65535);
	assert_int_equal(p->proxy_ports[2], 1);
	assert_true(p->plaintext_memory_bytes == 1 << 30);
	policy_free(p);

	write_text(place->file, "opaque: pass\nproxy_ports: 3128\n");
	p = load_good(place->file);
	assert_int_equal(p->opaque, OPAQUE_PASS);
	assert_int_equal(p->n_proxy_ports, 1);
	assert_int_equal(p->proxy_ports[0], 3128);
	policy_free(p);
}

static void no_proxy_port_is_no_proxy_port(void **state)
{
	static const char *const texts[] = {"proxy_ports: []\n", "proxy_ports:\n"};
	struct place *place = *state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		write_text(place->file, texts[i]);
		struct policy *p = load_good(place->file);
		assert_int_equal(p->n_proxy_ports, 0);
		policy_free(p);
	}
}

static void memory_means_what_it_says(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
		{"4194304", 4 << 20},    {"4MiB", 4 << 20},      {"4_096KiB", 4 << 20},
		{"1.5MiB", 0},           {"64MiB", 64 << 20},    {"0.5GiB", 512 << 20},
		{"5000001", 5000001},    {"4.5MiB", 4608 << 10}, {"1GiB", 1 << 30},
		{"1073741824", 1 << 30}, {"1073741825", 0},
	};
	struct place *place = *state;
	char text[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "plaintext_memory: %s\n", cases[i].text);
		write_text(place->file, text);
		char *error = NULL;
		struct policy *p = policy_load(place->file, &error);
		if (cases[i].bytes && !p)
			fail_msg("%s", error);
		assert_true((p ? p->plaintext_memory_bytes : 0) == cases[i].bytes);
		policy_free(p);
		free(error);
	}
}

// Wherever a label may stand.
static void labels_of_connections_are_labels_like_others(void **state)
{
	struct place *place = *state;

	write_text(place->file,
		   "limits:\n"
		   "  - {name: a, rpm: 1, match: {opaque: true, protocol: [h2, web*]},\n"
		   "     key: [container, protocol]}\n"
		   "rules:\n"
		   "  - {set: place, from: container, default: host, when: {protocol: h2}}\n"
		   "scheduler:\n"
		   "  fairness_label_key: container\n"
		   "  workloads: [{name: x, match: {opaque: \"false\"}}]\n");
	struct policy *p = load_good(place->file);
	assert_keys(p, &p->limits[0], "container", "protocol");
	assert_matcher(p, &p->limits[0].selectors[0].match->children[0], MATCHER_GLOB, "opaque");
	assert_string_equal(p->limits[0].selectors[0].match->children[0].values[0], "true");
	assert_int_equal(p->rules[0].from, LABEL_CONTAINER);
	assert_int_equal(p->schedulers[0]->fairness_label, LABEL_CONTAINER);
	policy_free(p);
}

// Which limits learn from the provider's headers: those that count no less than it does.
static void mirrors_and_models(void **state)
{
	static const struct {
		const char *limit;
		bool mirrors, is_per_model;
	} cases[] = {
		{"{name: a, rpm: 1}", true, true},
		{"{name: a, rpm: 1, key: []}", true, false},
		{"{name: a, rpm: 1, key: [], match: {model: gpt-4}}", true, true},
		{"{name: a, rpm: 1, key: [], match: {match_labels: {model_variant: x}}}", true,
		 true},
		{"{name: a, rpm: 1, key: [], match: {model: \"gpt-4*\"}}", true, false},
		{"{name: a, rpm: 1, key: [], match: {model: [a, b]}}", true, false},
		{"{name: a, rpm: 1, key: [team, model]}", false, true},
		{"{name: a, rpm: 1, match: {user: x}}", false, true},
		{"{name: a, rpm: 1, match: {endpoint: /v1/x, api_key: 0123456789abcdef}}", true,
		 true},
		{"{name: a, rpm: 1, match: {expression: {not: {label_exists: body.user}}}}", false,
		 true},
		{"{name: a, budget: $5/day}", false, false}, // one for all models
	};
	struct place *place = *state;
	char text[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "limits: [%s]\n", cases[i].limit);
		write_text(place->file, text);
		struct policy *p = load_good(place->file);
		if (p->limits[0].mirrors != cases[i].mirrors ||
		    p->limits[0].is_per_model != cases[i].is_per_model)
			fail_msg("%s", cases[i].limit);
		policy_free(p);
	}
}

// A trace may carry labels that nothing on a host gives; a misspelt one is still a mistake.
static void a_trace_may_carry_other_labels(void **state)
{
	struct place *place = *state;
	char *error = NULL;

	write_text(place->file, "limits: [{name: a, rpm: 1, key: customer}]\n");
	assert_null(policy_load(place->file, &error));
	free(error);
	struct policy *p = policy_load_for_trace(place->file, &error);
	assert_non_null(p);
	assert_string_equal(p->labels[p->limits[0].keys[0]], "customer");
	policy_free(p);
	write_text(place->file, "limits: [{name: a, rpm: 1, key: modle}]\n");
	assert_null(policy_load_for_trace(place->file, &error));
	assert_non_null(strstr(error, "\"model\""));
	free(error);
}

// What programs say may decide an order where that is allowed, and elsewhere in any case.
static void what_programs_say_is_taken_where_allowed(void **state)
{
	static const char *const texts[] = {
		"priority_sources: http.header.x-a\n"
		"rules: [{set: b, from: http.header.x-a}, {set: priority, from: b}]\n",
		"priority_sources: [\"http.header.*\", \"body.*\", comm]\n"
		"rules: [{set: priority, value: 5, when: {comm: a, body.user: b, http.header.c: "
		"d}}]\n",
		"rules: [{set: priority, value: 5, when: {unit: a.service, user: b}}]\n",
		"rules: [{set: reason, from: http.header.x-a}]\n", // decides nothing
		"scheduler: {workloads: [{name: a, match: {body.user: b}, tokens: 5}]}\n",
		"scheduler: {fairness_label_key: body.user}\n",
		"limits: [{name: a, rpm: 1, key: http.header.x-a, match: {body.user: b}}]\n",
	};
	struct place *place = *state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		write_text(place->file, texts[i]);
		policy_free(load_good(place->file));
	}
}

// Near misses of what is refused.
static void what_only_looks_wrong_is_taken(void **state)
{
	static const char *const texts[] = {
		"limits: [{name: a, rpm: 0}]\n", // forbids
		"limits: [{name: a, rpm: 1}, {name: a, tpm: 99, key: []}, {name: a, rpd: 5}]\n",
		"limits: [{name: a, rpm: 1}, {name: b, rpm: 1}]\n", // the same numbers
		"limits: [{name: a, rpm: 1}, {name: b, rpm: 2, key: model}]\n",
		"limits: [{name: a, rpm: 1}, {name: b, auto: true, key: [api_key, model]}]\n",
		"limits: [{name: a, rpm: 5, rpd: 5}]\n",
		"limits: [{name: a, tpm: 60, smooth: 1s}]\n",
		"limits: [{name: a, rpm: 1, match: {team: \"*\"}}]\n",
		"limits: [{name: a, rpm: 1, match: {}}]\n",
		"teams: [{name: a, user: a, guarantee: 50%, tpm: 50%}, {name: b, guarantee: 50%}]\n"
		"limits: [{name: a, tpm: 90}]\n",
		"scheduler: {workloads: [{name: a, match: {model: x}}, {name: b, match: {model: "
		"y}}]}\n",
		"scheduler: {workloads: [{name: a, match: {model: x, stream: \"true\"}}, "
		"{name: b, match: {model: x}}, {name: rest}]}\n",
		"policies: [{name: a, resource: requests, bucket_capacity: 5, interval: 366d}]\n",
	};
	struct place *place = *state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		write_text(place->file, texts[i]);
		policy_free(load_good(place->file));
	}
}

struct budget_case {
	const char *text;
	double dollars;
	uint64_t interval_ns;
	enum calendar calendar;
};

static void budgets_mean_what_they_say(void **state)
{
	static const struct budget_case cases[] = {
		{"$500/month", 500, 30 * DAY, CALENDAR_MONTH},
		{"500$/month", 500, 30 * DAY, CALENDAR_MONTH},
		{"500 USD/month", 500, 30 * DAY, CALENDAR_MONTH},
		{"$1.5k / day", 1500, DAY, CALENDAR_DAY},
		{"$0.12/hour", 0.12, 3600 * S, CALENDAR_NONE},
		{"$7/week", 7, 7 * DAY, CALENDAR_NONE},
		{"$1/minute", 1, MINUTE, CALENDAR_NONE},
	};
	struct place *place = *state;
	char text[128];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "limits: [{name: a, budget: %s}]\n", cases[i].text);
		write_text(place->file, text);
		struct policy *p = load_good(place->file);
		assert_bucket(p->limits, cases[i].dollars, cases[i].dollars);
		assert_true(p->limits->interval_ns == cases[i].interval_ns);
		assert_int_equal(p->limits->calendar, cases[i].calendar);
		policy_free(p);
	}
}

static void anchors_stand_for_their_values(void **state)
{
	(void)state;
	struct policy *p = load_good(DATA "anchors.yaml");

	assert_list(p->teams[0].cgroups, "/a.slice", "/b.slice");
	assert_list(p->teams[1].cgroups, "/a.slice", "/b.slice");
	assert_keys(p, &p->limits[1], "team", "model");
	assert_bucket(&p->limits[1], 10, 10);
	policy_free(p);
}

static void policies_d_adds_in_name_order(void **state)
{
	(void)state;
	struct policy *p = load_good(DATA "merged/sluice.yaml");

	assert_int_equal(p->mode, MODE_ENFORCE);
	assert_int_equal(p->n_teams, 3);
	assert_int_equal(p->n_limits, 3);
	assert_string_equal(p->teams[0].name, "main");
	assert_string_equal(p->teams[1].name, "first");
	assert_string_equal(p->teams[2].name, "second");
	assert_string_equal(p->limits[0].name, "main");
	assert_string_equal(p->limits[1].name, "first");
	assert_string_equal(p->limits[2].name, "second");
	assert_int_equal(p->limits[2].line, 2);
	policy_free(p);
}

struct duration_case {
	const char *text;
	uint64_t ns;
};

static void durations_and_numbers_mean_what_they_say(void **state)
{
	static const struct duration_case durations[] = {
		{"1ns", 1},
		{"2us", 2000},
		{"250ms", 250000000},
		{"10s", 10000000000},
		{"600s", 600000000000},
		{"1h30m", 5400000000000},
		{"1m0.5s", 60500000000},
		{"1h0.000000001s", 3600000000001},
		{"1d1ns", 86400000000001},
		{"1_000ms", 1000000000},
		{"365d", 365ull * 86400 * 1000000000},
	};
	static const struct {
		const char *text;
		double value;
	} rates[] = {
		{"0", 0},         {"40000", 4e4},        {"40_000", 4e4}, {"1_000_000", 1e6},
		{"40k", 4e4},     {"40K", 4e4},          {"1.5M", 1.5e6}, {"2.12", 2.12},
		{"\"200\"", 200}, {"1000000000M", 1e15}, {"1e+06", 1e6},  {"2.5E3", 2500},
	};
	struct place *place = *state;
	char text[128];

	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		snprintf(text, sizeof(text), "max_wait: %s\n", durations[i].text);
		write_text(place->file, text);
		struct policy *policy = load_good(place->file);
		assert_true(policy->max_wait_ns == durations[i].ns);
		policy_free(policy);
	}
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		snprintf(text, sizeof(text), "limits: [{name: a, rpm: %s}]\n", rates[i].text);
		write_text(place->file, text);
		struct policy *policy = load_good(place->file);
		assert_bucket(policy->limits, rates[i].value, rates[i].value);
		policy_free(policy);
	}
}

// Just short of the bounds: these load, and soon enough.
static void large_files_load(void **state)
{
	struct place *place = *state;
	FILE *out = fopen(place->file, "w");

	assert_non_null(out);
	fputs("teams:\n", out);
	for (int i = 0; i < 5000; i++)
		fprintf(out, "  - {name: team-%d, cgroup: \"/team-%d-*.slice\"}\n", i, i);
	fputs("limits:\n", out);
	for (int i = 0; i < 5000; i++)
		fprintf(out, "  - {name: limit-%d, match: {team: team-%d}, rpm: 1}\n", i, i);
	fclose(out);
	struct policy *policy = load_good(place->file);
	assert_int_equal(policy->n_teams, 5000);
	assert_int_equal(policy->n_limits, 5000);
	policy_free(policy);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(files_that_say_nothing_give_the_defaults),
		TEST(the_shipped_file_is_harmless),
		TEST(the_shipped_examples_load),
		TEST(the_design_example_is_read_whole),
		TEST(anchors_stand_for_their_values),
		TEST(policies_d_adds_in_name_order),
		TEST(durations_and_numbers_mean_what_they_say),
		TEST(large_files_load),
		TEST(what_is_written_loads_to_the_same),
		TEST(time_zones_are_those_of_the_system),
		TEST(prices_are_found_by_model),
		TEST(labels_are_found_by_name_and_alias),
		TEST(connections_are_treated_as_written),
		TEST(no_proxy_port_is_no_proxy_port),
		TEST(memory_means_what_it_says),
		TEST(labels_of_connections_are_labels_like_others),
		TEST(mirrors_and_models),
		TEST(what_programs_say_is_taken_where_allowed),
		TEST(what_only_looks_wrong_is_taken),
		TEST(a_trace_may_carry_other_labels),
		TEST(budgets_mean_what_they_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
