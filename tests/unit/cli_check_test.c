// If this fails, scripts that ask before they send ("sluice check && ...") are told something
// wrong, or an API key can be seen.
#include "cli_run.h"
#include <fcntl.h>
#include <sys/stat.h>

#define KEY "sk-proj-abcdefghijklmnop"
#define DIGEST "88eab513e591611b" // of KEY, by sha256sum(1)

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void the_exit_code_is_the_answer(void **state)
{
	struct fake *fake = *state;
	struct result result = sluice(fake, "check", "--model", "gpt-4", "--tokens", "1200");

	assert_int_equal(result.code, 0);
	assert_has(result.out, "would be admitted now\n");
	assert_has(result.out, "tokens    admits   1200  40000  40000  40000/min");

	result = sluice(fake, "check", "--model", "drained", "--tokens", "5");
	assert_int_equal(result.code, 1);
	assert_has(result.out, "would wait 9 min ");
	assert_has(result.out, ": drained has too few tokens left\n");
	assert_has(result.out, "too little");

	result = sluice(fake, "check", "--model", "spent", "--tokens", "5");
	assert_int_equal(result.code, 2);
	assert_has(result.out, "would be denied by spent: spent has too few tokens left\n");

	result = sluice(fake, "check", "--model", "gpt-4", "--team", "spies");
	assert_int_equal(result.code, 2);
	assert_has(result.out, "would be denied by spies\n");
}

static void nothing_is_drawn(void **state)
{
	struct fake *fake = *state;

	for (int i = 0; i < 3; i++)
		assert_has(sluice(fake, "check", "--model", "gpt-4", "--tokens", "39999").out,
			   "admits  39999  40000  40000");
}

static void failures_are_no_answer(void **state)
{
	struct fake *fake = *state;
	struct result result =
		run_words("/nowhere/s.sock", (const char *[]){"check", "--model", "gpt-4", NULL});

	assert_int_equal(result.code, 3);
	assert_string_equal(result.out, "");
	assert_has(result.err, "cannot reach sluiced at /nowhere/s.sock");

	result = sluice(fake, "check", "--model", "gpt-4", "--team", "nobody");
	assert_int_equal(result.code, 3);
	assert_has(result.err, "the policy has no team \"nobody\"");
	assert_has(sluice(fake, "check", "--model", "x", "--label", "tema=chat").err,
		   "the policy knows no label \"tema\"");
	assert_int_equal(sluice(fake, "check", "--body", "/nowhere/body").code, 3);
	assert_int_equal(sluice(fake, "check", "--model", "x", "--config", "/nowhere").code, 3);
	assert_int_equal(sluice(fake, "check", "--body", fake->config).code, 3);
}

static void wrong_usage_is_no_denial(void **state)
{
	struct fake *fake = *state;

	assert_int_equal(sluice(fake, "check").code, 64);
	assert_int_equal(sluice(fake, "check", "--modle", "gpt-4").code, 64);
	assert_int_equal(sluice(fake, "check", "--model", "gpt-4", "gpt-4").code, 64);
	assert_int_equal(sluice(fake, "check", "--model", "x", "--tokens", "-1").code, 64);
	assert_int_equal(sluice(fake, "check", "--model", "x", "--label", "team").code, 64);
	assert_int_equal(sluice(fake, "check", "--tokens", "1", "--body", "x").code, 64);
	assert_int_equal(sluice(fake, "check", "--model").code, 64);
	assert_int_equal(sluice(fake, "check", "--help").code, 0);
}

static void a_file_needs_no_daemon(void **state)
{
	struct fake *fake = *state;
	struct result result =
		run_words("/nowhere", (const char *[]){"check", "--model", "drained", "--tokens",
						       "5", "--config", fake->config, NULL});

	assert_int_equal(result.code, 0); // its buckets are fresh
	assert_has(result.out, "60/min");
	result = run_words("/nowhere", (const char *[]){"check", "--model", "x", "--team", "spies",
							"--config", fake->config, NULL});
	assert_int_equal(result.code, 2);
}

static void json_tells_what_each_limit_needs(void **state)
{
	struct fake *fake = *state;
	struct result result =
		sluice(fake, "check", "--model", "drained", "--tokens", "5", "--json");
	struct json_object *answer = json_tokener_parse(result.out), *need;

	assert_int_equal(result.code, 1);
	assert_string_equal(json_object_get_string(json_object_object_get(answer, "verdict")),
			    "queued");
	assert_int_equal(json_object_array_length(json_object_object_get(answer, "needs")), 1);
	need = json_object_array_get_idx(json_object_object_get(answer, "needs"), 0);
	assert_string_equal(json_object_get_string(json_object_object_get(need, "policy")),
			    "drained");
	assert_string_equal(json_object_get_string(json_object_object_get(need, "key")), "drained");
	assert_string_equal(json_object_get_string(json_object_object_get(need, "state")), "short");
	assert_int_equal(json_object_get_int(json_object_object_get(need, "amount")), 5);
	assert_int_equal(json_object_get_int(json_object_object_get(need, "capacity")), 60);
	assert_int_equal(json_object_get_int(json_object_object_get(need, "interval_s")), 60);
	assert_true(json_object_get_int(json_object_object_get(need, "level")) < 0);
	assert_true(json_object_get_int(json_object_object_get(need, "ready_ms")) > 500000);
	json_object_put(answer);
}

