// Memory that is freed all at once, and texts that are kept once however often they come. A trace
// of a million requests has three million label values, and a few dozen different ones.
#ifndef SLUICE_SIMULATE_POOL_H
#define SLUICE_SIMULATE_POOL_H

#include <stddef.h>
#include "govern/hashtab.h"

struct pool {
	struct pool_chunk *chunks; // the newest first
	char *at;                  // what is free of it
	size_t left;
	struct hashtab texts;
};

// Room for anything; NULL: out of memory.
void *pool_take(struct pool *pool, size_t bytes);
// A copy.
char *pool_copy(struct pool *pool, const char *text);
// The one copy of this text: equal texts give equal pointers.
const char *pool_text(struct pool *pool, const char *text);
// What was taken from it is gone.
void pool_free(struct pool *pool);

#endif
