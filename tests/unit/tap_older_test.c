// The connections that were there before the daemon. If these fail, what a program had open when
// the daemon started is not governed, or another's connection is.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tap/older.c"

struct pair {
	int listener, client, server;
	uint16_t port, local_port;
};

static struct sockaddr_in6 any_port_of(const char *address)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6};

	assert_int_equal(inet_pton(AF_INET6, address, &at.sin6_addr), 1);
	return at;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in6 at;
	socklen_t bytes = sizeof(at);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &bytes), 0);
	return ntohs(at.sin6_port); // where sin_port is
}

static struct pair connect_to(struct sockaddr *at, socklen_t bytes)
{
	struct pair pair = {.listener = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0),
			    .client = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};

	assert_int_equal(bind(pair.listener, at, bytes), 0);
	assert_int_equal(listen(pair.listener, 1), 0);
	assert_int_equal(getsockname(pair.listener, at, &bytes), 0);
	assert_int_equal(connect(pair.client, at, bytes), 0);
	pair.server = accept(pair.listener, NULL, NULL);
	assert_true(pair.server >= 0);
	pair.port = port_of(pair.listener);
	pair.local_port = port_of(pair.client);
	return pair;
}

static struct pair connect4(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	return connect_to((struct sockaddr *)&at, sizeof(at));
}

static struct pair connect6(const char *address)
{
	struct sockaddr_in6 at = any_port_of(address);

	return connect_to((struct sockaddr *)&at, sizeof(at));
}

static void pair_close(const struct pair *pair)
{
	close(pair->client);
	close(pair->server);
	close(pair->listener);
}

struct call {
	uint16_t port;
	struct older *out;
	size_t max;
	int result;
};

static void *find_on_thread(void *arg)
{
	struct call *call = arg;

	call->result = older_find(&call->port, 1, call->out, call->max);
	return NULL;
}

static int find(uint16_t port, struct older *out, size_t max)
{
	struct call call = {.port = port, .out = out, .max = max};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, find_on_thread, &call), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return call.result;
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t bytes = sizeof(cookie);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &bytes), 0);
	return cookie;
}

static void assert_address(const uint8_t address[16], const char *expected)
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(AF_INET6, address, text, sizeof(text));
	assert_string_equal(text, expected);
}

static void assert_found(const struct pair *pair, const char *address)
{
	struct older found[4];
	struct stat st;
	char comm[SLUICE_COMM_BYTES];

	assert_int_equal(find(pair->port, found, 4), 1);
	// Asked for only now: finding it must have given it the cookie that it keeps.
	assert_int_equal(found->cookie, cookie_of(pair->client));
	assert_int_equal(fstat(pair->client, &st), 0);
	assert_int_equal(found->inode, st.st_ino);
	assert_int_equal(stat("/proc/self/ns/net", &st), 0);
	assert_int_equal(found->netns, st.st_ino);
	assert_int_equal(found->tgid, getpid());
	assert_int_equal(found->uid, getuid());
	assert_int_equal(found->port, pair->port);
	assert_int_equal(found->local_port, pair->local_port);
	assert_address(found->address, address);
	assert_address(found->local_address, address);
	read_comm("self", comm);
	assert_string_equal(found->comm, comm);
}

static void a_connection_is_found_with_its_owner(void **state)
{
	struct pair pair = connect4();

	(void)state;
	assert_found(&pair, "::ffff:127.0.0.1");
	pair_close(&pair);
}

static void a_connection_over_ipv6_is_found(void **state)
{
	struct pair pair;
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	struct sockaddr_in6 at = any_port_of("::1");
	bool has_ipv6 = fd >= 0 && !bind(fd, (struct sockaddr *)&at, sizeof(at));

	(void)state;
	close(fd);
	if (!has_ipv6)
		skip();
	pair = connect6("::1");
	assert_found(&pair, "::1");
	pair_close(&pair);
	pair = connect6("::ffff:127.0.0.1");
	assert_found(&pair, "::ffff:127.0.0.1");
	pair_close(&pair);
}

