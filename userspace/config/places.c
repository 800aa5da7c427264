// See places.h.
#include "config/places.h"

#include <errno.h>
#include <stdlib.h>

int places_add(struct places *places, const void *list, size_t index,
	       const struct document *document, const yaml_node_t *node)
{
	if (places->count == places->room) {
		size_t room = places->room ? 2 * places->room : 64;
		struct place *items = reallocarray(places->items, room, sizeof(*items));

		if (!items)
			return -ENOMEM;
		places->items = items;
		places->room = room;
	}
	places->items[places->count++] =
		(struct place){.list = list, .index = index, .document = document, .node = node};
	return 0;
}

void places_clear(struct places *places)
{
	free(places->items);
	*places = (struct places){0};
}

const struct place *places_find(const struct places *places, const void *list, size_t index)
{
	for (size_t i = 0; i < places->count; i++)
		if (places->items[i].list == list && places->items[i].index == index)
			return &places->items[i];
	return NULL;
}

size_t place_line(const struct place *place, const char *key)
{
	const yaml_node_t *value =
		place && key ? document_find(place->document, place->node, key) : NULL;

	if (value)
		return node_line(value);
	return place ? node_line(place->node) : 0;
}

const char *place_path(const struct place *place)
{
	return place ? place->document->path : "";
}
