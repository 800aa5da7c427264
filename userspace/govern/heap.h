// A binary heap of intrusive nodes, smallest first by (tier, key, seq). The keys stand in the array
// itself, so comparing touches no node. Room is reserved beforehand; pushing cannot fail.
#ifndef SLUICE_GOVERN_HEAP_H
#define SLUICE_GOVERN_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
	size_t place; // in the heap, from 1; 0: in none
};

struct heap_order {
	double key;
	uint64_t seq;
	unsigned tier;
};

struct heap_entry {
	struct heap_order order;
	struct heap_node *node;
};

struct heap {
	struct heap_entry *entries;
	size_t n, cap;
};

bool heap_comes_before(const struct heap_order *a, const struct heap_order *b);

// Makes room for `n` nodes in all. -ENOMEM.
int heap_reserve(struct heap *heap, size_t n);

// Puts the node in, or moves it to where its new order belongs.
void heap_put(struct heap *heap, struct heap_node *node, const struct heap_order *order);
void heap_remove(struct heap *heap, struct heap_node *node);

// NULL: empty.
static inline const struct heap_entry *heap_first(const struct heap *heap)
{
	return heap->n ? &heap->entries[0] : NULL;
}

// The order under which the node stands in the heap.
static inline const struct heap_order *heap_order_of(const struct heap *heap,
						     const struct heap_node *node)
{
	return &heap->entries[node->place - 1].order;
}

// Frees the array, not the nodes.
void heap_free(struct heap *heap);

#endif
