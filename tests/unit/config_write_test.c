// The policy in effect, written as YAML: what `sluice` shows of it must be the policy, not
// something like it. So it is loaded, written, loaded and written again. Run from the root of the
// repository.
#include <inttypes.h>
#include <math.h>

#include "config/emit.h"
#include "data/config/place.h"

#define BLUEPRINT "tests/unit/data/blueprints/gpt-4-rpm-workloads.yaml"

// A file with every feature. Its conditions are in the order in which they are written, so that the
// trees compare, too.
static const char EVERYTHING[] =
	"mode: enforce\n"
	"on_daemon_failure: closed\n"
	"max_wait: 1h30m\n"
	"on_max_wait: admit\n"
	"opaque: deny\n"
	"opaque_model: gpt-4o\n"
	"http2_max_hold: 1m30s\n"
	"proxy_ports: [3128, 8888]\n"
	"plaintext_memory: 0.5GiB\n"
	"headroom: 1.5s\n"
	"ageing: 45s\n"
	"timezone: Europe/Berlin\n"
	"agent_group: apollo-prod\n"
	"prices: prices.csv\n"
	"priority_sources: [http.header.x-reason, \"body.*\"]\n"
	"labels: [from_a_trace, \"yes\"]\n"
	"providers:\n"
	"  - {name: openai, hosts: [API.OpenAI.com, \"2001:DB8::1\"], ports: [443, 8443]}\n"
	"  - {name: azure, hosts: \"*.openai.azure.com\"}\n"
	"teams:\n"
	"  - {name: chat, cgroup: /chat.slice, weight: 4, guarantee: 12.5%, tier: 1}\n"
	"  - {name: review, cgroup: [\"/review-*.slice\", /ci.slice], tpm: 33.3%, rpm: 100}\n"
	"  - {name: games, user: [\"1000\", bob], unit: \"w@*.service\", deny: true, priority: "
	"0.7}\n"
	"  - {name: \"null\"}\n"
	"rules:\n"
	"  - {set: reason, from: http.header.X-Reason, default: free, when: {team: chat}}\n"
	"  - {set: tier_label, value: gold, when: {match_labels: {team: chat, uid: \"0\"}}}\n"
	"  - {set: priority, from: body.metadata.paid, map: {paid: 100, trial: 50}, default: 10}\n"
	"  - {set: priority, add: 1, for_each: body.metadata.review, at_most: 50}\n"
	"  - {set: queue_timeout, value: 90s}\n"
	"  - {set: model_variant, from: model}\n"
	"scheduler:\n"
	"  tokens_label_key: from_a_trace\n"
	"  fairness_label_key: user\n"
	"  workloads:\n"
	"    - {name: gold, match: {team: [chat, rev*]}, priority: 10.25, tier: 2}\n"
	"    - name: paid\n"
	"      label_matcher: {match_labels: {reason: paid}}\n"
	"      queue_timeout: 250ms\n"
	"      tokens: 7\n"
	"  others: {priority: 0.5, queue_timeout: 30s, tier: 9}\n"
	"limits:\n"
	"  - {name: gpt-4, match: {model: \"gpt-4*\", user: [a, b]}, rpm: 200, tpm: 1.5M, ipm: 5,\n"
	"     rpd: 20k, tpd: 100M}\n"
	"  - {name: spend, key: team, budget: $500.25/month}\n"
	"  - {name: spend, key: [], budget: $0.1/hour, over_limit: queue}\n"
	"  - {name: day, budget: $20/day}\n"
	"  - {name: learnt, match: {provider: azure}, auto: true}\n"
	"  - {name: granted, match: {provider: openai}, tier: 3}\n"
	"  - {name: smoothed, key: [], tpm: 7000, smooth: 1.3s}\n"
	"policies:\n"
	"  - {name: plain, resource: requests, bucket_capacity: 33.1, interval: 90s}\n"
	"  - name: long\n"
	"    resource: total_tokens\n"
	"    bucket_capacity: 10000\n"
	"    fill_amount: 12.34\n"
	"    interval: 1d1h\n"
	"    continuous_fill: false\n"
	"    delay_initial_fill: true\n"
	"    label_key: [http.header.X-On-Behalf-Of, team]\n"
	"    over_limit: deny\n"
	"    selectors:\n"
	"      - {control_point: any, label_matcher: {match_labels: {stream: \"true\"}}}\n"
	"      - control_point: \"az*\"\n"
	"        agent_group: apollo-prod\n"
	"        match:\n"
	"          team: \"[cr]*\"\n"
	"          match_labels: {reason: \"null\", tier_label: \"# no comment\"}\n"
	"          match_list:\n"
	"            - {key: model_variant, operator: In, values: [gpt-4, \"a: b\", \"- c\"]}\n"
	"            - {key: from_a_trace, operator: NotIn, values: [\"yes\"]}\n"
	"            - {key: \"yes\", operator: Exists}\n"
	"            - {key: http.header.system, operator: DoesNotExist}\n"
	"          expression:\n"
	"            any:\n"
	"              of:\n"
	"                - not: {label_exists: reason}\n"
	"                - all: {of: [{label_equals: {label: comm, value: \"it's\"}},\n"
	"                    {label_matches: {label: exe, regex: "
	"\"^/usr/(s?bin|lib)/[a-z]+$\"}}]}\n"
	"    scheduler:\n"
	"      priority_label_key: ~\n"
	"      workloads: [{name: x, match: {model: gpt*}}, {name: z}]\n"
	"  - {name: month, resource: output_tokens, bucket_capacity: 5M, calendar: month}\n"
	"  - {name: input, resource: input_tokens, bucket_capacity: 5M, interval: 366d, key: "
	"user}\n"
	"  - {name: lump, resource: cost, bucket_capacity: $50, fill_amount: 0, interval: 2h}\n";

