// An intrusive hash table: the node lives in what it finds, so removing never fails and never
// allocates. The table grows by doubling; if there is no memory to grow, chains get longer.
#ifndef SLUICE_GOVERN_HASHTAB_H
#define SLUICE_GOVERN_HASHTAB_H

#include <stddef.h>
#include <stdint.h>

struct hash_node {
	uint64_t hash;
	struct hash_node *next;
};

struct hashtab {
	struct hash_node **slots;
	size_t n_slots; // a power of two
	size_t count;
};

// -ENOMEM only if the table has no slots at all.
int hashtab_insert(struct hashtab *t, struct hash_node *node, uint64_t hash);
void hashtab_remove(struct hashtab *t, struct hash_node *node);

// Walk the nodes that have this hash; the caller compares what they stand for.
struct hash_node *hashtab_find(const struct hashtab *t, uint64_t hash);
struct hash_node *hashtab_find_next(const struct hash_node *node);

// Walk all. Take the next node before removing this one.
struct hash_node *hashtab_first(const struct hashtab *t);
struct hash_node *hashtab_next(const struct hashtab *t, const struct hash_node *node);

// Frees the slots, not the nodes.
void hashtab_free(struct hashtab *t);

uint64_t hash_mix(uint64_t seed, uint64_t value);
uint64_t hash_text(uint64_t seed, const char *text);

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#endif
