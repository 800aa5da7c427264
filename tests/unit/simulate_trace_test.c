// If this fails, sluice simulate reads another trace than the one it was given, or reads on over a
// mistake in it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include "simulate/trace.h"

#define LABEL_USER_HEADER N_BUILTIN_LABELS

static char *names[N_BUILTIN_LABELS + 1];
static struct policy policy = {.labels = names, .n_labels = N_BUILTIN_LABELS + 1};

static int name_labels(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_BUILTIN_LABELS; i++)
		names[i] = "-";
	names[LABEL_PROVIDER] = "provider";
	names[LABEL_MODEL] = "model";
	names[LABEL_TEAM] = "team";
	names[LABEL_STREAM] = "stream";
	names[LABEL_MAX_TOKENS] = "max_tokens";
	names[LABEL_ESTIMATED_TOKENS] = "estimated_tokens";
	names[LABEL_PRIORITY] = "priority";
	names[LABEL_USER_HEADER] = "http.header.x-user";
	return 0;
}

static int read_text(const char *text, size_t length, struct trace *ret, char **ret_error)
{
	FILE *in = tmpfile();
	int error;

	assert_non_null(in);
	fwrite(text, 1, length, in);
	rewind(in);
	error = trace_read(in, "day.jsonl", &policy, ret, ret_error);
	fclose(in);
	return error;
}

static struct trace read_good(const char *text)
{
	struct trace trace;
	char *problem = NULL;

	if (read_text(text, strlen(text), &trace, &problem))
		fail_msg("%s", problem ? problem : "no reason");
	return trace;
}

static const char *label(const struct trace_request *request, size_t number)
{
	for (size_t i = 0; i < request->n_labels; i++)
		if (request->labels[i].label == number)
			return request->labels[i].value;
	return NULL;
}

static void a_full_line_gives_all_of_it(void **state)
{
	struct trace trace = read_good(
		"{\"t\": 1764000012.5, \"id\": \"r\\\"1\", \"labels\": {\"model\": \"gpt-4\", "
		"\"team\": \"chat\", \"priority\": \"200\", \"http.header.x-user\": \"ann\"}, "
		"\"tokens\": 1200, \"images\": 2, \"response_s\": 3.25, \"input_tokens\": 700, "
		"\"output_tokens\": 400, \"status\": 200, \"cancelled_s\": 60, "
		"\"usage\": {\"input_tokens\": 800, \"output_tokens\": 300}}\n");
	const struct trace_request *r = &trace.requests[0];

	(void)state;
	assert_int_equal(trace.n_requests, 1);
	assert_true(r->at_ns == 1764000012500000000);
	assert_string_equal(r->id, "r\"1");
	assert_false(r->id_is_number);
	assert_string_equal(r->team, "chat");
	assert_string_equal(label(r, LABEL_MODEL), "gpt-4");
	assert_string_equal(label(r, LABEL_PRIORITY), "200");
	assert_string_equal(label(r, LABEL_USER_HEADER), "ann");
	assert_true(r->tokens == 1200 && r->images == 2);
	assert_true(r->input_tokens == 700 && r->output_tokens == 400);
	assert_true(r->has_usage && !r->failed);
	assert_true(r->used_input_tokens == 800 && r->used_output_tokens == 300);
	assert_true(r->response_ns == 3250000000 && r->cancel_after_ns == 60000000000);
	trace_free(&trace);
}