// All in a directory of its own, with a blueprint in policies.d/ and a table of prices.
static void write_everything(const struct place *place)
{
	char prices[128], blueprint[4096];
	FILE *in = fopen(BLUEPRINT, "r");

	assert_non_null(in);
	size_t size = fread(blueprint, 1, sizeof(blueprint), in);
	fclose(in);
	write_text(place->file, EVERYTHING);
	write_bytes(place->added, blueprint, size);
	snprintf(prices, sizeof(prices), "%s/prices.csv", place->directory);
	write_text(prices, "model,usd_per_1m_input,usd_per_1m_cached_input,usd_per_1m_output\n"
			   "mine,1.5,,2\n");
}

static void remove_prices(const struct place *place)
{
	char prices[128];

	snprintf(prices, sizeof(prices), "%s/prices.csv", place->directory);
	unlink(prices);
}

// The caller frees the text.
static char *written(const struct policy *policy)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	assert_int_equal(policy_write(policy, out), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

// Loads what is written, as the only file there is.
static struct policy *load_written(struct place *place, const char *text)
{
	write_text(place->file, text);
	unlink(place->added);
	return load_good(place->file);
}

static void assert_same_text(const char *a, const char *b)
{
	assert_true((a == NULL) == (b == NULL));
	if (a)
		assert_string_equal(a, b);
}

static void assert_same_texts(char *const *a, char *const *b)
{
	assert_true((a == NULL) == (b == NULL));
	for (; a && *a; a++, b++)
		assert_same_text(*a, *b);
	if (a)
		assert_null(*b);
}

// Labels are numbered in the order in which they are met: the names are what counts.
static const char *name_of(const struct policy *p, size_t label)
{
	return label == NO_LABEL ? NULL : p->labels[label];
}

struct pair {
	const struct policy *a, *b;
};

static void assert_same_label(const struct pair *p, size_t a, size_t b)
{
	assert_same_text(name_of(p->a, a), name_of(p->b, b));
}

static void assert_same_matcher(const struct pair *p, const struct matcher *a,
				const struct matcher *b)
{
	assert_true((a == NULL) == (b == NULL));
	if (!a)
		return;
	assert_int_equal(a->kind, b->kind);
	if (a->kind >= MATCHER_EXISTS)
		assert_same_label(p, a->label, b->label);
	assert_same_texts(a->values, b->values);
	assert_true((a->regex == NULL) == (b->regex == NULL));
	assert_int_equal(a->n_children, b->n_children);
	for (size_t i = 0; i < a->n_children; i++)
		assert_same_matcher(p, &a->children[i], &b->children[i]);
}

static void assert_same_workload(const struct pair *p, const struct workload *a,
				 const struct workload *b)
{
	assert_same_text(a->name, b->name);
	assert_same_matcher(p, a->match, b->match);
	assert_true(a->priority == b->priority);
	assert_true(a->tokens == b->tokens);
	assert_true(a->queue_timeout_ns == b->queue_timeout_ns);
	assert_int_equal(a->tier, b->tier);
}

static void assert_same_scheduler(const struct pair *p, const struct scheduler *a,
				  const struct scheduler *b)
{
	assert_true((a == p->a->schedulers[0]) == (b == p->b->schedulers[0]));
	assert_same_label(p, a->priority_label, b->priority_label);
	assert_same_label(p, a->tokens_label, b->tokens_label);
	assert_same_label(p, a->fairness_label, b->fairness_label);
	assert_int_equal(a->n_workloads, b->n_workloads);
	for (size_t i = 0; i < a->n_workloads; i++)
		assert_same_workload(p, &a->workloads[i], &b->workloads[i]);
	assert_same_workload(p, &a->others, &b->others);
}

static void assert_same_limit(const struct pair *p, const struct limit *a, const struct limit *b)
{
	assert_same_text(a->name, b->name);
	assert_int_equal(a->resource, b->resource);
	assert_true(a->capacity == b->capacity); // also of two infinities
	assert_true(a->fill_amount == b->fill_amount);
	assert_true(a->interval_ns == b->interval_ns);
	assert_int_equal(a->is_stepwise, b->is_stepwise);
	assert_int_equal(a->delays_fill, b->delays_fill);
	assert_int_equal(a->calendar, b->calendar);
	assert_true(a->smooth_ns == b->smooth_ns);
	assert_int_equal(a->is_auto, b->is_auto);
	assert_int_equal(a->tier, b->tier);
	assert_int_equal(a->n_tier_rows, b->n_tier_rows);
	assert_int_equal(a->n_selectors, b->n_selectors);
	for (size_t i = 0; i < a->n_selectors; i++) {
		assert_same_text(a->selectors[i].control_point, b->selectors[i].control_point);
		assert_same_text(a->selectors[i].agent_group, b->selectors[i].agent_group);
		assert_same_matcher(p, a->selectors[i].match, b->selectors[i].match);
	}
	assert_int_equal(a->n_keys, b->n_keys);
	for (size_t i = 0; i < a->n_keys; i++)
		assert_same_label(p, a->keys[i], b->keys[i]);
	assert_int_equal(a->passes_without_key, b->passes_without_key);
	assert_same_scheduler(p, a->scheduler, b->scheduler);
	assert_int_equal(a->over_limit, b->over_limit);
	assert_int_equal(a->mirrors, b->mirrors);
	assert_int_equal(a->is_per_model, b->is_per_model);
	assert_int_equal(a->is_blueprint, b->is_blueprint);
}

static void assert_same_settings(const struct policy *a, const struct policy *b)
{
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->on_daemon_failure, b->on_daemon_failure);
	assert_true(a->max_wait_ns == b->max_wait_ns);
	assert_int_equal(a->on_max_wait, b->on_max_wait);
	assert_int_equal(a->opaque, b->opaque);
	assert_same_text(a->opaque_model, b->opaque_model);
	assert_true(a->http2_max_hold_ns == b->http2_max_hold_ns);
	assert_true(a->plaintext_memory_bytes == b->plaintext_memory_bytes);
	assert_int_equal(a->n_proxy_ports, b->n_proxy_ports);
	for (size_t i = 0; i < a->n_proxy_ports; i++)
		assert_int_equal(a->proxy_ports[i], b->proxy_ports[i]);
	assert_true(a->headroom_ns == b->headroom_ns);
	assert_int_equal(a->headroom_is_given, b->headroom_is_given);
	assert_true(a->ageing_ns == b->ageing_ns);
	assert_same_text(a->agent_group, b->agent_group);
	assert_same_text(a->zone->name, b->zone->name);
	assert_same_text(a->prices_file, b->prices_file);
	assert_int_equal(a->n_prices, b->n_prices);
	assert_same_texts(a->priority_sources, b->priority_sources);
	assert_int_equal(a->n_providers, b->n_providers);
	for (size_t i = 0; i < a->n_providers; i++) {
		assert_same_text(a->providers[i].name, b->providers[i].name);
		assert_same_texts(a->providers[i].hosts, b->providers[i].hosts);
		assert_int_equal(a->providers[i].n_ports, b->providers[i].n_ports);
		for (size_t j = 0; j < a->providers[i].n_ports; j++)
			assert_int_equal(a->providers[i].ports[j], b->providers[i].ports[j]);
	}
}

