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

static void assert_keys(const struct limit *limit, size_t n, const enum key_label *keys)
{
	assert_int_equal(limit->n_keys, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(limit->keys[i], keys[i]);
}

static void assert_defaults(const struct policy *p)
{
	assert_int_equal(p->mode, MODE_OBSERVE);
	assert_int_equal(p->on_daemon_failure, FAILURE_OPEN);
	assert_int_equal(p->on_max_wait, MAX_WAIT_DENY);
	assert_true(p->max_wait_ns == 600000000000ull);
	assert_true(p->headroom_ns == 250000000ull);
	assert_int_equal(p->n_providers, 1);
	assert_string_equal(p->providers[0].name, "openai");
	assert_list(p->providers[0].hosts, "api.openai.com");
	assert_int_equal(p->providers[0].n_ports, 1);
	assert_int_equal(p->providers[0].ports[0], 443);
	assert_int_equal(p->n_teams, 0);
	assert_int_equal(p->n_limits, 0);
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
		fputs(line + (strncmp(line, "#- ", 3) == 0), out);
	}
	fclose(in);
	fclose(out);
	struct policy *policy = load_good(place->file);
	assert_int_equal(policy->n_providers, 2);
	assert_int_equal(policy->n_teams, 5);
	assert_int_equal(policy->n_limits, 3);
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

static void check_design_limits(const struct policy *p)
{
	const struct limit *limit = p->limits;

	assert_int_equal(p->n_limits, 4);
	assert_string_equal(limit->name, "gpt-4");
	assert_int_equal(limit->line, 17);
	assert_string_equal(limit->match.model, "gpt-4");
	assert_null(limit->match.team);
	assert_keys(limit, 1, (enum key_label[]){KEY_API_KEY});
	assert_rate(limit->rpm, RATE_PER_MINUTE, 200);
	assert_rate(limit->tpm, RATE_PER_MINUTE, 40000);
	assert_int_equal(limit->over_limit, OVER_LIMIT_QUEUE);

	limit++;
	assert_int_equal(limit->line, 18);
	assert_string_equal(limit->match.provider, "open*");
	assert_string_equal(limit->match.team, "[cb]*");
	assert_string_equal(limit->match.endpoint, "/v1/*");
	assert_string_equal(limit->match.api_key, "0123456789abcdef");
	assert_string_equal(limit->match.organization, "org-?");
	assert_string_equal(limit->match.user, "batch");
	assert_keys(limit, 6,
		    (enum key_label[]){KEY_ORGANIZATION, KEY_PROJECT, KEY_MODEL, KEY_TEAM, KEY_USER,
				       KEY_PROVIDER});
	assert_rate(limit->rpm, RATE_ABSENT, 0);
	assert_rate(limit->tpm, RATE_PER_MINUTE, 1.5e6);
	assert_int_equal(limit->over_limit, OVER_LIMIT_DENY);

	limit++;
	assert_keys(limit, 0, NULL);
	assert_rate(limit->rpm, RATE_PER_MINUTE, 40000);
	limit++;
	assert_keys(limit, 2, (enum key_label[]){KEY_API_KEY, KEY_MODEL});
	assert_rate(limit->rpm, RATE_PER_MINUTE, 0.5);
}

static void the_design_example_is_read_whole(void **state)
{
	(void)state;
	struct policy *p = load_good(DATA "design.yaml");

	assert_int_equal(p->mode, MODE_ENFORCE);
	assert_int_equal(p->on_max_wait, MAX_WAIT_ADMIT);
	assert_true(p->max_wait_ns == 5400ull * 1000000000);
	assert_true(p->headroom_ns == 1500000000ull);
	assert_int_equal(p->n_providers, 2);
	assert_list(p->providers[0].hosts, "api.openai.com", "2001:db8::1", "192.0.2.7");
	assert_int_equal(p->providers[0].n_ports, 2);
	assert_int_equal(p->providers[0].ports[1], 8443);
	assert_list(p->providers[1].hosts, "*.openai.azure.com");
	assert_int_equal(p->providers[1].ports[0], 443);
	check_design_teams(p);
	check_design_limits(p);
	policy_free(p);
}

static void anchors_stand_for_their_values(void **state)
{
	(void)state;
	struct policy *p = load_good(DATA "anchors.yaml");

	assert_list(p->teams[0].cgroups, "/a.slice", "/b.slice");
	assert_list(p->teams[1].cgroups, "/a.slice", "/b.slice");
	assert_keys(&p->limits[1], 2, (enum key_label[]){KEY_TEAM, KEY_MODEL});
	assert_rate(p->limits[1].rpm, RATE_PER_MINUTE, 10);
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
		{"1_000ms", 1000000000},
		{"365d", 365ull * 86400 * 1000000000},
	};
	static const struct {
		const char *text;
		double value;
	} rates[] = {
		{"0", 0},         {"40000", 4e4},        {"40_000", 4e4}, {"1_000_000", 1e6},
		{"40k", 4e4},     {"40K", 4e4},          {"1.5M", 1.5e6}, {"0.25", 0.25},
		{"\"200\"", 200}, {"1000000000M", 1e15},
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
		assert_true(fabs(policy->limits[0].rpm.value - rates[i].value) < 1e-9);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
