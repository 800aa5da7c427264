// See batch.h. A row is one allocation, its strings behind it.
#include "store/batch.h"
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_of(const struct bucket_state *s)
{
	uint64_t hash = hash_mix(s->interval_ns, s->resource);

	hash = hash_text(hash, s->limit);
	hash = hash_text(hash, s->team);
	return hash_text(hash, s->key);
}

static bool is_same_bucket(const struct bucket_state *a, const struct bucket_state *b)
{
	return a->resource == b->resource && a->interval_ns == b->interval_ns &&
	       !strcmp(a->key, b->key) && !strcmp(a->limit, b->limit) && !strcmp(a->team, b->team);
}

static struct row *find(const struct batch *b, uint64_t hash, const struct bucket_state *state)
{
	struct hash_node *node = hashtab_find(&b->rows, hash);

	while (node && !is_same_bucket(&batch_row(node)->state, state))
		node = hashtab_find_next(node);
	return batch_row(node);
}

// All but the identity, which is the same.
static void update(struct row *row, const struct bucket_state *state)
{
	struct bucket_state newer = *state;

	newer.limit = row->state.limit;
	newer.team = row->state.team;
	newer.key = row->state.key;
	row->state = newer;
}

static const char *append(char **at, const char *text)
{
	const char *copy = *at;

	*at = stpcpy(*at, text) + 1;
	return copy;
}

static struct row *row_new(const struct bucket_state *state)
{
	size_t n_bytes = strlen(state->limit) + strlen(state->team) + strlen(state->key) + 3;
	struct row *row = malloc(sizeof(*row) + n_bytes);
	char *at;

	if (!row)
		return NULL;
	at = row->text;
	row->state = *state;
	row->state.limit = append(&at, state->limit);
	row->state.team = append(&at, state->team);
	row->state.key = append(&at, state->key);
	return row;
}

// Takes the row over, unless it fails.
static int insert(struct batch *b, struct row *row, uint64_t hash)
{
	if (b->rows.count >= BATCH_MOST_ROWS)
		return -ENOBUFS;
	return hashtab_insert(&b->rows, &row->node, hash);
}

int batch_put(struct batch *b, const struct bucket_state *state)
{
	uint64_t hash = hash_of(state);
	struct row *row = find(b, hash, state);
	int err;

	if (row) {
		update(row, state);
		return 0;
	}
	row = row_new(state);
	if (!row)
		return -ENOMEM;
	err = insert(b, row, hash);
	if (err)
		free(row);
	return err;
}

size_t batch_take(struct batch *b, struct batch *newer)
{
	struct row *row, *next, *older;
	size_t n_lost = 0;

	if (!b->rows.count) {
		struct batch empty = *b;

		*b = *newer;
		*newer = empty;
		return 0;
	}
	for (row = batch_first(newer); row; row = next) {
		next = batch_next(newer, row);
		hashtab_remove(&newer->rows, &row->node);
		older = find(b, row->node.hash, &row->state);
		if (older)
			update(older, &row->state);
		else if (!insert(b, row, row->node.hash))
			continue;
		else
			n_lost++;
		free(row);
	}
	return n_lost;
}

void batch_clear(struct batch *b)
{
	struct row *row, *next;

	for (row = batch_first(b); row; row = next) {
		next = batch_next(b, row);
		free(row);
	}
	hashtab_free(&b->rows);
}
