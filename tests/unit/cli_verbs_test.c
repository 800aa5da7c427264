// If this fails, the sluice command misleads: what it prints, where, and with which exit code.
#include "cli_run.h"
#include <sys/socket.h>
#include <sys/un.h>

static void test_status(void **state)
{
	struct result bare = run_words(((struct fake *)*state)->socket, (const char *[]){NULL});
	struct result status = sluice((struct fake *)*state, "status");

	assert_int_equal(bare.code, 0);
	assert_string_equal(bare.out, status.out);
	assert_string_equal(bare.err, "");
	assert_has(bare.out, "enforcing    no: mode is observe\n");
	assert_has(bare.out, "9.8.7, up 2 h 5 min\n");
	assert_has(bare.out, "12 of 4 processes, 3 opaque, 6 older than sluiced\n");
	assert_has(bare.out, "2 queued, 1203 admitted, 7 denied, 1 timed out\n");
	assert_has(bare.out, "             41 opaque, 9 let go over the limit\n");
	assert_has(bare.out, "lost events  5 ring_full\n");
	assert_has(bare.out, "12.3 MiB, 1.2 MiB of it for plaintext\n");
	assert_has(bare.out, "cgroup_skb/egress  yes\n");
	assert_has(bare.out, "0x160\n");
	assert_null(strstr(bare.out, "fault"));
	assert_null(strchr(bare.out, '\033'));
}

static void test_flows(void **state)
{
	struct result flows = sluice((struct fake *)*state, "flows");

	assert_int_equal(flows.code, 0);
	assert_has(flows.out, "18446744073709551615  4242  py?[31mthon  alice  chat  queued");
	assert_has(flows.out, "1.2 s");
	assert_has(flows.out, "STATE       PROTOCOL   REQUESTS");
	assert_has(flows.out, "chat  queued      h2         ");
	assert_has(flows.out, "opaque      -          ");
	assert_has(flows.out, "responding  websocket  ");
	assert_has(flows.out, "gpt-4        4bc0f86c57a1  api.openai.com"); // of 64 digits
	assert_has(flows.out, "gpt-4o-mini  web           api.groq.com");
	assert_has(flows.out, "1 opaque: no probe point in this TLS library\n");
	assert_null(strchr(flows.out, '\033'));
}

static void test_queue(void **state)
{
	struct result queue = sluice((struct fake *)*state, "queue");

	assert_has(queue.out,
		   "gpt-4  paid             2     900     350 ms      1.5 s      r12     5  4242");
	assert_has(queue.out,
		   "gpt-4  -                1    4000  1 min 1 s    unknown        -     6");
	assert_true(strstr(queue.out, "python") < strstr(queue.out, "node"));
}

static void test_limits(void **state)
{
	struct result limits = sluice((struct fake *)*state, "limits");

	assert_has(limits.out, "LEVEL  CAPACITY  FULL           RATE  QUEUED  SHUT\n");
	assert_has(limits.out, " 1234     40000   3 %      40000/min       2  12.0 s\n");
	assert_has(limits.out, "$12.50   $500.00   2 %  $500.00/month       0  until reset\n");
	assert_has(limits.out, "   150       200  75 %        200/min       0\n");
	assert_has(limits.out, "     ?         ?     -        0/5 min       0\n");
}

static void test_json_is_the_daemons(void **state)
{
	struct fake *fake = *state;

	expect_json(sluice(fake, "--json"), FAKE_STATUS);
	expect_json(sluice(fake, "status", "--json"), FAKE_STATUS);
	expect_json(sluice(fake, "--json", "queue"), FAKE_QUEUE);
	expect_json(sluice(fake, "limits", "--json"), FAKE_LIMITS);
	assert_has(sluice(fake, "flows", "--json").out, "\"id\":18446744073709551615,");
}

static void test_socket_option_wins(void **state)
{
	struct fake *fake = *state;

	expect_json(run_words("/nowhere",
			      (const char *[]){"--socket", fake->socket, "--json", "queue", NULL}),
		    FAKE_QUEUE);
	expect_json(run_words("/nowhere",
			      (const char *[]){"queue", "--json", "--socket", fake->socket, NULL}),
		    FAKE_QUEUE);
}

static void test_empty_lists_say_so(void **state)
{
	struct fake empty;

	(void)state;
	fake_make(&empty);
	empty.empty = true;
	fake_start(&empty);
	assert_has(sluice(&empty, "flows").out, "No flow: ");
	assert_has(sluice(&empty, "queue").out, "No request waits.");
	assert_has(sluice(&empty, "limits").out, "No limit is in use");
	assert_string_equal(sluice(&empty, "queue", "--json").out, "[]\n");
	assert_has(sluice(&empty, "run", "--team", "x", "true").err, "names none");
	fake_remove(&empty);
}

