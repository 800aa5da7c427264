// For the tests of store/: a directory for each test, a store in it, and what a daemon that starts
// now would find there.
#ifndef SLUICE_TESTS_STORE_RIG_H
#define SLUICE_TESTS_STORE_RIG_H

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <dirent.h>
#include <cmocka.h>
#include "base/clock.h"
#include "store/store.h"

enum { MOST_LOADED = 1024, N_BATCH = 40 };
#define MINUTE_NS (60 * NS_PER_S)
#define DAY_NS (86400 * NS_PER_S)

static char directory[64], file[96];

static inline int new_directory(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/sluice-store-XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(file, sizeof(file), "%s/sluice.db", directory);
	return 0;
}

static inline int remove_directory(void **state)
{
	char command[160];

	(void)state;
	snprintf(command, sizeof(command), "chmod u+w %s; rm -r %s", directory, directory);
	return system(command);
}

static inline struct bucket_state bucket(const char *key, double level)
{
	return (struct bucket_state){.limit = "gpt-4",
				     .team = "",
				     .key = key,
				     .resource = RESOURCE_TOKENS,
				     .interval_ns = MINUTE_NS,
				     .level = level,
				     .at_s = 1.79e9 + 0.25};
}

static inline struct store *open_store(void)
{
	struct store *s;
	char *error;

	assert_int_equal(store_open(&s, directory, &error), 0);
	assert_null(error);
	return s;
}

static inline void put(struct store *s, const char *key, double level)
{
	struct bucket_state state = bucket(key, level);

	assert_int_equal(store_put(s, &state), 0);
}

static inline void put_and_close(const char *key, double level)
{
	struct store *s = open_store();

	put(s, key, level);
	store_close(s);
}

struct loaded {
	struct bucket_state states[MOST_LOADED];
	size_t n;
};

static inline void keep(void *ctx, const struct bucket_state *state)
{
	struct loaded *loaded = ctx;
	struct bucket_state *copy = &loaded->states[loaded->n++];

	assert_true(loaded->n <= MOST_LOADED);
	*copy = *state;
	copy->limit = strdup(state->limit);
	copy->team = strdup(state->team);
	copy->key = strdup(state->key);
}

// What a daemon that starts now would find.
static inline struct loaded load(void)
{
	struct store *s = open_store();
	struct loaded loaded = {.n = 0};

	assert_int_equal(store_load(s, keep, &loaded), 0);
	assert_int_equal(store_errors(s), 0);
	store_close(s);
	return loaded;
}

static inline void forget(struct loaded *loaded)
{
	for (size_t i = 0; i < loaded->n; i++) {
		free((char *)loaded->states[i].limit);
		free((char *)loaded->states[i].team);
		free((char *)loaded->states[i].key);
	}
}

// The level of that key, NAN if it is not there.
static inline double level_of(const struct loaded *loaded, const char *key)
{
	for (size_t i = 0; i < loaded->n; i++)
		if (!strcmp(loaded->states[i].key, key))
			return loaded->states[i].level;
	return NAN;
}

static inline double level_after_restart(const char *key)
{
	struct loaded loaded = load();
	double level = level_of(&loaded, key);

	forget(&loaded);
	return level;
}

static inline void copy_text(void *ctx, const char *value)
{
	snprintf(ctx, 64, "%s", value ?: "");
}

// Runs SQL on the file, as somebody with the sqlite3 command might; the last value, as text.
static inline int on_row(void *ctx, int n_columns, char **values, char **names)
{
	(void)names;
	if (n_columns)
		copy_text(ctx, values[0]);
	return 0;
}

static inline void sql(const char *statement, char ret[64])
{
	sqlite3 *connection;
	char *error = NULL;

	ret[0] = 0;
	assert_int_equal(sqlite3_open(file, &connection), SQLITE_OK);
	sqlite3_exec(connection, statement, on_row, ret, &error);
	if (error)
		fail_msg("%s: %s", statement, error);
	sqlite3_close(connection);
}

static inline void assert_sql(const char *statement, const char *expected)
{
	char found[64];

	sql(statement, found);
	assert_string_equal(found, expected);
}

static inline size_t count_broken(void)
{
	DIR *dir = opendir(directory);
	size_t n = 0;

	for (struct dirent *entry; (entry = readdir(dir));)
		n += strstr(entry->d_name, "sluice.db.broken-") == entry->d_name;
	closedir(dir);
	return n;
}

static inline void wait_briefly(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 2 * NS_PER_MS}, NULL);
}

static inline void wait_for_key(const char *key, double seconds)
{
	uint64_t end_ns = clock_now_ns() + (uint64_t)(seconds * NS_PER_S);
	char statement[128], found[64];

	snprintf(statement, sizeof(statement), "SELECT count(*) FROM bucket WHERE key = '%s'", key);
	do {
		sql(statement, found);
		wait_briefly();
	} while (strcmp(found, "1") && clock_now_ns() < end_ns);
	assert_string_equal(found, "1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, new_directory, remove_directory)

#endif
