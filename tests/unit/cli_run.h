// Runs the built command (SLUICE_BIN, else build/sluice) against a made-up daemon.
#ifndef SLUICE_TESTS_CLI_RUN_H
#define SLUICE_TESTS_CLI_RUN_H

#include "cli_fake.h"

static const char *binary;

struct result {
	int code;
	char out[32768], err[8192];
};

static inline void read_back(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	close(fd);
}

static inline void become(const char *socket, const char *const *words)
{
	char *argv[32] = {"sluice"};

	for (size_t i = 0; words[i]; i++)
		argv[i + 1] = (char *)words[i];
	setenv("SLUICE_SOCKET", socket, 1);
	setenv("LC_ALL", "C.UTF-8", 1);
	execv(binary, argv);
	_exit(99);
}

static inline struct result run_words(const char *socket, const char *const *words)
{
	static struct result result;
	FILE *out = tmpfile(), *err = tmpfile();
	int status;
	pid_t pid;

	assert_non_null(out);
	assert_non_null(err);
	pid = fork();
	if (!pid) {
		dup2(fileno(out), STDOUT_FILENO);
		dup2(fileno(err), STDERR_FILENO);
		become(socket, words);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	result.code = WEXITSTATUS(status);
	read_back(dup(fileno(out)), result.out, sizeof(result.out));
	read_back(dup(fileno(err)), result.err, sizeof(result.err));
	fclose(out);
	fclose(err);
	return result;
}

// sluice WORDS..., asking the fake.
#define sluice(fake, ...) run_words((fake)->socket, (const char *const[]){__VA_ARGS__, NULL})

static inline void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in:\n%s", part, text);
}

static inline void expect_json(struct result result, const char *json)
{
	struct json_object *got = json_tokener_parse(result.out),
			   *wanted = json_tokener_parse(json);

	assert_int_equal(result.code, 0);
	assert_true(json_object_equal(got, wanted));
	json_object_put(got);
	json_object_put(wanted);
}

static inline int setup(void **state)
{
	static struct fake fake;

	fake_make(&fake);
	fake_start(&fake);
	*state = &fake;
	return 0;
}

static inline int teardown(void **state)
{
	fake_remove(*state);
	return 0;
}

// 0: run the tests; else main() is to end, with a reason printed.
static inline int no_binary(void)
{
	binary = getenv("SLUICE_BIN");
	if (!binary)
		binary = "build/sluice";
	if (access(binary, X_OK) == 0)
		return 0;
	printf("SKIP: there is no %s; build it, or say where it is with SLUICE_BIN\n", binary);
	return 1;
}

#endif
