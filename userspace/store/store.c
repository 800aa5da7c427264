// See store.h. Three batches, so that each lock is held for moving pointers only:
//
//   pending   the event loop's own
//   handed    under the lock: what was flushed and the writer has not fetched yet
//   writing   the writer's own; stays there if it could not be written
//
// The writer wakes by store_flush() only. After a failure it waits for 1 s, 2 s, … 60 s until it
// tries again; meanwhile it gathers what is flushed.
#include "store/store.h"
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/batch.h"
#include "store/database.h"

enum { SYNC_EVERY_S = 60, TIDY_EVERY_S = 86400, RETRY_AT_MOST_S = 60, ERRNOS = 256 };

struct store {
	char *path;
	atomic_ullong n_errors;

	// The event loop's.
	struct batch pending;
	bool has_flushed, has_said_put;

	pthread_t writer;
	pthread_mutex_t lock; // of what follows
	pthread_cond_t due;
	struct batch handed;
	bool is_due, is_closing;
	bool wants_all;    // the file may lack buckets
	bool is_unsettled; // the writer has something to write, sync or open

	// The writer's, once it runs.
	struct database database;
	struct batch writing;
	bool is_unsynced;
	uint64_t synced_ns, tidied_ns, retry_ns;
	unsigned retry_s;
	bool is_told[ERRNOS]; // by errno; since tidied_ns
};

static void note_failure(struct store *s, int err, const char *consequence)
{
	bool *is_told = &s->is_told[-err < ERRNOS ? -err : 0];

	atomic_fetch_add(&s->n_errors, 1);
	if (!*is_told)
		log_error("%s %s; %s", s->path, s->database.why ?: strerror(-err), consequence);
	*is_told = true;
}

static void note_retry(struct store *s, uint64_t now_ns)
{
	s->retry_s = s->retry_s ? 2 * s->retry_s : 1;
	if (s->retry_s > RETRY_AT_MOST_S)
		s->retry_s = RETRY_AT_MOST_S;
	s->retry_ns = now_ns + s->retry_s * NS_PER_S;
}

static int open_database(struct store *s)
{
	int err = database_open(&s->database, s->path);

	if (err)
		note_failure(s, err,
			     "sluiced runs on and tries again; if it ends before that succeeds, "
			     "what was used of the limits is forgotten");
	return err;
}

