// Acting on another process's socket. If these fail, a connection that was inherited or passed on
// is not released, or another connection is.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "act/borrow.c"
#include "act/diag.c"
#include "act/netns.c"
#include "act/push.c"

#define PATIENCE_MS 5000

struct pair {
	int client, server;
};

static struct pair connected(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct pair pair = {.client = socket(AF_INET, SOCK_STREAM, 0)};

	assert_int_equal(bind(listener, (struct sockaddr *)&at, bytes), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &bytes), 0);
	assert_int_equal(connect(pair.client, (struct sockaddr *)&at, bytes), 0);
	pair.server = accept(listener, NULL, NULL);
	assert_true(pair.server >= 0);
	close(listener);
	return pair;
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t bytes = sizeof(cookie);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &bytes), 0);
	return cookie;
}

static struct target target_of(int fd, uint32_t tgid)
{
	return (struct target){.cookie = cookie_of(fd), .tgid = tgid, .fd_number = -1};
}

static void assert_borrowed(struct target *t)
{
	int fd = target_borrow(t);

	assert_true(fd >= 0);
	assert_int_equal(cookie_of(fd), t->cookie);
	close(fd);
}

// A child that has what was open, at `number`, until the pipe that is returned is closed.
static pid_t start_child(int keep, int number, int *ret_until)
{
	int until[2], ready[2];
	char byte;
	pid_t child;

	assert_int_equal(pipe2(until, O_CLOEXEC) | pipe2(ready, O_CLOEXEC), 0);
	child = fork();
	if (!child) {
		close(until[1]);
		if (number != keep) {
			dup2(keep, number);
			close(keep);
		}
		_exit(write(ready[1], "", 1) != 1 || read(until[0], &byte, 1) != 0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	close(until[0]);
	*ret_until = until[1];
	return child;
}

static void end_child(pid_t child, int until)
{
	int status;

	close(until);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void a_child_that_was_forked_has_it_when_its_parent_has_not(void **state)
{
	struct pair pair = connected();
	struct target t = target_of(pair.client, getpid());
	int until;
	pid_t child = start_child(pair.client, pair.client, &until);

	(void)state;
	assert_borrowed(&t);
	assert_int_equal(t.fd_number, pair.client);
	close(pair.client);
	assert_int_equal(target_borrow(&t), -ESRCH); // it is not known yet who else has it
	t.other_tgid = child;
	assert_borrowed(&t);
	assert_int_equal(t.tgid, child); // asked first from now on
	assert_int_equal(t.other_tgid, getpid());
	assert_borrowed(&t);
	end_child(child, until);
	assert_int_equal(target_borrow(&t), -ESRCH);
	close(pair.server);
}

static void one_that_has_it_under_another_number_is_searched(void **state)
{
	struct pair pair = connected(), decoy = connected();
	struct target t = target_of(pair.client, getpid());
	int until, number = fcntl(pair.client, F_DUPFD_CLOEXEC, 200);
	pid_t child;

	(void)state;
	close(number);
	child = start_child(pair.client, number, &until);
	assert_borrowed(&t);
	dup2(decoy.client, pair.client); // another connection stands where it was
	t.other_tgid = child;
	assert_borrowed(&t);
	assert_int_equal(t.fd_number, number);
	end_child(child, until);
	close(pair.client);
	close(pair.server);
	close(decoy.client);
	close(decoy.server);
}

// It went on while the parent has ended.
static void a_process_that_has_ended_is_passed_over(void **state)
{
	struct pair pair = connected();
	int until;
	pid_t child = start_child(pair.client, pair.client, &until);
	struct target t = target_of(pair.client, child);

	(void)state;
	end_child(child, until);
	assert_int_equal(target_borrow(&t), -ESRCH);
	t.other_tgid = getpid();
	assert_borrowed(&t);
	close(pair.client);
	close(pair.server);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

static void wait_until(int64_t (*count)(struct target *), struct target *t, int64_t wanted)
{
	uint64_t end_ms = now_ms() + PATIENCE_MS;
	int64_t got;

	while ((got = count(t)) != wanted)
		if (now_ms() > end_ms)
			fail_msg("%ld, not %ld", (long)got, (long)wanted);
}

static void what_the_server_does_not_take_is_unsent(void **state)
{
	struct pair pair = connected();
	struct target t = target_of(pair.client, getpid());
	static char data[65536];
	int64_t written = 0, read_bytes = 0, unsent;
	ssize_t n;

	(void)state;
	assert_int_equal(target_unsent(&t), 0);
	while ((n = send(pair.client, data, sizeof(data), MSG_DONTWAIT)) > 0)
		written += n;
	unsent = target_unsent(&t);
	assert_in_range(unsent, 1, written - 1);
	assert_true(target_is_full(&t));
	while (read_bytes < written) {
		n = recv(pair.server, data, sizeof(data), 0);
		assert_true(n > 0);
		read_bytes += n;
	}
	wait_until(target_unsent, &t, 0);
	close(pair.client);
	assert_int_equal(target_unsent(&t), -ESRCH);
	close(pair.server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_child_that_was_forked_has_it_when_its_parent_has_not),
		cmocka_unit_test(one_that_has_it_under_another_number_is_searched),
		cmocka_unit_test(a_process_that_has_ended_is_passed_over),
		cmocka_unit_test(what_the_server_does_not_take_is_unsent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