static void assert_same_team(const struct team *a, const struct team *b)
{
	assert_same_text(a->name, b->name);
	assert_same_texts(a->cgroups, b->cgroups);
	assert_same_texts(a->units, b->units);
	assert_same_texts(a->users, b->users);
	assert_true(a->weight == b->weight && a->priority == b->priority);
	assert_true(a->guarantee == b->guarantee);
	assert_int_equal(a->tier, b->tier);
	assert_int_equal(a->deny, b->deny);
	assert_int_equal(a->rpm.kind, b->rpm.kind);
	assert_true(a->rpm.value == b->rpm.value);
	assert_int_equal(a->tpm.kind, b->tpm.kind);
	assert_true(a->tpm.value == b->tpm.value);
}

static void assert_same_rule(const struct pair *p, const struct rule *a, const struct rule *b)
{
	assert_same_label(p, a->label, b->label);
	assert_same_matcher(p, a->when, b->when);
	assert_same_label(p, a->from, b->from);
	assert_same_text(a->value, b->value);
	assert_same_texts(a->map_from, b->map_from);
	assert_same_texts(a->map_to, b->map_to);
	assert_same_text(a->fallback, b->fallback);
	assert_true(a->add == b->add && a->at_most == b->at_most);
	assert_same_label(p, a->for_each, b->for_each);
}

