// Chained hashing over caller-owned nodes. Mixing is splitmix64's finalizer (Steele, Lea and Flood,
// "Fast splittable pseudorandom number generators", 2014); texts are read by FNV-1a before it.
#include "govern/hashtab.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_SLOTS 64

static struct hash_node **slot_of(const struct hashtab *t, uint64_t hash)
{
	return &t->slots[hash & (t->n_slots - 1)];
}

static void grow(struct hashtab *t)
{
	size_t n_slots = t->n_slots ? 2 * t->n_slots : FIRST_SLOTS;
	struct hashtab grown = {calloc(n_slots, sizeof(struct hash_node *)), n_slots, t->count};

	if (!grown.slots)
		return;
	for (size_t i = 0; i < t->n_slots; i++) {
		struct hash_node *node, *next;

		for (node = t->slots[i]; node; node = next) {
			struct hash_node **slot = slot_of(&grown, node->hash);

			next = node->next;
			node->next = *slot;
			*slot = node;
		}
	}
	free(t->slots);
	*t = grown;
}

int hashtab_insert(struct hashtab *t, struct hash_node *node, uint64_t hash)
{
	if (t->count >= t->n_slots)
		grow(t);
	if (!t->n_slots)
		return -ENOMEM;
	struct hash_node **slot = slot_of(t, hash);
	*node = (struct hash_node){hash, *slot};
	*slot = node;
	t->count++;
	return 0;
}

void hashtab_remove(struct hashtab *t, struct hash_node *node)
{
	struct hash_node **link = slot_of(t, node->hash);

	while (*link != node)
		link = &(*link)->next;
	*link = node->next;
	t->count--;
}

struct hash_node *hashtab_find(const struct hashtab *t, uint64_t hash)
{
	struct hash_node *node = t->n_slots ? *slot_of(t, hash) : NULL;

	while (node && node->hash != hash)
		node = node->next;
	return node;
}

struct hash_node *hashtab_find_next(const struct hash_node *node)
{
	struct hash_node *next = node->next;

	while (next && next->hash != node->hash)
		next = next->next;
	return next;
}

static struct hash_node *first_from(const struct hashtab *t, size_t slot)
{
	for (; slot < t->n_slots; slot++)
		if (t->slots[slot])
			return t->slots[slot];
	return NULL;
}

struct hash_node *hashtab_first(const struct hashtab *t)
{
	return first_from(t, 0);
}

struct hash_node *hashtab_next(const struct hashtab *t, const struct hash_node *node)
{
	return node->next ? node->next : first_from(t, (node->hash & (t->n_slots - 1)) + 1);
}

void hashtab_free(struct hashtab *t)
{
	free(t->slots);
	*t = (struct hashtab){0};
}

uint64_t hash_mix(uint64_t seed, uint64_t value)
{
	uint64_t x = seed + value + 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

uint64_t hash_text(uint64_t seed, const char *text)
{
	uint64_t x = 0xcbf29ce484222325ULL;

	for (; *text; text++)
		x = (x ^ (unsigned char)*text) * 0x100000001b3ULL;
	return hash_mix(seed, x);
}
