// No trouble with the disk troubles the daemon, and however it ends, little is forgotten.
#include <signal.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "store_rig.h"

// Runs `body` in a process that has no privileges in the directory, stderr in a file. Returns the
// number of lines that it logged.
static int logged_by(void (*body)(void))
{
	char log[] = "/tmp/sluice-log-XXXXXX";
	int fd = mkstemp(log), status, n_lines = 0;
	pid_t child = fork();
	char text[8192];
	ssize_t size;

	assert_true(fd >= 0 && child >= 0);
	if (!child) {
		if (dup2(fd, STDERR_FILENO) < 0 || (!geteuid() && setresuid(65534, 65534, 65534)))
			_exit(3);
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	size = pread(fd, text, sizeof(text) - 1, 0);
	text[size] = 0;
	for (char *at = text; *at; at++)
		n_lines += *at == '\n';
	close(fd);
	unlink(log);
	if (status)
		fail_msg("the child failed (%x): %s", status, text);
	return n_lines;
}

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition);            \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static void count(void *ctx, const struct bucket_state *state)
{
	(void)state;
	++*(size_t *)ctx;
}

static void live_without_a_file(void)
{
	uint64_t end_ns = clock_now_ns() + 10 * NS_PER_S;
	struct bucket_state state = bucket("k", 1);
	struct store *s;
	size_t n = 0;
	char *error;

	CHECK(store_open(&s, directory, &error) == 0);
	CHECK(store_load(s, count, &n) == 0 && n == 0);
	CHECK(store_errors(s) == 1);
	while (store_errors(s) < 2) { // until it has tried again
		CHECK(clock_now_ns() < end_ns);
		CHECK(store_put(s, &state) == 0);
		CHECK(store_flush(s) == 0);
		wait_briefly();
	}
	store_close(s);
}

static void in_a_read_only_directory_the_daemon_runs_on_and_says_so_once(void **state)
{
	(void)state;
	assert_int_equal(chmod(directory, 0555), 0);
	assert_int_equal(logged_by(live_without_a_file), 1);
	assert_int_equal(access(file, F_OK), -1);
}

static void in_a_directory_that_becomes_read_only_the_old_file_is_left_alone(void **state)
{
	(void)state;
	put_and_close("a", 1);
	assert_int_equal(chown(file, geteuid() ? geteuid() : 65534, -1), 0);
	assert_int_equal(chmod(directory, 0555), 0);
	assert_int_equal(logged_by(live_without_a_file), 1);
	assert_int_equal(chmod(directory, 0755), 0);
	assert_int_equal(count_broken(), 0);
	assert_true(level_after_restart("a") == 1);
}

// No file may grow: what a full disk does, with another errno.
static void set_file_size_limit(rlim_t bytes)
{
	struct rlimit limit;

	CHECK(!getrlimit(RLIMIT_FSIZE, &limit));
	limit.rlim_cur = bytes;
	CHECK(!setrlimit(RLIMIT_FSIZE, &limit));
}

static void live_on_a_full_disk(void)
{
	uint64_t end_ns = clock_now_ns() + 20 * NS_PER_S, began_ns;
	struct bucket_state state = bucket("k", 1);
	struct store *s;
	char *error;

	signal(SIGXFSZ, SIG_IGN);
	CHECK(store_open(&s, directory, &error) == 0 && store_errors(s) == 0);
	set_file_size_limit(1024);
	while (store_errors(s) < 2) {
		CHECK(clock_now_ns() < end_ns);
		state.level++;
		began_ns = clock_now_ns();
		CHECK(store_put(s, &state) == 0 && store_flush(s) == 0);
		CHECK(clock_now_ns() - began_ns < NS_PER_S / 4);
		wait_briefly();
	}
	set_file_size_limit(RLIM_INFINITY);
	state.key = "later";
	CHECK(store_put(s, &state) == 0);
	store_close(s);
}

static void a_full_disk_is_waited_for_in_memory(void **state)
{
	(void)state;
	assert_int_equal(chmod(directory, 0777), 0);
	assert_int_equal(logged_by(live_on_a_full_disk), 1);
	if (!geteuid())
		assert_int_equal(chown(file, 0, 0), 0);
	assert_true(level_after_restart("k") > 1);
	assert_true(level_after_restart("later") > 1);
	assert_int_equal(count_broken(), 0);
}

