// Where the parts of a policy stand in its files, for what is found wrong only when all of it has
// been read. Kept beside the policy, which need not remember it.
#ifndef SLUICE_CONFIG_PLACES_H
#define SLUICE_CONFIG_PLACES_H

#include "config/document.h"

struct place {
	// A stable address (of a list's pointer in the policy, of a matcher's values) and the index
	// in that list. List and index together are the name of the thing.
	const void *list;
	size_t index;
	const struct document *document;
	const yaml_node_t *node;
};

// In the order of reading. Looked through only when there is a problem to report.
struct places {
	struct place *items;
	size_t count, room;
};

// 0 or -ENOMEM.
int places_add(struct places *places, const void *list, size_t index,
	       const struct document *document, const yaml_node_t *node);
void places_clear(struct places *places);

// NULL: it was not read from a file (a default).
const struct place *places_find(const struct places *places, const void *list, size_t index);

// The line of the mapping's `key`, or of the mapping if it has none (or key is NULL); 0 if place is
// NULL. place_path() is "" then.
size_t place_line(const struct place *place, const char *key);
const char *place_path(const struct place *place);

#endif
