// Memory for conversations, see memory.h.
#include "wire/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BOUND_BYTES (64u << 20)

// As aligned as what malloc() returns, so that what follows is, too.
struct block {
	_Alignas(max_align_t) size_t bytes; // of the whole block
};

static size_t bound = BOUND_BYTES;
static size_t used;

void *wire_alloc(size_t bytes)
{
	struct block *block;

	if (bytes > SIZE_MAX - sizeof(*block))
		return NULL;
	bytes += sizeof(*block);
	if (used > bound || bytes > bound - used)
		return NULL;
	block = calloc(1, bytes);
	if (!block)
		return NULL;
	block->bytes = bytes;
	used += bytes;
	return block + 1;
}

void *wire_realloc(void *memory, size_t bytes)
{
	const struct block *block = memory ? (struct block *)memory - 1 : NULL;
	size_t before = block ? block->bytes - sizeof(*block) : 0;
	void *moved = wire_alloc(bytes);

	if (!moved)
		return NULL;
	if (before)
		memcpy(moved, memory, before < bytes ? before : bytes);
	wire_free_secret(memory);
	return moved;
}

void wire_free(void *memory)
{
	struct block *block = memory;

	if (!block)
		return;
	block--;
	used -= block->bytes;
	free(block);
}

void wire_free_secret(void *memory)
{
	const struct block *block = memory;

	if (memory)
		explicit_bzero(memory, block[-1].bytes - sizeof(*block));
	wire_free(memory);
}

void wire_set_bound(size_t bytes)
{
	bound = bytes;
}

size_t wire_used(void)
{
	return used;
}