static void only_asked_for_ports_are_found_and_no_more_than_fit(void **state)
{
	struct pair pair = connect4();
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons(pair.port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int second = socket(AF_INET, SOCK_STREAM, 0);
	struct older found[4];

	(void)state;
	assert_int_equal(find(1, found, 4), 0);
	assert_int_equal(connect(second, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(find(pair.port, found, 4), 2);
	assert_int_equal(find(pair.port, found, 1), 1);
	close(second);
	pair_close(&pair);
}

// On its way to another process (unix(7), SCM_RIGHTS).
static void send_away(int fd, int to)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} rights = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
			       .cmsg_level = SOL_SOCKET,
			       .cmsg_type = SCM_RIGHTS}};
	struct iovec byte = {"", 1};
	struct msghdr message = {.msg_iov = &byte,
				 .msg_iovlen = 1,
				 .msg_control = &rights,
				 .msg_controllen = sizeof(rights)};

	memcpy(CMSG_DATA(&rights.header), &fd, sizeof(fd));
	assert_int_equal(sendmsg(to, &message, 0), 1);
	close(fd);
}

static void what_no_process_has_open_is_left_out(void **state)
{
	struct pair pair = connect4(), sent = connect4();
	struct older found[4];
	int mail[2];

	(void)state;
	close(pair.client); // still there, but only for the kernel: FIN_WAIT2
	assert_int_equal(find(pair.port, found, 4), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, mail), 0);
	send_away(sent.client, mail[0]); // established, and nobody's for the moment
	assert_int_equal(find(sent.port, found, 4), 0);
	close(mail[0]);
	close(mail[1]);
	close(pair.server);
	close(pair.listener);
	close(sent.server);
	close(sent.listener);
}

// The server has ended it; the program may still write.
static void one_that_the_server_has_closed_is_found(void **state)
{
	struct pair pair = connect4();
	struct older found[4];
	char byte;

	(void)state;
	assert_int_equal(shutdown(pair.server, SHUT_WR), 0);
	assert_int_equal(read(pair.client, &byte, 1), 0); // the FIN is there
	assert_int_equal(find(pair.port, found, 4), 1);
	pair_close(&pair);
}

// A child in a network namespace of its own, until its standard input ends.
static int live_elsewhere(int told, int until)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	struct {
		uint16_t port;
		uint64_t cookie;
	} say = {};
	struct pair pair;
	char byte;
	int fd;

	if (unshare(CLONE_NEWNET) || (fd = socket(AF_INET, SOCK_DGRAM, 0)) < 0 ||
	    ioctl(fd, SIOCSIFFLAGS, &lo))
		return 1;
	pair = connect4();
	say.port = pair.port;
	say.cookie = cookie_of(pair.client);
	if (write(told, &say, sizeof(say)) != sizeof(say))
		return 1;
	return read(until, &byte, 1) ? 1 : 0;
}

static void one_in_another_network_namespace_is_found(void **state)
{
	struct {
		uint16_t port;
		uint64_t cookie;
	} said;
	struct older found[4];
	struct stat before, after;
	int told[2], until[2], status;
	char path[64];
	pid_t child;

	(void)state;
	if (geteuid())
		skip(); // setns(2) is root's
	assert_int_equal(pipe(told) | pipe(until), 0);
	child = fork();
	if (!child) {
		close(until[1]);
		_exit(live_elsewhere(told[1], until[0]));
	}
	close(told[1]);
	assert_int_equal(read(told[0], &said, sizeof(said)), sizeof(said));
	assert_int_equal(stat("/proc/self/ns/net", &before), 0);
	assert_int_equal(find(said.port, found, 4), 1);
	assert_int_equal(found->tgid, child);
	assert_int_equal(found->cookie, said.cookie);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", child);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(found->netns, after.st_ino);
	assert_int_equal(stat("/proc/self/ns/net", &after), 0);
	assert_int_equal(after.st_ino, before.st_ino); // this thread has stayed
	close(until[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_is_found_with_its_owner),
		cmocka_unit_test(a_connection_over_ipv6_is_found),
		cmocka_unit_test(only_asked_for_ports_are_found_and_no_more_than_fit),
		cmocka_unit_test(what_no_process_has_open_is_left_out),
		cmocka_unit_test(one_that_the_server_has_closed_is_found),
		cmocka_unit_test(one_in_another_network_namespace_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