// An older daemon does not tell all of it: nothing is made up, and no column is empty.
static void test_an_older_daemon(void **state)
{
	struct fake old;
	struct result result;

	(void)state;
	fake_make(&old);
	old.is_old = true;
	fake_start(&old);
	result = sluice(&old, "status");
	assert_int_equal(result.code, 0);
	assert_has(result.out, "12 of 4 processes, 3 opaque\n");
	assert_has(result.out, "12.3 MiB\n");
	assert_null(strstr(result.out, "let go"));
	result = sluice(&old, "flows");
	assert_has(result.out, "idle ");
	assert_null(strstr(result.out, "PROTOCOL"));
	assert_null(strstr(result.out, "CONTAINER"));
	fake_remove(&old);
}

// Whose it is, what it asks and how it stands fits 100 columns; where and what for may be cut.
static void test_a_line_of_flows_fits(void **state)
{
	char *out = sluice((struct fake *)*state, "flows").out, *rest = strstr(out, "CONTAINER");
	size_t longest_id = strlen("18446744073709551615"), usual_id = 3;

	assert_non_null(rest);
	assert_in_range(rest - 2 - out - longest_id + usual_id, 80, 100);
}

static void test_usage(void **state)
{
	struct fake *fake = *state;
	struct result result;

	assert_int_equal(sluice(fake, "frobnicate").code, 2);
	assert_has(sluice(fake, "--frobnicate").err, "unknown option --frobnicate");
	assert_int_equal(sluice(fake, "status", "x").code, 2);
	assert_has(sluice(fake, "flows", "--team", "x").err, "flows takes no --team");
	assert_int_equal(sluice(fake, "top", "--count", "0").code, 2);
	assert_int_equal(sluice(fake, "top", "--interval", "nan").code, 2);
	assert_has(sluice(fake, "--socket").err, "--socket wants a value");
	assert_int_equal(sluice(fake, "run").code, 2);
	assert_int_equal(sluice(fake, "run", "true").code, 2);
	assert_int_equal(sluice(fake, "validate").code, 2);

	result = sluice(fake, "--help");
	assert_int_equal(result.code, 0);
	assert_has(result.out, "validate");
	assert_has(sluice(fake, "run", "--help").out, "--cgroup PATH");
	assert_int_equal(strncmp(sluice(fake, "--version").out, "sluice ", 7), 0);
}

static void test_no_daemon(void **state)
{
	static const char *const verbs[] = {"status", "flows", "queue",  "limits",
					    "top",    "reset", "record", "reload"};

	(void)state;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		struct result result =
			run_words("/nowhere/s.sock", (const char *[]){verbs[i], "--json", NULL});

		assert_int_equal(result.code, 1);
		assert_string_equal(result.out, "");
		assert_has(result.err, "cannot reach sluiced at /nowhere/s.sock: No such file");
		assert_has(result.err, "systemctl start sluiced");
	}
	assert_has(run_words("/nowhere", (const char *[]){"run", "--team", "x", "true", NULL}).err,
		   "give --cgroup PATH instead");
}

// A child that answers one connection at `path` with the text.
static pid_t start_stranger(const char *path, const char *text)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), client;
	char request[512];
	pid_t pid;

	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	pid = fork();
	if (!pid) {
		client = accept(fd, NULL, NULL);
		if (read(client, request, sizeof(request)) > 0)
			send(client, text, strlen(text), MSG_NOSIGNAL);
		_exit(0);
	}
	close(fd);
	return pid;
}

static void test_strangers(void **state)
{
	static const char *const texts[] = {
		"", "SSH-2.0-x\r\n\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n<html>",
		"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}", // the rest never came
	};
	struct fake *fake = *state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		pid_t pid = start_stranger(fake->refuse, texts[i]);
		struct result result = run_words(fake->refuse, (const char *[]){"status", NULL});

		waitpid(pid, NULL, 0);
		unlink(fake->refuse);
		assert_int_equal(result.code, 1);
		assert_has(result.err, "does not talk as sluiced does");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_flows),
		cmocka_unit_test(test_queue),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_json_is_the_daemons),
		cmocka_unit_test(test_socket_option_wins),
		cmocka_unit_test(test_empty_lists_say_so),
		cmocka_unit_test(test_an_older_daemon),
		cmocka_unit_test(test_a_line_of_flows_fits),
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_no_daemon),
		cmocka_unit_test(test_strangers),
	};

	return no_binary() ? 0 : cmocka_run_group_tests(tests, setup, teardown);
}