static void a_body_is_estimated_as_sluiced_does(void **state)
{
	struct fake *fake = *state;
	char body[128];
	struct result result;

	snprintf(body, sizeof(body), "%s/body.json", fake->directory);
	// 40 characters are 10 tokens; a chat has 2 more, and one for each message.
	write_file(body, "{\"messages\":[{\"role\":\"user\",\"content\":"
			 "\"0123456789012345678901234567890123456789\"}],"
			 "\"max_tokens\":100,\"model\":\"gpt-4\"}");
	result = sluice(fake, "check", "--body", body);
	assert_int_equal(result.code, 0);
	assert_has(result.out, "tokens    admits    113  40000");
	assert_has(sluice(fake, "check", "--body", body, "--model", "drained").out, "drained");

	write_file(body, "{\"input\":\"01234567\",\"model\":\"gpt-4\"}");
	assert_has(sluice(fake, "check", "--body", body, "--endpoint", "/v1/embeddings").out,
		   "tokens    admits      2  40000");
	write_file(body, "{\"model\":\"gpt-4\",");
	result = sluice(fake, "check", "--body", body);
	assert_int_equal(result.code, 3);
	assert_has(result.err, "is not a JSON object");
	unlink(body);
}

static void labels_find_limits(void **state)
{
	struct fake *fake = *state;

	assert_has(sluice(fake, "check", "--model", "x", "--label", "http.header.x-user=ann").out,
		   "ann-only  ann  requests  admits      1     10  10  10/day");
	assert_null(strstr(
		sluice(fake, "check", "--model", "x", "--label", "http.header.x-user=bob").out,
		"ann-only"));
	assert_has(sluice(fake, "check", "--model", "x", "--label", "http.header.x-else=1").out,
		   "No limit of the policy is for it.");
	// A team is known by its processes, too.
	assert_int_equal(
		sluice(fake, "check", "--model", "x", "--label", "cgroup=/spies.slice/a").code, 2);
}

static void a_key_is_never_shown(void **state)
{
	struct fake *fake = *state;
	struct result result = sluice(fake, "check", "--model", "gpt-4", "--key", KEY);

	assert_has(result.out, DIGEST);
	assert_null(strstr(result.out, KEY));
	setenv("SLUICE_TEST_KEY", KEY, 1);
	assert_has(sluice(fake, "check", "--model", "gpt-4", "--key", "env:SLUICE_TEST_KEY").out,
		   DIGEST);
	unsetenv("SLUICE_TEST_KEY");
	assert_has(sluice(fake, "check", "--model", "gpt-4", "--key", DIGEST).out, DIGEST);
	assert_int_equal(sluice(fake, "check", "--model", "x", "--key", "env:SLUICE_NO_KEY").code,
			 64);

	result = sluice(fake, "status", "--key=" KEY);
	assert_null(strstr(result.err, KEY));
	result = sluice(fake, "check", "--model", "x", "--label", "api_key=" KEY);
	assert_int_equal(result.code, 3);
	assert_null(strstr(result.err, KEY));
}

// What ps(1) shows while it waits for an answer.
static void a_key_leaves_the_command_line(void **state)
{
	struct fake *fake = *state;
	const char *fifo = fake->refuse; // any path in the directory
	char path[64], line[4096] = "";
	int fd, writer, status;
	pid_t pid;

	assert_int_equal(mkfifo(fifo, 0600), 0);
	pid = fork();
	if (!pid) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		become(fake->socket, (const char *[]){"check", "--key", KEY, "--body", fifo, NULL});
	}
	writer = open(fifo, O_WRONLY); // it has opened the file: its options are read
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY);
	assert_true(read(fd, line, sizeof(line) - 1) > 0);
	assert_null(memmem(line, sizeof(line), KEY, strlen(KEY)));
	assert_non_null(memmem(line, sizeof(line), "--body", strlen("--body")));
	close(fd);
	close(writer);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	unlink(fifo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_exit_code_is_the_answer),
		cmocka_unit_test(nothing_is_drawn),
		cmocka_unit_test(failures_are_no_answer),
		cmocka_unit_test(wrong_usage_is_no_denial),
		cmocka_unit_test(a_file_needs_no_daemon),
		cmocka_unit_test(json_tells_what_each_limit_needs),
		cmocka_unit_test(a_body_is_estimated_as_sluiced_does),
		cmocka_unit_test(labels_find_limits),
		cmocka_unit_test(a_key_is_never_shown),
		cmocka_unit_test(a_key_leaves_the_command_line),
	};

	return no_binary() ? 0 : cmocka_run_group_tests(tests, setup, teardown);
}