static void the_event_loop_never_waits_for_the_file(void **state)
{
	(void)state;
	struct store *s = open_store();
	sqlite3 *other;
	uint64_t began_ns;

	put(s, "before", 1);
	store_flush(s);
	wait_for_key("before", 5);
	assert_int_equal(sqlite3_open(file, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	began_ns = clock_now_ns();
	for (int i = 0; i < 100; i++) {
		put(s, "during", i);
		store_flush(s);
	}
	assert_true(clock_now_ns() - began_ns < NS_PER_S / 4);
	assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	store_close(s);
	assert_true(level_after_restart("during") == 99);
}

// One who could not open a store calls the same functions.
static void without_a_store_nothing_fails(void **state)
{
	(void)state;
	struct bucket_state some = bucket("k", 1);
	struct loaded loaded = {.n = 0};

	assert_int_equal(store_load(NULL, keep, &loaded), 0);
	assert_int_equal(store_put(NULL, &some), 0);
	assert_int_equal(store_flush(NULL), 0);
	assert_int_equal(store_errors(NULL), 1);
	store_close(NULL);
}

struct shared {
	_Atomic uint64_t n_flushed, at_ns[4096]; // by what was flushed
};

static void flush_for_ever(struct shared *shared, long pause_ns)
{
	struct store *s;
	char *error, key[32];

	if (store_open(&s, directory, &error))
		_exit(1);
	for (uint64_t n = shared->n_flushed + 1; n < 4096; n++) {
		for (int i = 0; i < N_BATCH; i++) {
			struct bucket_state state = bucket(key, (double)n);

			snprintf(key, sizeof(key), "key-%d", i);
			store_put(s, &state);
		}
		store_flush(s);
		shared->at_ns[n] = clock_now_ns();
		shared->n_flushed = n;
		nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
	}
	_exit(0);
}

// Lets a daemon flush `n` times and kills it within the time after that, at a random moment.
// Returns what it had flushed a second before; never less than `least`.
static uint64_t flush_and_kill(struct shared *shared, uint64_t n, long pause_ns)
{
	uint64_t until = shared->n_flushed + n, end_ns = clock_now_ns() + 30 * NS_PER_S, killed_ns;
	pid_t child = fork();
	uint32_t moment;
	int status;

	if (!child)
		flush_for_ever(shared, pause_ns);
	while (shared->n_flushed < until) {
		assert_true(clock_now_ns() < end_ns);
		wait_briefly();
	}
	assert_int_equal(getrandom(&moment, sizeof(moment), 0), sizeof(moment));
	nanosleep(&(struct timespec){.tv_nsec = moment % (pause_ns + NS_PER_MS)}, NULL);
	killed_ns = clock_now_ns();
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	n = shared->n_flushed;
	while (n && killed_ns - shared->at_ns[n] < NS_PER_S)
		n--;
	return n;
}

// What a kill left: whole batches, at least as new as `least`, in a sound file.
static void assert_levels_hold(uint64_t least, uint64_t most)
{
	struct loaded loaded;

	assert_sql("PRAGMA integrity_check", "ok");
	loaded = load();
	assert_int_equal(count_broken(), 0);
	if (least)
		assert_int_equal(loaded.n, N_BATCH);
	for (size_t i = 0; i < loaded.n; i++) {
		if (loaded.states[i].level != loaded.states[0].level)
			fail_msg("half a batch: %g and %g", loaded.states[0].level,
				 loaded.states[i].level);
		assert_in_range(loaded.states[i].level, least, most);
	}
	forget(&loaded);
}

static void a_killed_daemon_loses_a_second_at_most(void **state)
{
	(void)state;
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(shared, MAP_FAILED);
	for (int i = 0; i < 2; i++) {
		uint64_t least = flush_and_kill(shared, 13, 100 * NS_PER_MS);

		assert_true(least > 0);
		assert_levels_hold(least, shared->n_flushed + 1);
	}
	munmap(shared, sizeof(*shared));
}

static void a_daemon_killed_while_it_writes_leaves_whole_batches(void **state)
{
	(void)state;
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(shared, MAP_FAILED);
	for (int i = 0; i < 20; i++) {
		flush_and_kill(shared, 5, 50 * NS_PER_US);
		assert_levels_hold(0, shared->n_flushed + 1);
	}
	munmap(shared, sizeof(*shared));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(in_a_read_only_directory_the_daemon_runs_on_and_says_so_once),
		TEST(in_a_directory_that_becomes_read_only_the_old_file_is_left_alone),
		TEST(a_full_disk_is_waited_for_in_memory),
		TEST(the_event_loop_never_waits_for_the_file),
		TEST(without_a_store_nothing_fails),
		TEST(a_killed_daemon_loses_a_second_at_most),
		TEST(a_daemon_killed_while_it_writes_leaves_whole_batches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
