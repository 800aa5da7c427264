// The file sluice.db: its table, and what is read and written. For store/ only; one thread at a
// time.
#ifndef SLUICE_STORE_DATABASE_H
#define SLUICE_STORE_DATABASE_H

#include <sqlite3.h>
#include "store/batch.h"

struct database {
	sqlite3 *connection;  // NULL: not open
	sqlite3_stmt *upsert; // of one row
	char *why;            // what failed last, in words; NULL: no memory for them
};

// All return 0 or a negative errno, and say in `why` what failed. -EUCLEAN: the file is not, or no
// longer, what it must be. To be zeroed before the first database_open().

// Opens or makes the file, and prunes it. One that cannot be used is moved aside, which is logged.
// On failure it is closed.
int database_open(struct database *d, const char *path);

int database_load(struct database *d, void (*fn)(void *ctx, const struct bucket_state *),
		  void *ctx);

// All of the batch, in one transaction.
int database_write(struct database *d, const struct batch *batch);

// Whatever was committed survives a power cut from here on.
int database_sync(struct database *d);

// Removes the rows of buckets that nobody has used for long.
int database_prune(struct database *d);

void database_close(struct database *d);

#endif