static void what_is_absent_follows_from_the_rest(void **state)
{
	static const struct {
		const char *line;
		double tokens, in, out;
		bool has_usage;
	} cases[] = {
		{"{\"t\":0,\"id\":1}", 0, 0, 0, false},
		{"{\"t\":0,\"id\":1,\"tokens\":50}", 50, 50, 0, false},
		{"{\"t\":0,\"id\":1,\"tokens\":null,\"usage\":null,\"labels\":null}", 0, 0, 0,
		 false},
		{"{\"t\":0,\"id\":1,\"labels\":{\"estimated_tokens\":70}}", 70, 70, 0, false},
		{"{\"t\":0,\"id\":1,\"labels\":{\"estimated_tokens\":\"many\"}}", 0, 0, 0, false},
		{"{\"t\":0,\"id\":1,\"usage\":{\"input_tokens\":30,\"output_tokens\":4}}", 34, 30,
		 4, true},
		{"{\"t\":0,\"id\":1,\"tokens\":50,\"usage\":{\"input_tokens\":30}}", 50, 30, 0,
		 true},
		{"{\"t\":0,\"id\":1,\"tokens\":50,\"output_tokens\":9,\"usage\":{}}", 50, 50, 9,
		 false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct trace trace = read_good(cases[i].line);
		const struct trace_request *r = &trace.requests[0];

		if (r->tokens != cases[i].tokens || r->input_tokens != cases[i].in ||
		    r->output_tokens != cases[i].out || r->has_usage != cases[i].has_usage)
			fail_msg("%s: %g tokens, %g in, %g out", cases[i].line, r->tokens,
				 r->input_tokens, r->output_tokens);
		assert_true(r->response_ns == 0 && r->cancel_after_ns == UINT64_MAX);
		assert_null(r->team);
		assert_true(r->id_is_number);
		trace_free(&trace);
	}
}

static void labels_of_any_kind_are_text(void **state)
{
	struct trace trace = read_good(
		"{\"t\":0,\"id\":\"a\",\"labels\":{\"max_tokens\":16,\"stream\":true,\"priority\":"
		"2.50,\"nobody-knows-it\":\"x\",\"team\":null,\"model\":\"gpt-4\"}}\n"
		"{\"t\":0,\"id\":\"b\",\"labels\":{\"model\":\"gpt-4\"}}\n");
	const struct trace_request *r = trace.requests;

	(void)state;
	assert_int_equal(r->n_labels, 4);
	assert_string_equal(label(r, LABEL_MAX_TOKENS), "16");
	assert_string_equal(label(r, LABEL_STREAM), "true");
	assert_string_equal(label(r, LABEL_PRIORITY), "2.50");
	assert_null(r->team);
	assert_ptr_equal(label(r, LABEL_MODEL), label(r + 1, LABEL_MODEL));
	trace_free(&trace);
}

static void errors_used_nothing(void **state)
{
	struct trace trace = read_good("{\"t\":0,\"id\":1,\"status\":399}\n"
				       "{\"t\":0,\"id\":2,\"status\":400}\n"
				       "{\"t\":0,\"id\":3,\"status\":0}\n");

	(void)state;
	assert_false(trace.requests[0].failed);
	assert_true(trace.requests[1].failed);
	assert_false(trace.requests[2].failed);
	trace_free(&trace);
}

static void requests_come_in_the_order_of_time(void **state)
{
	struct trace trace = read_good("{\"t\":5,\"id\":\"d\"}\r\n"
				       "\n  \n"
				       "{\"t\":-1.5,\"id\":\"a\"}\n"
				       "{\"t\":4,\"id\":\"b\"}\n"
				       "{\"t\":4,\"id\":\"c\"}");
	char order[8] = "";

	(void)state;
	for (size_t i = 0; i < trace.n_requests; i++)
		strcat(order, trace.requests[i].id);
	assert_string_equal(order, "abcd");
	assert_true(trace.requests[0].at_ns == -1500000000);
	assert_int_equal(trace.requests[0].line, 4);
	trace_free(&trace);
}

static void an_empty_trace_is_one(void **state)
{
	struct trace trace = read_good("");

	(void)state;
	assert_int_equal(trace.n_requests, 0);
	trace_free(&trace);
}

static void expect_problem(const char *text, size_t length, const char *expected)
{
	struct trace trace;
	char *problem = NULL;

	if (!read_text(text, length, &trace, &problem))
		fail_msg("was taken: %s", text);
	assert_non_null(problem);
	if (!strstr(problem, expected))
		fail_msg("no \"%s\" in: %s", expected, problem);
	free(problem);
}

static void mistakes_are_named_with_line_and_field(void **state)
{
	static const char *const cases[][2] = {
		{"nonsense", "day.jsonl:2: not JSON, column "},
		{"{\"t\":1,\"id\":2", "day.jsonl:2: not JSON, column 14: unexpected end"},
		{"{\"t\":1,\"id\":2} x", "day.jsonl:2: not JSON"},
		{"{\"t\":1,\"id\":\"\xff\"}", "day.jsonl:2: not JSON"},
		{"[1]", "day.jsonl:2: expected an object"},
		{"7", "day.jsonl:2: expected an object"},
		{"null", "day.jsonl:2: expected an object"},
		{"{\"id\":2}", "day.jsonl:2: t: is missing"},
		{"{\"t\":null,\"id\":2}", "day.jsonl:2: t: is missing"},
		{"{\"t\":1}", "day.jsonl:2: id: is missing"},
		{"{\"t\":\"1\",\"id\":2}", "day.jsonl:2: t: expected seconds"},
		{"{\"t\":1764000012500,\"id\":2}", "t: expected seconds, from -8e9 to 8e9"},
		{"{\"t\":NaN,\"id\":2}", "day.jsonl:2: "},
		{"{\"t\":1,\"id\":null}", "day.jsonl:2: id: expected a string or a number"},
		{"{\"t\":1,\"id\":[2]}", "day.jsonl:2: id: expected a string or a number"},
		{"{\"t\":1,\"id\":\"a\\u0000b\"}", "day.jsonl:2: id: expected"},
		{"{\"t\":1,\"id\":2,\"token\":5}",
		 "day.jsonl:2: unknown key \"token\"; expected one of t, id, labels, tokens"},
		{"{\"t\":1,\"id\":2,\"a\\u001b[31m\":5}", "unknown key \"a?[31m\""},
		{"{\"t\":1,\"id\":2,\"tokens\":-1}", "tokens: expected a number from 0 to 1e15"},
		{"{\"t\":1,\"id\":2,\"tokens\":1e16}", "tokens: expected a number"},
		{"{\"t\":1,\"id\":2,\"tokens\":true}", "tokens: expected a number"},
		{"{\"t\":1,\"id\":2,\"response_s\":\"3\"}", "response_s: expected seconds"},
		{"{\"t\":1,\"id\":2,\"status\":1000}", "status: expected an HTTP status"},
		{"{\"t\":1,\"id\":2,\"usage\":5}", "usage: expected an object"},
		{"{\"t\":1,\"id\":2,\"usage\":{\"total\":5}}", "usage: unknown key \"total\""},
		{"{\"t\":1,\"id\":2,\"usage\":{\"input_tokens\":-5}}",
		 "usage.input_tokens: expected a number"},
		{"{\"t\":1,\"id\":2,\"labels\":[]}", "labels: expected an object"},
		{"{\"t\":1,\"id\":2,\"labels\":{\"model\":[]}}", "labels.model: expected a string"},
		{"{\"t\":1,\"id\":2,\"labels\":{\"model\":{\"a\":{\"b\":{\"c\":1}}}}}",
		 "day.jsonl:2: not JSON"},
		{"{\"t\":1,\"id\":\"one\"}", "id: \"one\" stands in line 1 already"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];

		snprintf(text, sizeof(text), "{\"t\":9,\"id\":\"one\"}\n%s\n", cases[i][0]);
		expect_problem(text, strlen(text), cases[i][1]);
	}
	expect_problem("{\"t\":1,\"id\":1}\0x", 16, "day.jsonl:1: not text");
	expect_problem("{\"t\":1,\"id\":1}\n{\"t\":1,\"id\":\"1\"}", 31, "line 1 already");
}

// A directory, say.
static void a_file_that_cannot_be_read_is_an_error(void **state)
{
	FILE *in = fopen("/", "r");
	struct trace trace;
	char *problem = NULL;

	(void)state;
	assert_non_null(in);
	assert_int_equal(trace_read(in, "day.jsonl", &policy, &trace, &problem), -EISDIR);
	assert_string_equal(problem, "day.jsonl: Is a directory");
	free(problem);
	fclose(in);
}

static void no_beginning_of_a_line_passes_for_it(void **state)
{
	static const char line[] =
		"{\"t\":1.5,\"id\":\"a\\u00e4\",\"labels\":{\"model\":\"gpt-4\"},"
		"\"tokens\":12,\"usage\":{\"input_tokens\":1e2}}";

	(void)state;
	for (size_t length = 1; length < sizeof(line) - 1; length++)
		expect_problem(line, length, "day.jsonl:1: ");
}

static void what_is_written_is_read_again(void **state)
{
	static const char full[] =
		"{\"t\":1.5,\"id\":\"a\",\"labels\":{\"model\":\"o/3\"},\"tokens\":12,\"images\":1,"
		"\"response_s\":2.25,\"usage\":{\"input_tokens\":5,\"output_tokens\":6},"
		"\"status\":200,\"input_tokens\":7,\"output_tokens\":8,\"cancelled_s\":9}\n";
	struct json_object *request = json_tokener_parse(full);
	struct trace trace;
	char *written = NULL;
	size_t length;
	FILE *out = open_memstream(&written, &length);

	(void)state;
	json_object_object_add(request, "seq", json_object_new_int(17));
	assert_int_equal(trace_write(out, request), 0);
	fclose(out);
	assert_string_equal(written, full);
	trace = read_good(written);
	assert_int_equal(trace.n_requests, 1);
	trace_free(&trace);
	json_object_put(request);
	free(written);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_line_gives_all_of_it),
		cmocka_unit_test(what_is_absent_follows_from_the_rest),
		cmocka_unit_test(labels_of_any_kind_are_text),
		cmocka_unit_test(errors_used_nothing),
		cmocka_unit_test(requests_come_in_the_order_of_time),
		cmocka_unit_test(an_empty_trace_is_one),
		cmocka_unit_test(mistakes_are_named_with_line_and_field),
		cmocka_unit_test(a_file_that_cannot_be_read_is_an_error),
		cmocka_unit_test(no_beginning_of_a_line_passes_for_it),
		cmocka_unit_test(what_is_written_is_read_again),
	};

	return cmocka_run_group_tests(tests, name_labels, NULL);
}
