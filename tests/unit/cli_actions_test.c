// If this fails, sluice does the wrong thing, or says it did: reload, validate, top and run.
#include "cli_run.h"
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <time.h>

static void test_reload(void **state)
{
	struct fake *fake = *state;
	struct result result = sluice(fake, "reload");

	assert_int_equal(result.code, 0);
	assert_string_equal(result.out, "reloaded\n");
	assert_string_equal(sluice(fake, "reload", "--json").out, "{\"reloaded\":true}\n");

	close(open(fake->refuse, O_CREAT | O_WRONLY, 0600));
	result = sluice(fake, "reload");
	assert_int_equal(result.code, 1);
	assert_string_equal(result.out, "");
	assert_has(result.err, "the running policy stays:\n" FAKE_REFUSAL "\n");
	result = sluice(fake, "reload", "--json");
	assert_int_equal(result.code, 1);
	assert_has(result.out, "{\"error\":\"sluice.yaml:7: ");
	unlink(fake->refuse);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void test_validate(void **state)
{
	struct fake *fake = *state;
	const char *file = fake->refuse; // any path in the directory
	struct result result;

	write_file(file, "mode: observe\n"
			 "providers:\n  - { name: openai, hosts: [api.openai.com], ports: [443] }\n"
			 "teams:\n  - { name: a, cgroup: /a }\n  - { name: b, cgroup: /b }\n");
	result = sluice(fake, "validate", file);
	assert_int_equal(result.code, 0);
	assert_has(result.out, ": ok: 1 provider, 2 teams, 0 policies\n");
	assert_has(sluice(fake, "validate", file, "--json").out, "\"valid\":true,\"errors\":[]}\n");

	write_file(file, "mode: sideways\n");
	result = sluice(fake, "validate", file);
	assert_int_equal(result.code, 1);
	assert_string_equal(result.out, "");
	assert_has(result.err, "/refuse:1: ");
	result = sluice(fake, "--json", "validate", file);
	assert_int_equal(result.code, 1);
	assert_has(result.out, "\"valid\":false,\"errors\":[\"");
	unlink(file);
}

static size_t count_lines(const char *text)
{
	size_t lines = 0;

	while ((text = strchr(text, '\n'))) {
		lines++;
		text++;
	}
	return lines;
}

static void test_top_lines(void **state)
{
	struct fake *fake = *state;
	struct result plain = sluice(fake, "top", "--count", "2", "--interval", "0.1");
	struct result json = sluice(fake, "--json", "top", "--count", "2", "--interval", "0.1");

	assert_int_equal(plain.code, 0);
	assert_int_equal(count_lines(plain.out), 2);
	assert_has(plain.out, "queued 2  admitted 1203  denied 7  tokens  gpt-4:3f2a 1234/40000\n");
	assert_int_equal(count_lines(json.out), 2);
	*strchr(json.out, '\n') = '\0';
	expect_json(json, "{\"status\":" FAKE_STATUS ",\"queue\":" FAKE_QUEUE
			  ",\"limits\":" FAKE_LIMITS "}");
}

// Reads the terminal until the text has come, for at most 10 s.
static bool wait_for_text(int terminal, const char *wanted)
{
	static char seen[1 << 16];
	time_t deadline = time(NULL) + 10;
	size_t used = 0;

	while (time(NULL) < deadline && used < sizeof(seen) - 1) {
		struct pollfd ready = {.fd = terminal, .events = POLLIN};
		ssize_t n;

		if (poll(&ready, 1, 1000) <= 0)
			continue;
		n = read(terminal, seen + used, sizeof(seen) - 1 - used);
		if (n <= 0)
			return false;
		used += (size_t)n;
		seen[used] = '\0';
		if (strstr(seen, wanted))
			return true;
	}
	return false;
}

static void test_top_screen(void **state)
{
	struct winsize size = {.ws_row = 40, .ws_col = 120};
	struct fake *fake = *state;
	char rest[4096];
	int terminal, status;
	pid_t pid = forkpty(&terminal, NULL, NULL, &size);

	assert_true(pid >= 0);
	if (!pid) {
		setenv("TERM", "vt100", 1);
		become(fake->socket, (const char *[]){"top", NULL});
	}
	assert_true(wait_for_text(terminal, "no probe point in this TLS library")); // at its end
	size.ws_col = 40;
	ioctl(terminal, TIOCSWINSZ, &size);
	assert_true(wait_for_text(terminal, "SHARE"));
	assert_int_equal(write(terminal, "q", 1), 1);
	while (read(terminal, rest, sizeof(rest)) > 0)
		;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(terminal);
}

static void test_run_needs_a_cgroup(void **state)
{
	struct fake *fake = *state;
	struct result result = sluice(fake, "run", "--team", "nobody", "true");

	assert_int_equal(result.code, 1);
	assert_has(result.err, "there are: chat, batch, web, try\n");
	assert_has(sluice(fake, "run", "--team", "batch", "true").err, "runuser -u batch");
	assert_has(sluice(fake, "run", "--team", "web", "true").err,
		   "systemd-run --unit=nginx.service");
	assert_int_equal(sluice(fake, "run", "--cgroup", "/../x", "true").code, 1);
}

static void skip_without_cgroups(void)
{
	char line[512];
	FILE *mounts = fopen("/proc/self/mounts", "r");
	bool found = false;

	while (mounts && fgets(line, sizeof(line), mounts))
		found |= strstr(line, " cgroup2 rw") != NULL;
	if (mounts)
		fclose(mounts);
	if (geteuid() != 0 || !found) {
		print_message("SKIP: needs root and a writable cgroup v2\n");
		skip();
	}
}

// Removes what a run has made; where cgroup v2 is mounted is the shell's business here.
static void remove_cgroup(const char *name)
{
	char command[256];

	snprintf(command, sizeof(command),
		 "awk '$3 == \"cgroup2\" {print $2}' /proc/self/mounts | head -1 | "
		 "while read -r m; do rmdir \"$m/%s\"; done",
		 name);
	assert_int_equal(system(command), 0);
}

static void test_run(void **state)
{
	struct fake *fake = *state;
	struct result result;

	skip_without_cgroups();
	result = sluice(fake, "run", "--team", "try", "--", "cat", "/proc/self/cgroup");
	assert_int_equal(result.code, 0);
	assert_has(result.out, "0::/sluice-test-run\n");
	result = run_words("/nowhere", (const char *[]){"run", "--cgroup", "/sluice-test-run", "sh",
							"-c", "echo $0; exit 7", "--json", NULL});
	assert_int_equal(result.code, 7);
	assert_string_equal(result.out, "--json\n");
	result = sluice(fake, "run", "--team", "try", "/nowhere/command");
	assert_int_equal(result.code, 127);
	assert_has(result.err, "cannot run /nowhere/command: No such file");
	assert_int_equal(sluice(fake, "run", "--team", "try", "/etc/passwd").code, 126);
	remove_cgroup("sluice-test-run");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_validate),
		cmocka_unit_test(test_top_lines),
		cmocka_unit_test(test_top_screen),
		cmocka_unit_test(test_run_needs_a_cgroup),
		cmocka_unit_test(test_run),
	};

	return no_binary() ? 0 : cmocka_run_group_tests(tests, setup, teardown);
}
