// See database.h. One row a bucket:
//
//   limit_name, team, key, resource, interval_ns    which one (struct bucket_state)
//   level, at_s, shut_until_s, learnt_…             what it held at at_s; SQLite stores infinity
//   touched_s                                       when the row was written, Unix time
//
// The version of this form is in PRAGMA user_version, set in the transaction that makes the table:
// a file has either both or nothing.
#include "store/database.h"
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "store/aside.h"

enum { VERSION = 1, BUSY_TIMEOUT_MS = 2000 };

// Nobody but this program writes, but somebody may look at the file meanwhile.
static const char pragmas[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;";

static const char schema[] = "CREATE TABLE bucket ("
			     "limit_name TEXT NOT NULL, team TEXT NOT NULL, key TEXT NOT NULL,"
			     "resource TEXT NOT NULL, interval_ns INTEGER NOT NULL,"
			     "level REAL NOT NULL, at_s REAL NOT NULL, shut_until_s REAL NOT NULL,"
			     "learnt_capacity REAL NOT NULL, learnt_interval_s REAL NOT NULL,"
			     "touched_s INTEGER NOT NULL,"
			     "PRIMARY KEY (limit_name, team, key, resource, interval_ns)"
			     ") STRICT, WITHOUT ROWID;"
			     "PRAGMA user_version = 1;";
_Static_assert(VERSION == 1, "the schema sets user_version");

static const char upsert[] =
	"INSERT INTO bucket VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
	"ON CONFLICT DO UPDATE SET level = ?6, at_s = ?7, shut_until_s = ?8,"
	"learnt_capacity = ?9, learnt_interval_s = ?10, touched_s = ?11";

static const char select_all[] = "SELECT limit_name, team, key, resource, interval_ns, level, at_s,"
				 "shut_until_s, learnt_capacity, learnt_interval_s FROM bucket";

// After two intervals without a draw a bucket is full again, as one is that has no row. 40 days are
// for 429s that shut it longer, and for limits that come back after a month of another policy.
static const char prune[] = "DELETE FROM bucket WHERE unixepoch() - touched_s >"
			    "max(2 * interval_ns / 1e9, 40 * 86400)";

__attribute__((format(printf, 3, 4))) static int fail(struct database *d, int err,
						      const char *format, ...)
{
	va_list args;

	free(d->why);
	va_start(args, format);
	if (vasprintf(&d->why, format, args) < 0)
		d->why = NULL;
	va_end(args);
	return err;
}

// The errno of an SQLite result (sqlite.org/rescode.html).
static int errno_of(sqlite3 *connection, int result)
{
	int system = sqlite3_system_errno(connection);

	switch (result & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR: // the table is not ours
	case SQLITE_MISMATCH:
	case SQLITE_CONSTRAINT:
		return -EUCLEAN;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CANTOPEN:
		return system ? -system : -EACCES;
	default:
		return system ? -system : -EIO;
	}
}

static int fail_by_sqlite(struct database *d, const char *what)
{
	int result = sqlite3_extended_errcode(d->connection);
	int err = errno_of(d->connection, result);

	return fail(d, err, "%s: %s (%s)", what, sqlite3_errmsg(d->connection), strerror(-err));
}

static int execute(struct database *d, const char *what, const char *sql)
{
	return sqlite3_exec(d->connection, sql, NULL, NULL, NULL) ? fail_by_sqlite(d, what) : 0;
}

static void finalize(sqlite3_stmt **statement)
{
	sqlite3_finalize(*statement);
}
#define CLEANUP_FINALIZE __attribute__((cleanup(finalize)))

static int read_int(struct database *d, const char *sql, int *ret)
{
	CLEANUP_FINALIZE sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(d->connection, sql, -1, &statement, NULL) ||
	    sqlite3_step(statement) != SQLITE_ROW)
		return fail_by_sqlite(d, "cannot be read");
	*ret = sqlite3_column_int(statement, 0);
	return 0;
}

static int check_integrity(struct database *d)
{
	CLEANUP_FINALIZE sqlite3_stmt *statement = NULL;
	const char *found;

	if (sqlite3_prepare_v2(d->connection, "PRAGMA quick_check(1)", -1, &statement, NULL) ||
	    sqlite3_step(statement) != SQLITE_ROW)
		return fail_by_sqlite(d, "cannot be checked");
	found = (const char *)sqlite3_column_text(statement, 0) ?: "";
	if (!strcmp(found, "ok"))
		return 0;
	if (strchr(found, '\n')) // behind a heading
		found = strchr(found, '\n') + 1;
	return fail(d, -EUCLEAN, "is damaged (%s)", found);
}

static int check_version(struct database *d)
{
	int version, n_tables, err;

	err = read_int(d, "PRAGMA user_version", &version)
		      ?: read_int(d, "SELECT count(*) FROM sqlite_schema", &n_tables);
	if (err)
		return err;
	if (version > VERSION)
		return fail(d, -EUCLEAN,
			    "was written by a newer sluiced (version %d of its form; this one "
			    "knows %d)",
			    version, VERSION);
	if (!version && !n_tables)
		return execute(d, "cannot make its table", "BEGIN IMMEDIATE") ?:
			       execute(d, "cannot make its table", schema) ?:
			       execute(d, "cannot make its table", "COMMIT");
	if (version != VERSION)
		return fail(d, -EUCLEAN, "is not a file of sluiced's (version %d)", version);
	return check_integrity(d);
}

