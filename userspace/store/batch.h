// Bucket states in memory, one for each bucket: the newest.
#ifndef SLUICE_STORE_BATCH_H
#define SLUICE_STORE_BATCH_H

#include "govern/governor.h"
#include "govern/hashtab.h"

// As many buckets may wait for a disk that takes none: about 64 MB.
enum { BATCH_MOST_ROWS = 1 << 18 };

struct row {
	struct hash_node node;     // in batch.rows
	struct bucket_state state; // its strings are in `text`
	char text[];
};

struct batch {
	struct hashtab rows;
};

// Copies. -ENOMEM; -ENOBUFS: full.
int batch_put(struct batch *b, const struct bucket_state *state);

// Moves all of `newer` into `b`, where they replace those of the same buckets. Returns how many
// found no room and are lost.
size_t batch_take(struct batch *b, struct batch *newer);

void batch_clear(struct batch *b);

static inline struct row *batch_row(struct hash_node *node)
{
	return node ? container_of(node, struct row, node) : NULL;
}
static inline struct row *batch_first(const struct batch *b)
{
	return batch_row(hashtab_first(&b->rows));
}
static inline struct row *batch_next(const struct batch *b, const struct row *row)
{
	return batch_row(hashtab_next(&b->rows, &row->node));
}

#endif