static void assert_same_policy(const struct policy *a, const struct policy *b)
{
	const struct pair p = {a, b};

	assert_same_settings(a, b);
	assert_int_equal(a->n_labels, b->n_labels);
	for (size_t i = 0; i < a->n_labels; i++)
		assert_true(policy_find_label(b, a->labels[i]) != NO_LABEL);
	assert_int_equal(a->n_teams, b->n_teams);
	for (size_t i = 0; i < a->n_teams; i++)
		assert_same_team(&a->teams[i], &b->teams[i]);
	assert_int_equal(a->n_rules, b->n_rules);
	for (size_t i = 0; i < a->n_rules; i++)
		assert_same_rule(&p, &a->rules[i], &b->rules[i]);
	assert_int_equal(a->n_schedulers, b->n_schedulers);
	assert_same_scheduler(&p, a->schedulers[0], b->schedulers[0]);
	assert_int_equal(a->n_limits, b->n_limits);
	for (size_t i = 0; i < a->n_limits; i++)
		assert_same_limit(&p, &a->limits[i], &b->limits[i]);
}

// Loads what stands in `place`, and asserts that writing it loses nothing. Returns the text.
static char *assert_round_trip(struct place *place, bool trees_too)
{
	struct policy *first = load_good(place->file);
	char *text = written(first);
	struct policy *second = load_written(place, text);
	char *again = written(second);

	if (getenv("CONFIG_TEST_SHOW"))
		fputs(text, stderr);
	assert_string_equal(text, again);
	if (trees_too)
		assert_same_policy(first, second);
	policy_free(first);
	policy_free(second);
	free(again);
	return text;
}

