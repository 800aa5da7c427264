// What a limit had used is known after a restart, and a file that cannot be used is replaced by one
// that can.
#include <fcntl.h>
#include "store_rig.h"

static void what_was_used_is_known_after_a_restart(void **state)
{
	(void)state;
	const struct bucket_state written[] = {
		{"gpt-4", "", "3f2a0c1d9e8b7a65,gpt-4", RESOURCE_TOKENS, MINUTE_NS, 123.456,
		 1790000000.125, 0, 0, 0},
		{"user-day", "chat", "", RESOURCE_COST, 366 * DAY_NS, -17.5, 1790000001, INFINITY,
		 0, 0},
		{"", "review", "", RESOURCE_REQUESTS, MINUTE_NS, 0, 1790000002, 1790003600.5, 0, 0},
		{"auto", "", "na\xc3\xafve, it's \xff", RESOURCE_IMAGES, UINT64_MAX, INFINITY,
		 1790000003, 0, 1e15, 0.008},
	};
	struct store *s = open_store();
	struct loaded loaded;

	for (int i = 0; i < 4; i++)
		assert_int_equal(store_put(s, &written[i]), 0);
	store_close(s);
	loaded = load();
	assert_int_equal(loaded.n, 4);
	for (int i = 0; i < 4; i++) {
		const struct bucket_state *w = &written[i], *found = NULL;

		for (int k = 0; k < 4; k++)
			if (loaded.states[k].resource == w->resource)
				found = &loaded.states[k];
		assert_non_null(found);
		assert_string_equal(found->limit, w->limit);
		assert_string_equal(found->team, w->team);
		assert_string_equal(found->key, w->key);
		assert_true(found->interval_ns == w->interval_ns);
		assert_true(found->level == w->level);
		assert_true(found->at_s == w->at_s);
		assert_true(found->shut_until_s == w->shut_until_s);
		assert_true(found->learnt_capacity == w->learnt_capacity);
		assert_true(found->learnt_interval_s == w->learnt_interval_s);
	}
	forget(&loaded);
}

static void the_newest_level_of_a_bucket_is_the_one_that_counts(void **state)
{
	(void)state;
	struct store *s = open_store();
	struct loaded loaded;

	put(s, "a", 1);
	put(s, "a", 2); // in the same batch
	store_flush(s);
	put(s, "a", 3); // in a later one
	store_close(s);
	put_and_close("a", 4); // in a later life
	loaded = load();
	assert_int_equal(loaded.n, 1);
	assert_true(loaded.states[0].level == 4);
	forget(&loaded);
}

// A minute's bucket and a day's of the same limit, or tokens and requests, are not one.
static void buckets_that_differ_in_anything_are_kept_apart(void **state)
{
	(void)state;
	struct bucket_state states[6];
	struct store *s = open_store();
	struct loaded loaded;

	for (int i = 0; i < 6; i++)
		states[i] = bucket("k", i);
	states[1].limit = "other";
	states[2].team = "chat";
	states[3].key = "K";
	states[4].resource = RESOURCE_REQUESTS;
	states[5].interval_ns = DAY_NS;
	for (int i = 0; i < 6; i++)
		assert_int_equal(store_put(s, &states[i]), 0);
	store_close(s);
	loaded = load();
	assert_int_equal(loaded.n, 6);
	forget(&loaded);
}

static void a_nonsensical_level_is_refused_and_spoils_no_other(void **state)
{
	(void)state;
	struct store *s = open_store();
	struct bucket_state nonsense = bucket("bad", NAN), no_resource = bucket("bad", 1);

	no_resource.resource = N_RESOURCES;
	put(s, "good", 5);
	assert_int_equal(store_put(s, &nonsense), -EINVAL);
	assert_int_equal(store_put(s, &no_resource), -EINVAL);
	assert_int_equal(store_errors(s), 2);
	store_close(s);
	assert_true(level_after_restart("good") == 5);
	assert_true(isnan(level_after_restart("bad")));
}

static void only_rows_out_of_use_are_pruned(void **state)
{
	(void)state;
	struct store *s = open_store();
	struct bucket_state month = bucket("month", 1);
	struct loaded loaded;
	char none[64];

	month.interval_ns = 31 * DAY_NS;
	store_put(s, &month);
	put(s, "39 days", 1);
	put(s, "41 days", 1);
	store_close(s);
	sql("UPDATE bucket SET touched_s = unixepoch() - 39 * 86400 WHERE key = '39 days';"
	    "UPDATE bucket SET touched_s = unixepoch() - 41 * 86400 WHERE key = '41 days';"
	    "UPDATE bucket SET touched_s = unixepoch() - 61 * 86400 WHERE key = 'month'",
	    none);
	loaded = load();
	assert_int_equal(loaded.n, 2);
	assert_true(isnan(level_of(&loaded, "41 days")));
	forget(&loaded);
	sql("UPDATE bucket SET touched_s = unixepoch() - 63 * 86400 WHERE key = 'month'", none);
	assert_true(isnan(level_after_restart("month")));
}