// Private from the start: SQLite makes the log and its index with the mode of the file.
static int make_file(struct database *d, const char *path)
{
	CLEANUP_CLOSE int fd =
		open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return fail(d, -errno, "cannot be opened: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(d, -EUCLEAN, "is not a regular file");
	if (st.st_mode & 077 && fchmod(fd, 0600))
		return fail(d, -errno, "cannot be made private: %s", strerror(errno));
	return 0;
}

static int open_once(struct database *d, const char *path)
{
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	int err = make_file(d, path);

	if (err)
		return err;
	if (sqlite3_open_v2(path, &d->connection, flags, NULL))
		return fail_by_sqlite(d, "cannot be opened");
	sqlite3_busy_timeout(d->connection, BUSY_TIMEOUT_MS);
	err = execute(d, "cannot be opened", pragmas) ?: check_version(d) ?: database_prune(d);
	if (!err && sqlite3_prepare_v3(d->connection, upsert, -1, SQLITE_PREPARE_PERSISTENT,
				       &d->upsert, NULL))
		err = fail_by_sqlite(d, "is not a file of sluiced's");
	return err;
}

int database_open(struct database *d, const char *path)
{
	int err = open_once(d, path);

	if (!err)
		return 0;
	database_close(d);
	if (!aside_is_broken(path, err))
		return err;
	if (aside_move(path, d->why ?: strerror(-err)))
		return fail(d, err, "cannot be used, nor moved aside: %s", strerror(errno));
	err = open_once(d, path);
	if (err)
		database_close(d);
	return err;
}

void database_close(struct database *d)
{
	sqlite3_finalize(TAKE_PTR(d->upsert));
	sqlite3_close(TAKE_PTR(d->connection)); // merges the log
}

static bool find_resource(const char *name, enum resource *ret)
{
	for (int i = 0; i < N_RESOURCES; i++) {
		if (name && !strcmp(name, resource_name(i))) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static const char *column_text(sqlite3_stmt *statement, int column)
{
	return (const char *)sqlite3_column_text(statement, column) ?: "";
}

int database_load(struct database *d, void (*fn)(void *ctx, const struct bucket_state *), void *ctx)
{
	CLEANUP_FINALIZE sqlite3_stmt *statement = NULL;
	int result = sqlite3_prepare_v2(d->connection, select_all, -1, &statement, NULL);

	while (!result && (result = sqlite3_step(statement)) == SQLITE_ROW) {
		struct bucket_state state = {
			.limit = column_text(statement, 0),
			.team = column_text(statement, 1),
			.key = column_text(statement, 2),
			.interval_ns = (uint64_t)sqlite3_column_int64(statement, 4),
			.level = sqlite3_column_double(statement, 5),
			.at_s = sqlite3_column_double(statement, 6),
			.shut_until_s = sqlite3_column_double(statement, 7),
			.learnt_capacity = sqlite3_column_double(statement, 8),
			.learnt_interval_s = sqlite3_column_double(statement, 9),
		};

		if (find_resource(column_text(statement, 3), &state.resource))
			fn(ctx, &state);
		result = SQLITE_OK;
	}
	return result == SQLITE_DONE ? 0 : fail_by_sqlite(d, "cannot be read");
}

static void bind_text(sqlite3_stmt *statement, int column, const char *text)
{
	sqlite3_bind_text(statement, column, text, -1, SQLITE_STATIC);
}

static int write_row(struct database *d, const struct bucket_state *state, int64_t now_s)
{
	sqlite3_stmt *s = d->upsert;
	const double numbers[] = {state->level, state->at_s, state->shut_until_s,
				  state->learnt_capacity, state->learnt_interval_s};
	int result;

	bind_text(s, 1, state->limit);
	bind_text(s, 2, state->team);
	bind_text(s, 3, state->key);
	bind_text(s, 4, resource_name(state->resource));
	sqlite3_bind_int64(s, 5, (sqlite3_int64)state->interval_ns);
	for (int i = 0; i < 5; i++)
		sqlite3_bind_double(s, 6 + i, numbers[i]);
	sqlite3_bind_int64(s, 11, now_s);
	result = sqlite3_step(s);
	if (result != SQLITE_DONE)
		fail_by_sqlite(d, "cannot be written");
	sqlite3_reset(s);
	return result == SQLITE_DONE ? 0 : errno_of(d->connection, result);
}

int database_write(struct database *d, const struct batch *batch)
{
	int err = execute(d, "cannot be written", "BEGIN IMMEDIATE");
	int64_t now_s = time(NULL);

	for (struct row *row = batch_first(batch); row && !err; row = batch_next(batch, row))
		err = write_row(d, &row->state, now_s);
	if (!err)
		err = execute(d, "cannot be written", "COMMIT");
	// Some errors have rolled back already, which leaves autocommit on.
	if (err && !sqlite3_get_autocommit(d->connection))
		sqlite3_exec(d->connection, "ROLLBACK", NULL, NULL, NULL);
	return err;
}

int database_sync(struct database *d)
{
	// Syncs the log, and copies of it what no reader still needs.
	if (sqlite3_wal_checkpoint_v2(d->connection, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL))
		return fail_by_sqlite(d, "cannot be synced");
	return 0;
}

int database_prune(struct database *d)
{
	return execute(d, "cannot be pruned", prune);
}