static void every_feature_survives(void **state)
{
	struct place *place = *state;

	write_everything(place);
	char *text = assert_round_trip(place, true);
	remove_prices(place);
	assert_null(strstr(text, "inf"));
	// What people look for, as they would write it.
	assert_non_null(strstr(text, "mode: enforce\n"));
	assert_non_null(strstr(text, "max_wait: 1h30m\n"));
	assert_non_null(strstr(text, "opaque: deny\n"));
	assert_non_null(strstr(text, "http2_max_hold: 1m30s\n"));
	assert_non_null(strstr(text, "proxy_ports: [3128, 8888]\n"));
	assert_non_null(strstr(text, "plaintext_memory: 512MiB\n"));
	assert_non_null(strstr(text, "headroom: 1s500ms\n"));
	assert_non_null(strstr(text, "guarantee: 12.5%\n"));
	assert_non_null(strstr(text, "auto: true\n"));
	assert_non_null(strstr(text, "calendar: month\n"));
	assert_non_null(strstr(text, "label_key: [http.header.x-on-behalf-of, team]\n"));
	assert_non_null(strstr(text, "blueprint: true\n"));
	assert_non_null(strstr(text, "name: 'null'\n"));
	free(text);
}

// Labels that no request has: only a recorded trace could.
static void labels_of_blueprints_survive(void **state)
{
	struct place *place = *state;

	write_text(place->file, "blueprint: quota-scheduling/base\n"
				"policy:\n"
				"  policy_name: a\n"
				"  quota_scheduler:\n"
				"    bucket_capacity: 1e+06\n"
				"    fill_amount: 1\n"
				"    rate_limiter: {interval: 60s, label_key: body.anything}\n"
				"    scheduler:\n"
				"      tokens_label_key: http.path\n"
				"      workloads:\n"
				"        - label_matcher: {match_labels: {http.host: b}}\n"
				"          parameters: {queue_timeout: 0s}\n"
				"    selectors:\n"
				"      - {control_point: any}\n"
				"      - {control_point: openai, agent_group: g}\n");
	free(assert_round_trip(place, true));
}

// An empty list of ports is not the same as none given; memory need not be whole MiB.
static void no_proxy_ports_and_odd_memory_survive(void **state)
{
	struct place *place = *state;

	write_text(place->file, "proxy_ports: []\nplaintext_memory: 5000001\nopaque: pass\n");
	char *text = assert_round_trip(place, true);
	assert_non_null(strstr(text, "proxy_ports: []\n"));
	assert_non_null(strstr(text, "plaintext_memory: 5000001\n"));
	assert_non_null(strstr(text, "opaque: pass\n"));
	free(text);
}

static void nothing_at_all_survives(void **state)
{
	struct place *place = *state;

	write_text(place->file, "");
	char *text = assert_round_trip(place, true);
	assert_non_null(strstr(text, "mode: observe\n"));
	assert_non_null(strstr(text, "proxy_ports: [3128, 8080]\n"));
	assert_null(strstr(text, "opaque_model"));
	assert_null(strstr(text, "headroom")); // else it would count as given
	assert_null(strstr(text, "policies"));
	free(text);
}

