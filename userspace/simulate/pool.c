// Chunks of 1 MiB (or of what is asked for, if that is more), cut from the front. See pool.h.
#include "simulate/pool.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)1 << 20)
#define ALIGNMENT _Alignof(max_align_t)

struct pool_chunk {
	struct pool_chunk *next;
	max_align_t bytes[];
};

struct kept_text {
	struct hash_node node;
	char text[];
};

void *pool_take(struct pool *pool, size_t bytes)
{
	size_t size = (bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
	void *taken;

	if (size > pool->left) {
		size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;
		struct pool_chunk *chunk = malloc(sizeof(*chunk) + room);

		if (!chunk)
			return NULL;
		chunk->next = pool->chunks;
		pool->chunks = chunk;
		pool->at = (char *)chunk->bytes;
		pool->left = room;
	}
	taken = pool->at;
	pool->at += size;
	pool->left -= size;
	return taken;
}

char *pool_copy(struct pool *pool, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = pool_take(pool, size);

	return copy ? memcpy(copy, text, size) : NULL;
}

const char *pool_text(struct pool *pool, const char *text)
{
	uint64_t hash = hash_text(0, text);
	struct kept_text *kept;

	for (struct hash_node *node = hashtab_find(&pool->texts, hash); node;
	     node = hashtab_find_next(node)) {
		kept = container_of(node, struct kept_text, node);
		if (!strcmp(kept->text, text))
			return kept->text;
	}
	kept = pool_take(pool, sizeof(*kept) + strlen(text) + 1);
	if (!kept || hashtab_insert(&pool->texts, &kept->node, hash))
		return NULL;
	return strcpy(kept->text, text);
}

void pool_free(struct pool *pool)
{
	while (pool->chunks) {
		struct pool_chunk *next = pool->chunks->next;

		free(pool->chunks);
		pool->chunks = next;
	}
	hashtab_free(&pool->texts);
	*pool = (struct pool){0};
}