static void nobody_else_may_read_the_file(void **state)
{
	(void)state;
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	mode_t mask = umask(0);
	struct store *s = open_store();
	char name[128];
	struct stat st;

	put(s, "user-4711", 1);
	store_flush(s);
	wait_for_key("user-4711", 5);
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s%s", file, suffixes[i]);
		assert_int_equal(stat(name, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
	store_close(s);
	umask(mask);
	assert_int_equal(chmod(file, 0644), 0);
	store_close(open_store());
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

// Damages the file; what had been in it is moved aside, and the daemon goes on with a fresh one.
static void assert_is_replaced(void)
{
	struct store *s = open_store();
	struct loaded loaded = {.n = 0};

	assert_int_equal(store_load(s, keep, &loaded), 0);
	assert_int_equal(loaded.n, 0);
	assert_int_equal(count_broken(), 1);
	put(s, "after", 7);
	store_close(s);
	assert_true(level_after_restart("after") == 7);
	assert_int_equal(count_broken(), 1);
}

static void overwrite(off_t at, size_t size)
{
	int fd = open(file, O_WRONLY | O_CREAT, 0600);
	char junk[4096];

	memset(junk, 0xa5, sizeof(junk));
	assert_int_equal(pwrite(fd, junk, size, at), size);
	close(fd);
}

static void a_file_that_is_no_database_is_replaced(void **state)
{
	(void)state;
	overwrite(0, 4096);
	assert_is_replaced();
}

static void a_file_damaged_inside_is_replaced(void **state)
{
	(void)state;
	struct store *s = open_store();
	char key[32];

	for (int i = 0; i < 500; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		put(s, key, i);
	}
	store_close(s);
	overwrite(4096 + 100, 4096); // the root of the table and some of a leaf
	assert_is_replaced();
}

static void a_truncated_file_is_replaced(void **state)
{
	(void)state;
	put_and_close("a", 1);
	assert_int_equal(truncate(file, 4096 + 17), 0);
	assert_is_replaced();
}

static void a_file_of_a_newer_version_is_kept_aside_unharmed(void **state)
{
	(void)state;
	char none[64], command[320];

	put_and_close("a", 1);
	sql("PRAGMA user_version = 2", none);
	assert_is_replaced();
	snprintf(command, sizeof(command), "rm %s && mv %s.broken-* %s", file, file, file);
	assert_int_equal(system(command), 0);
	assert_sql("PRAGMA user_version", "2");
	assert_sql("SELECT level FROM bucket WHERE key = 'a'", "1.0");
}

static void a_file_of_another_program_is_replaced(void **state)
{
	(void)state;
	char none[64];

	sql("CREATE TABLE somebody (elses)", none);
	assert_is_replaced();
}

static void a_directory_in_the_place_of_the_file_is_replaced(void **state)
{
	(void)state;
	assert_int_equal(mkdir(file, 0700), 0);
	assert_is_replaced();
}

static void a_file_that_breaks_while_in_use_is_replaced_and_all_is_asked_for_again(void **state)
{
	(void)state;
	struct store *s = open_store();
	uint64_t end_ns;
	char none[64];

	put(s, "before", 1);
	store_flush(s);
	wait_for_key("before", 5);
	sql("DROP TABLE bucket; PRAGMA user_version = 77", none);
	put(s, "after", 2);
	end_ns = clock_now_ns() + 10 * NS_PER_S;
	while (!store_flush(s)) {
		assert_true(clock_now_ns() < end_ns);
		wait_briefly();
	}
	put(s, "before", 3); // as asked
	assert_true(store_errors(s) > 0);
	assert_int_equal(store_flush(s), 0); // asked once
	store_close(s);
	assert_int_equal(count_broken(), 1);
	assert_true(level_after_restart("before") == 3);
	assert_true(level_after_restart("after") == 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_used_is_known_after_a_restart),
		TEST(the_newest_level_of_a_bucket_is_the_one_that_counts),
		TEST(buckets_that_differ_in_anything_are_kept_apart),
		TEST(a_nonsensical_level_is_refused_and_spoils_no_other),
		TEST(only_rows_out_of_use_are_pruned),
		TEST(nobody_else_may_read_the_file),
		TEST(a_file_that_is_no_database_is_replaced),
		TEST(a_file_damaged_inside_is_replaced),
		TEST(a_truncated_file_is_replaced),
		TEST(a_file_of_a_newer_version_is_kept_aside_unharmed),
		TEST(a_file_of_another_program_is_replaced),
		TEST(a_directory_in_the_place_of_the_file_is_replaced),
		TEST(a_file_that_breaks_while_in_use_is_replaced_and_all_is_asked_for_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
