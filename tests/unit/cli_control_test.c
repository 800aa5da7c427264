// If this fails, people cannot see why a request waits, open what is shut, read the policy in
// effect, or take a trace.
#include "cli_run.h"

static void explain_tells_why_it_waits(void **state)
{
	struct fake *fake = *state;
	struct result by_flow = sluice(fake, "explain", "5");

	assert_int_equal(by_flow.code, 0);
	assert_has(by_flow.out, "request r12 of flow 5: python, pid 4242, team chat, model gpt-4\n"
				"waits for 350 ms, expected to leave in 1.8 s\n");
	assert_has(by_flow.out, "gpt-4  3f2a  tokens    too little   1200     34  40000  40000/min"
				"     1.7 s  paid             2\n");
	assert_has(sluice(fake, "explain", "r12").out, "request r12 of flow 5: ");
	expect_json(sluice(fake, "explain", "r12", "--json"), FAKE_EXPLAIN);
}

static void explain_says_so_if_it_does_not_wait(void **state)
{
	struct result result = sluice((struct fake *)*state, "explain", "r3");

	assert_int_equal(result.code, 0);
	assert_has(result.out, "request r3: node, pid 77, model gpt-4\n"
			       "does not wait: it has ended; the same request would wait, nobody "
			       "knows how long: gpt-4 has too few tokens left\n");
}

static void explain_needs_something_to_explain(void **state)
{
	struct fake *fake = *state;
	struct result result = sluice(fake, "explain", "9");

	assert_int_equal(result.code, 1);
	assert_string_equal(result.out, "");
	assert_has(result.err, "sluice: no flow 9\n");
	result = sluice(fake, "explain", "9", "--json");
	assert_int_equal(result.code, 1);
	assert_has(result.out, "{\"error\":\"no flow 9\"}");
	assert_int_equal(sluice(fake, "explain").code, 2);
	assert_int_equal(sluice(fake, "explain", "5", "6").code, 2);
	assert_int_equal(sluice(fake, "explain", "x5").code, 2);
	assert_int_equal(sluice(fake, "explain", "5&flow=6").code, 2);
}

static void reset_says_how_many(void **state)
{
	struct fake *fake = *state;
	struct result result;

	assert_string_equal(sluice(fake, "reset").out, "2 buckets reset\n");
	assert_string_equal(sluice(fake, "reset", "--policy", "gpt-4", "--key", "3f2a").out,
			    "1 bucket reset\n");
	assert_string_equal(sluice(fake, "reset", "--key", "x,\"y").out, "0 buckets reset\n");
	assert_string_equal(sluice(fake, "reset", "--json").out, "{\"reset\":2}\n");
	result = sluice(fake, "reset", "--policy", "gtp-4");
	assert_int_equal(result.code, 1);
	assert_has(result.err, "no limit or team is called \"gtp-4\"");
	assert_int_equal(run_words("/nowhere", (const char *[]){"reset", NULL}).code, 1);
	assert_int_equal(sluice(fake, "reset", "gpt-4").code, 2);
}

static void policy_shows_what_is_in_effect(void **state)
{
	struct fake *fake = *state;
	struct result result = sluice(fake, "policy", "show");

	assert_int_equal(result.code, 0);
	assert_string_equal(result.out, FAKE_YAML);
	assert_int_equal(run_words("/nowhere", (const char *[]){"policy", "show", NULL}).code, 1);
	assert_int_equal(sluice(fake, "policy").code, 2);
	assert_int_equal(sluice(fake, "policy", "sohw").code, 2);
	assert_int_equal(sluice(fake, "policy", "show", "--json").code, 2);
}

static void policy_shows_a_file_so_that_it_loads_again(void **state)
{
	struct fake *fake = *state;
	struct result first = run_words(
		"/nowhere", (const char *[]){"policy", "show", "--config", fake->config, NULL});
	static char text[sizeof(first.out)];
	FILE *file = fopen(fake->refuse, "w");

	assert_int_equal(first.code, 0);
	assert_has(first.out, "name: drained\n");
	strcpy(text, first.out);
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_string_equal(sluice(fake, "policy", "show", "--config", fake->refuse).out, text);

	file = fopen(fake->refuse, "w");
	fputs("mode: sideways\n", file);
	fclose(file);
	first = sluice(fake, "policy", "show", "--config", fake->refuse);
	assert_int_equal(first.code, 1);
	assert_has(first.err, "/refuse:1: ");
	unlink(fake->refuse);
}

static void record_writes_a_trace_that_simulate_reads(void **state)
{
	struct fake *fake = *state;
	struct result result = sluice(fake, "record", "--count", "2", "--output", fake->refuse);

	assert_int_equal(result.code, 0);
	result = run_words("/nowhere", (const char *[]){"simulate", "--config", fake->config,
							"--trace", fake->refuse, "--json", NULL});
	assert_int_equal(result.code, 0);
	assert_has(result.out, "{\"id\":\"r7\",\"decision\":\"admitted\",\"t\":1764000000.5,");
	assert_has(result.out, "{\"id\":\"r8\",\"decision\":\"admitted\",");
	assert_has(result.out, "\"requests\":2,");
	unlink(fake->refuse);
	assert_int_equal(sluice(fake, "record", "--count", "0").code, 2);
	assert_int_equal(sluice(fake, "simulate", "--trace", "x").code, 2);
	assert_int_equal(run_words("/nowhere", (const char *[]){"record", NULL}).code, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(explain_tells_why_it_waits),
		cmocka_unit_test(explain_says_so_if_it_does_not_wait),
		cmocka_unit_test(explain_needs_something_to_explain),
		cmocka_unit_test(reset_says_how_many),
		cmocka_unit_test(policy_shows_what_is_in_effect),
		cmocka_unit_test(policy_shows_a_file_so_that_it_loads_again),
		cmocka_unit_test(record_writes_a_trace_that_simulate_reads),
	};

	return no_binary() ? 0 : cmocka_run_group_tests(tests, setup, teardown);
}
