// Sifting by moving a hole, so that each step writes one entry.
#include "govern/heap.h"

#include <errno.h>
#include <stdlib.h>

bool heap_comes_before(const struct heap_order *a, const struct heap_order *b)
{
	if (a->tier != b->tier)
		return a->tier < b->tier;
	if (a->key != b->key)
		return a->key < b->key;
	return a->seq < b->seq;
}

int heap_reserve(struct heap *heap, size_t n)
{
	if (n <= heap->cap)
		return 0;
	size_t wanted = heap->cap ? 2 * heap->cap : 4;
	if (wanted < n)
		wanted = n;
	struct heap_entry *grown = reallocarray(heap->entries, wanted, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	heap->entries = grown;
	heap->cap = wanted;
	return 0;
}

static void place(struct heap *heap, size_t i, const struct heap_entry *entry)
{
	heap->entries[i] = *entry;
	entry->node->place = i + 1;
}

// Where `entry` belongs, with the hole at i.
static void sift(struct heap *heap, const struct heap_entry *entry, size_t i)
{
	while (i && heap_comes_before(&entry->order, &heap->entries[(i - 1) / 2].order)) {
		place(heap, i, &heap->entries[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < heap->n &&
		    heap_comes_before(&heap->entries[child + 1].order, &heap->entries[child].order))
			child++;
		if (child >= heap->n ||
		    !heap_comes_before(&heap->entries[child].order, &entry->order))
			break;
		place(heap, i, &heap->entries[child]);
		i = child;
	}
	place(heap, i, entry);
}

void heap_put(struct heap *heap, struct heap_node *node, const struct heap_order *order)
{
	struct heap_entry entry = {*order, node};

	sift(heap, &entry, node->place ? node->place - 1 : heap->n++);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
	if (!node->place)
		return;
	struct heap_entry last = heap->entries[--heap->n];
	if (last.node != node)
		sift(heap, &last, node->place - 1);
	node->place = 0;
}

void heap_free(struct heap *heap)
{
	free(heap->entries);
	*heap = (struct heap){0};
}
