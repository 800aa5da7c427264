// Bucket levels survive a restart: they are kept in SQLite, in the file sluice.db of the daemon's
// state directory.
//
//   event loop ── store_put() ──▶ pending ── store_flush() ──▶ handed ──▶ writer thread ──▶
//   sluice.db
//                 a copy in memory            once a second               one transaction a batch
//
// The event loop never waits for a disk, and nothing of the daemon fails because of the store. What
// goes wrong is logged once by cause and counted; what could not be written stays in memory and is
// tried again with what is newer; and if the file cannot be had at all, the daemon runs on without.
//
// What is lost, at most (write-ahead log, synchronous=NORMAL):
//   kill -9, a crash    what was put since the last store_flush(), and what its writer had not
//                       committed yet: with a flush each second, about a second. Commits are in the
//                       page cache, which outlives the process.
//   a power cut         the same, and what was committed since the log was last synced: at most a
//                       minute (SYNC_EVERY_S). By then a limit per minute has refilled anyway, and
//                       a budget forgets one minute. synchronous=FULL would save that minute by an
//                       fsync each second, for ever.
// A batch is there wholly or not at all, and neither of the two leaves a damaged file.
//
// No prompt and no API key is in the file. `key` holds the values of labels: of an API key the
// first 16 hexadecimal digits of its SHA-256, names of models, and whatever else a policy counts
// by, such as user ids; hence the file's mode is 0600.
#ifndef SLUICE_STORE_STORE_H
#define SLUICE_STORE_STORE_H

#include <stdint.h>
#include "govern/governor.h"

struct store;

// Opens or makes `directory`/sluice.db, and starts the writer. A file that is damaged, unreadable
// or of a newer version is moved to sluice.db.broken-<Unix time> and a fresh one begun; if none can
// be had (read-only, disk full), the store works without, and the writer tries again now and then.
// So it only fails if there is no memory or no thread to be had: then *ret is NULL, the caller
// frees *ret_error, and all other functions may be called with NULL.
int store_open(struct store **ret, const char *directory, char **ret_error);

// Calls fn for each bucket in the file; the strings are valid during the call. Only before the
// first store_flush(): -EBUSY later. Another negative errno: logged already, and some may be
// missing.
int store_load(struct store *s, void (*fn)(void *ctx, const struct bucket_state *), void *ctx);

// Copies the state into the pending batch, in place of an older one of the same bucket. Touches
// neither disk nor lock. -EINVAL: a number is NaN, a resource none. -ENOMEM. -ENOBUFS: too many
// wait for a disk that takes none. Each is counted; the caller may ignore them.
int store_put(struct store *s, const struct bucket_state *state);

// Hands what is pending to the writer, which writes it in one transaction. Never waits for a disk.
// Call it each second even if nothing was put: tries and syncs that are due are made then. Returns
// 0, or once 1 after the file was begun anew or found again: put every bucket, it may lack them.
int store_flush(struct store *s);

// Writes what is pending, ends the writer, merges the log into the file, frees.
void store_close(struct store *s);

// How often something failed since it was opened: a transaction, opening, a put.
uint64_t store_errors(const struct store *s);

#endif
