// If this fails, sluice simulate answers the question "what would this configuration have done?"
// wrongly, or in another form than sluice(1) promises to scripts.
#include "cli_run.h"

static char directory[] = "/tmp/sluice-simulate-XXXXXX";
static char config[64], trace[64];

#define LIMITS                                                                                     \
	"limits:\n"                                                                                \
	"  - {name: slow, key: [], match: {model: \"gpt-4*\"}, rpm: 1}\n"                          \
	"  - {name: never, key: [], match: {model: \"o1\"}, rpm: 2, over_limit: deny}\n"
#define LINE(t, id, model)                                                                         \
	"{\"t\":" t ",\"id\":" id ",\"labels\":{\"model\":\"" model                                \
	"\",\"team\":\"chat\"},\"tokens\":10,\"response_s\":1}\n"

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static struct result simulate(const char *policy, const char *lines, bool json)
{
	const char *words[] = {"simulate", "--config", config, "--trace", trace, NULL, NULL};

	if (json)
		words[5] = "--json";
	write_file(config, policy);
	write_file(trace, lines);
	return run_words("/nowhere", words);
}

static void each_request_has_a_line_and_the_last_is_the_summary(void **state)
{
	struct result result = simulate(
		LIMITS, LINE("100", "\"a\\\"\"", "gpt-4") LINE("100.5", "2", "gpt-4"), true);
	char *summary = strchr(strchr(result.out, '\n') + 1, '\n') + 1;

	(void)state;
	assert_int_equal(result.code, 0);
	assert_string_equal(result.err, "");
	assert_has(result.out,
		   "{\"id\":\"a\\\"\",\"decision\":\"admitted\",\"t\":100,\"wait_s\":0,"
		   "\"cost\":10}\n"
		   "{\"id\":2,\"decision\":\"admitted\",\"t\":160,\"wait_s\":59.5,\"cost\":10}\n");
	assert_has(summary,
		   "{\"summary\":{\"policies\":[{\"policy\":\"slow\",\"resource\":"
		   "\"requests\",\"interval_s\":60,\"offered\":2,\"accepted\":2,\"denied\":0,"
		   "\"without_key\":0,");
	assert_has(summary, "\"saturated_s\":59.5,");
	assert_has(summary, "{\"policy\":\"never\",\"resource\":\"requests\",\"interval_s\":60,"
			    "\"offered\":0,\"accepted\":0,\"denied\":0,\"without_key\":0,"
			    "\"utilisation\":null,\"saturated_s\":0,"
			    "\"accepted_per_s_saturated\":null}]");
	assert_has(summary, "{\"workload\":\"default\",\"team\":\"chat\",\"count\":2,\"admitted\":2"
			    ",\"denied\":0,\"timeout\":0,\"cancelled\":0,\"wait_s\":{\"p50\":0,"
			    "\"p95\":59.5,\"p99\":59.5,\"max\":59.5}");
	assert_has(summary, "\"requests\":2,\"duration_s\":61}}\n");
}

static void what_denied_a_request_is_named(void **state)
{
	struct result result = simulate(
		LIMITS, LINE("1", "1", "o1") LINE("1", "2", "o1") LINE("1", "3", "o1"), true);

	(void)state;
	assert_has(result.out, "{\"id\":3,\"decision\":\"denied\",\"t\":1,\"wait_s\":0,\"cost\":10,"
			       "\"policy\":\"never\"}\n");
}

static void people_get_tables(void **state)
{
	struct result result = simulate(LIMITS, LINE("100", "1", "gpt-4"), false);

	(void)state;
	assert_int_equal(result.code, 0);
	assert_has(result.out, "1 request in 1.0 s\n");
	assert_has(result.out, "slow   requests");
	assert_has(result.out, "default   chat         1         1       0");
	assert_null(strchr(result.out, '{'));
}

static void a_mistake_leaves_nothing_half_done(void **state)
{
	struct result result =
		simulate(LIMITS, LINE("1", "1", "o1") "{\"t\":2,\"id\":2,\"token\":1}\n", true);

	(void)state;
	assert_int_equal(result.code, 1);
	assert_string_equal(result.out, "");
	assert_has(result.err, "/trace.jsonl:2: unknown key \"token\"; expected one of t, id");

	result = simulate("limits: 7\n", LINE("1", "1", "o1"), true);
	assert_int_equal(result.code, 1);
	assert_string_equal(result.out, "");
	assert_has(result.err, "/sluice.yaml:1: ");
}

static void both_files_are_wanted(void **state)
{
	static const char *const words[] = {"simulate", "--config", "x", NULL};
	struct result result = run_words("/nowhere", words);

	(void)state;
	assert_int_equal(result.code, 2);
	assert_has(result.err, "give --config FILE and --trace FILE");
}

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(config, sizeof(config), "%s/sluice.yaml", directory);
	snprintf(trace, sizeof(trace), "%s/trace.jsonl", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	unlink(config);
	unlink(trace);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_request_has_a_line_and_the_last_is_the_summary),
		cmocka_unit_test(what_denied_a_request_is_named),
		cmocka_unit_test(people_get_tables),
		cmocka_unit_test(a_mistake_leaves_nothing_half_done),
		cmocka_unit_test(both_files_are_wanted),
	};

	if (no_binary())
		return 0;
	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