static int reopen(struct store *s)
{
	int err = open_database(s);

	if (err)
		return err;
	log_info("%s: open again", s->path);
	pthread_mutex_lock(&s->lock);
	s->wants_all = true;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static int write_batch(struct store *s)
{
	int err = s->writing.rows.count ? database_write(&s->database, &s->writing) : 0;

	if (err)
		return err;
	if (s->writing.rows.count)
		s->is_unsynced = true;
	batch_clear(&s->writing);
	return 0;
}

static int sync_if_due(struct store *s, uint64_t now_ns)
{
	int err;

	if (!s->is_unsynced || now_ns - s->synced_ns < SYNC_EVERY_S * NS_PER_S)
		return 0;
	s->synced_ns = now_ns;
	err = database_sync(&s->database);
	s->is_unsynced = err != 0;
	return err;
}

static int tidy_if_due(struct store *s, uint64_t now_ns)
{
	if (now_ns - s->tidied_ns < TIDY_EVERY_S * NS_PER_S)
		return 0;
	s->tidied_ns = now_ns;
	memset(s->is_told, 0, sizeof(s->is_told));
	return database_prune(&s->database);
}

static void work_once(struct store *s, bool is_last)
{
	uint64_t now_ns = clock_now_ns();
	int err;

	if (now_ns < s->retry_ns && !is_last)
		return;
	if (!s->database.connection && reopen(s)) {
		note_retry(s, now_ns);
		return;
	}
	err = write_batch(s) ?: sync_if_due(s, now_ns) ?: tidy_if_due(s, now_ns);
	if (!err) {
		s->retry_s = 0;
		return;
	}
	note_failure(s, err, "what was used of the limits is kept in memory, and tried again");
	note_retry(s, now_ns);
	if (err == -EUCLEAN) // the next try moves it aside
		database_close(&s->database);
}

static void *work(void *arg)
{
	struct store *s = arg;
	bool is_last = false;

	pthread_mutex_lock(&s->lock);
	while (!is_last) {
		while (!s->is_due && !s->is_closing)
			pthread_cond_wait(&s->due, &s->lock);
		s->is_due = false;
		is_last = s->is_closing;
		atomic_fetch_add(&s->n_errors, batch_take(&s->writing, &s->handed));
		pthread_mutex_unlock(&s->lock);
		work_once(s, is_last);
		pthread_mutex_lock(&s->lock);
		s->is_unsettled =
			s->writing.rows.count || s->is_unsynced || !s->database.connection;
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void store_free(struct store *s)
{
	if (!s)
		return;
	batch_clear(&s->pending);
	batch_clear(&s->handed);
	batch_clear(&s->writing);
	database_close(&s->database);
	free(s->database.why);
	free(s->path);
	free(s);
}

static int fail(char **ret_error, int err)
{
	if (asprintf(ret_error, "cannot keep bucket levels for the next start: %s",
		     strerror(-err)) < 0)
		*ret_error = NULL;
	return err;
}

int store_open(struct store **ret, const char *directory, char **ret_error)
{
	struct store *s = calloc(1, sizeof(*s));
	int err;

	*ret = NULL;
	*ret_error = NULL;
	if (!s || asprintf(&s->path, "%s/sluice.db", directory) < 0) {
		free(s);
		return fail(ret_error, -ENOMEM);
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->due, NULL);
	s->synced_ns = s->tidied_ns = clock_now_ns();
	if (open_database(s)) {
		note_retry(s, s->synced_ns);
		s->is_unsettled = true;
	}
	err = -pthread_create(&s->writer, NULL, work, s);
	if (err) {
		store_free(s);
		return fail(ret_error, err);
	}
	*ret = s;
	return 0;
}

int store_load(struct store *s, void (*fn)(void *ctx, const struct bucket_state *), void *ctx)
{
	int err;

	if (!s)
		return 0;
	if (s->has_flushed)
		return -EBUSY;
	if (!s->database.connection)
		return 0;
	err = database_load(&s->database, fn, ctx);
	if (err)
		note_failure(s, err, "what was used of some limits is forgotten");
	return err;
}

static bool is_sound(const struct bucket_state *state)
{
	return state->resource < N_RESOURCES && !isnan(state->level) && !isnan(state->at_s) &&
	       !isnan(state->shut_until_s) && !isnan(state->learnt_capacity) &&
	       !isnan(state->learnt_interval_s);
}

int store_put(struct store *s, const struct bucket_state *state)
{
	int err;

	if (!s)
		return 0;
	err = is_sound(state) ? batch_put(&s->pending, state) : -EINVAL;
	if (err) {
		atomic_fetch_add(&s->n_errors, 1);
		if (!s->has_said_put)
			log_error("a level of %s%s is not kept for the next start: %s",
				  state->limit, state->team, strerror(-err));
		s->has_said_put = true;
	}
	return err;
}

int store_flush(struct store *s)
{
	bool wants_all;

	if (!s)
		return 0;
	s->has_flushed = true;
	pthread_mutex_lock(&s->lock);
	atomic_fetch_add(&s->n_errors, batch_take(&s->handed, &s->pending));
	if (s->handed.rows.count || s->is_unsettled) {
		s->is_due = true;
		pthread_cond_signal(&s->due);
	}
	wants_all = s->wants_all;
	s->wants_all = false;
	pthread_mutex_unlock(&s->lock);
	return wants_all;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	store_flush(s);
	pthread_mutex_lock(&s->lock);
	s->is_closing = true;
	pthread_cond_signal(&s->due);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->writer, NULL);
	store_free(s);
}

uint64_t store_errors(const struct store *s)
{
	return s ? atomic_load(&s->n_errors) : 1;
}