// In any order, and such as need the expression: the text settles at once.
static void conditions_in_any_order_settle(void **state)
{
	static const char *const matches[] = {
		"{match_list: [{key: uid, operator: In, values: ['1']}], match_labels: {user: a}}",
		"{match_list: [{key: uid, operator: In, values: ['1']},"
		" {key: uid, operator: In, values: ['2']}]}",
		"{expression: {label_exists: comm}, model: gpt*, match_labels: {team: a}}",
		"{expression: {label_matches: {label: comm, regex: a}},"
		" match_expressions: [{key: uid, operator: NotIn, values: ['1', '2']}]}",
		"{expression: {all: {of: [{label_exists: comm}, {label_exists: exe}]}}}",
		"{expression: {all: {of: [{not: {label_matches: {label: comm, regex: a}}}]}}}",
		"{expression: {not: {not: {label_equals: {label: comm, value: a}}}}}",
		"{expression: {not: {any: {of: [{label_equals: {label: comm, value: a}}]}}}}",
		"{endpoint: [/v1/*, \"*/embeddings\"], api_key: 0123456789ABCDEF}",
	};
	struct place *place = *state;
	char text[1024];

	for (size_t i = 0; i < sizeof(matches) / sizeof(matches[0]); i++) {
		snprintf(text, sizeof(text),
			 "teams: [{name: a, user: root}]\n"
			 "limits: [{name: a, rpm: 1, match: %s}]\n"
			 "rules: [{set: b, value: c, when: %s}]\n"
			 "scheduler: {workloads: [{name: d, match: %s}]}\n",
			 matches[i], matches[i], matches[i]);
		write_text(place->file, text);
		char *settled = assert_round_trip(place, false);
		assert_null(strstr(settled, "uid: '2'")); // a key of match_labels twice
		free(settled);
	}
}

// A text that YAML would read as something else, fold, or end early.
static void any_text_survives(void **state)
{
	static const char *const texts[] = {
		"~",
		"null",
		"NULL",
		"true",
		"no",
		"1e3",
		"0x10",
		"+1",
		".5",
		"-",
		"- a",
		"? a",
		": a",
		"a: b",
		"a:",
		"a #b",
		"#a",
		"it's",
		"\"a\"",
		"'a'",
		"&a",
		"*a",
		"!a",
		"|",
		">",
		"%a",
		"@a",
		"`a",
		"{a}",
		"[a]",
		"a, b",
		"a]",
		"a}",
		"\\n",
		"a\\",
		"---",
		"...",
		"<<",
		"=",
		"ünï",
		"\u00a0",
		"a\xc2\x85"
		"b",
		"a\u2028b",
		"a \u2028 b",
		"a\u2028\u2028b",
		"a\u2029b",
		"\ufeff",
		"a\ufeffb",
		"\U0001f600",
		"a  b   c",
	};
	enum { N = sizeof(texts) / sizeof(texts[0]) };
	struct place *place = *state;
	struct policy *policy;

	write_text(place->file, "rules: [{set: a, from: model, map: {b: c}, default: d}]\n");
	policy = load_good(place->file);
	struct rule *rule = &policy->rules[0];
	for (size_t i = 0; i < N; i++) {
		free(rule->fallback);
		free(rule->map_from[0]);
		free(rule->map_to[0]);
		rule->fallback = strdup(texts[i]);
		rule->map_from[0] = strdup(texts[i]);
		rule->map_to[0] = strdup(texts[N - 1 - i]);
		char *text = written(policy);
		struct policy *again = load_written(place, text);
		assert_same_policy(policy, again);
		policy_free(again);
		free(text);
	}
	policy_free(policy);
}

// Longer than any line, and than what a plain key may be.
static void long_texts_are_not_folded(void **state)
{
	struct place *place = *state;
	struct policy *policy;
	char words[256];

	for (size_t i = 0; i < sizeof(words); i++)
		words[i] = i % 8 == 7 ? ' ' : 'x';
	words[255] = '\0';
	write_text(place->file, "rules: [{set: a, from: model, map: {b: c}, default: d}]\n");
	policy = load_good(place->file);
	free(policy->rules[0].map_from[0]);
	free(policy->rules[0].fallback);
	policy->rules[0].map_from[0] = strdup(words);
	policy->rules[0].fallback = strdup(words);
	char *text = written(policy);
	struct policy *again = load_written(place, text);
	assert_same_policy(policy, again);
	assert_non_null(strstr(text, words));
	policy_free(policy);
	policy_free(again);
	free(text);
}

// What emit_number() makes of it, without the key.
static double number_as_read(double value, char *text, size_t size)
{
	struct emitter emitter;
	char buffer[512] = "";
	FILE *out = fmemopen(buffer, sizeof(buffer), "w");

	emit_begin(&emitter, out);
	emit_mapping(&emitter);
	emit_number(&emitter, "rpm", value);
	emit_mapping_end(&emitter);
	assert_int_equal(emit_end(&emitter), 0);
	fclose(out);
	assert_int_equal(sscanf(buffer, "rpm: %511s", text), 1);
	assert_true(strlen(text) < size);
	return strtod(text, NULL);
}

static void numbers_are_written_to_the_last_bit(void **state)
{
	static const struct {
		double value;
		const char *text;
	} plain[] = {
		{0, "0"},
		{1, "1"},
		{10, "10"},
		{40000, "40000"},
		{0.5, "0.5"},
		{0.1, "0.1"},
		{0.12, "0.12"},
		{0.001, "0.001"},
		{0.00001, "0.00001"},
		{1.25, "1.25"},
		{123456.789, "123456.789"},
		{1e15, "1000000000000000"},
		{100 / 3.0, "33.333333333333336"},
	};
	uint64_t random = 88172645463325252;
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		assert_true(number_as_read(plain[i].value, text, sizeof(text)) == plain[i].value);
		assert_string_equal(text, plain[i].text);
	}
	for (int i = 0; i < 100000; i++) {
		random ^= random << 13; // xorshift64
		random ^= random >> 7;
		random ^= random << 17;
		double value = ldexp((double)(random >> 11), -(int)(random % 80) - 3);
		assert_true(number_as_read(value, text, sizeof(text)) == value);
		assert_null(strpbrk(text, "eE,"));
	}
}

// The same, through the reader of policies.
static void numbers_survive_loading(void **state)
{
	static const double values[] = {100 / 3.0,
					0.12,
					0.7,
					1e15,
					0.30000000000000004,
					123456.789,
					99999.99999999999,
					1 / 7.0,
					2.0000000000000004};
	struct place *place = *state;

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		write_text(place->file, "policies: [{name: a, resource: cost, bucket_capacity: 1,"
					" interval: 1h}]\n");
		struct policy *policy = load_good(place->file);
		policy->limits[0].capacity = values[i];
		policy->limits[0].fill_amount = values[i] / 1000;
		char *text = written(policy);
		struct policy *again = load_written(place, text);
		assert_same_policy(policy, again);
		policy_free(policy);
		policy_free(again);
		free(text);
	}
}

static void durations_survive_to_the_nanosecond(void **state)
{
	static const uint64_t values[] = {
		1000000000,
		1000000001,
		90000000000,
		86400000000000,
		93784005006007,
		366 * 86400000000000,
		365 * 86400000000000 + 1,
	};
	struct place *place = *state;

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		write_text(place->file, "policies: [{name: a, resource: cost, bucket_capacity: 1,"
					" interval: 1h}]\n");
		struct policy *policy = load_good(place->file);
		policy->limits[0].interval_ns = values[i];
		char *text = written(policy);
		struct policy *again = load_written(place, text);
		assert_same_policy(policy, again);
		policy_free(policy);
		policy_free(again);
		free(text);
	}
}

static void what_cannot_be_written_is_an_error(void **state)
{
	struct place *place = *state;
	FILE *full = fopen("/dev/full", "w");

	write_text(place->file, "limits: [{name: a, rpm: 1}]\n");
	struct policy *policy = load_good(place->file);
	assert_non_null(full);
	assert_true(policy_write(policy, full) < 0);
	fclose(full);

	FILE *null = fopen("/dev/null", "w");
	policy->limits[0].capacity = INFINITY; // and it is not `auto`
	assert_true(policy_write(policy, null) < 0);
	fclose(null);
	policy_free(policy);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_feature_survives),
		TEST(labels_of_blueprints_survive),
		TEST(no_proxy_ports_and_odd_memory_survive),
		TEST(nothing_at_all_survives),
		TEST(conditions_in_any_order_settle),
		TEST(any_text_survives),
		TEST(long_texts_are_not_folded),
		TEST(numbers_are_written_to_the_last_bit),
		TEST(numbers_survive_loading),
		TEST(durations_survive_to_the_nanosecond),
		TEST(what_cannot_be_written_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
