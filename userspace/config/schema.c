// The reader behind the tables. See schema.h.
#include "config/schema.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

#define FIELDS_MAX 40
#define KEY_LENGTH_MAX 32 // longer ones resemble no key of ours

static void read_field(struct reader *r, const yaml_node_t *node, const struct field *field,
		       void *item);

bool reader_take(struct reader *r, const yaml_node_t *node)
{
	if (*r->values_left == 0)
		return false;
	if (--*r->values_left > 0)
		return true;
	problems_add(
		r->problems, r->document->path, node_line(node),
		"the policy is too large; expected at most %d values, each use of an alias (*…) "
		"counted",
		SCHEMA_VALUES_MAX);
	return false;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

// How many letters to insert, drop, change or swap with their neighbour (optimal string alignment:
// Levenshtein's distance, and "tmp" is one step from "tpm"). Both are at most KEY_LENGTH_MAX long.
static size_t edit_distance(const char *a, const char *b)
{
	size_t d[KEY_LENGTH_MAX + 1][KEY_LENGTH_MAX + 1];
	size_t height = strlen(a), width = strlen(b);

	for (size_t i = 0; i <= height; i++)
		d[i][0] = i;
	for (size_t j = 0; j <= width; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= height; i++)
		for (size_t j = 1; j <= width; j++) {
			d[i][j] = smaller(smaller(d[i - 1][j], d[i][j - 1]) + 1,
					  d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = smaller(d[i][j], d[i - 2][j - 2] + 1);
		}
	return d[height][width];
}

const char *nearest_word(const char *word, const char *const *words, size_t n_words)
{
	const char *nearest = NULL;
	size_t least = 3; // further off is another word

	if (strnlen(word, KEY_LENGTH_MAX + 1) > KEY_LENGTH_MAX)
		return NULL;
	for (size_t i = 0; i < n_words; i++) {
		if (strnlen(words[i], KEY_LENGTH_MAX + 1) > KEY_LENGTH_MAX)
			continue;
		size_t distance = edit_distance(word, words[i]);
		// "rpx" is one letter from "rpm", but two letters from any other word of three.
		if (distance < least && distance * 2 < strlen(words[i])) {
			nearest = words[i];
			least = distance;
		}
	}
	return nearest;
}

static const char *nearest_key(const struct schema *schema, const char *key)
{
	const char *names[FIELDS_MAX];
	size_t n = 0;

	for (const struct field *f = schema->fields; f->name; f++)
		if (!f->refused)
			names[n++] = f->name;
	return nearest_word(key, names, n);
}

static void add_unknown_key(struct reader *r, const yaml_node_t *key, const struct schema *schema)
{
	CLEANUP_FREE char *list = NULL;
	const char *text = node_text(key);
	const char *nearest = nearest_key(schema, text);
	size_t size = 0;

	if (nearest) {
		problems_add(r->problems, r->document->path, node_line(key),
			     "unknown key %s in %s; expected \"%s\"", problems_quote(text).text,
			     schema->what, nearest);
		return;
	}
	if (strcmp(text, "<<") == 0) {
		problems_add(r->problems, r->document->path, node_line(key),
			     "merge keys (<<) are not supported; expected the keys themselves");
		return;
	}
	FILE *out = open_memstream(&list, &size);
	if (!out) {
		r->problems->out_of_memory = true;
		return;
	}
	const char *separator = "";
	for (const struct field *f = schema->fields; f->name; f++) {
		if (f->refused)
			continue;
		fprintf(out, "%s%s", separator, f->name);
		separator = ", ";
	}
	if (fclose(out) != 0) {
		r->problems->out_of_memory = true;
		return;
	}
	problems_add(r->problems, r->document->path, node_line(key),
		     "unknown key %s in %s; expected one of %s", problems_quote(text).text,
		     schema->what, list);
}

static void add_wrong_type(struct reader *r, const yaml_node_t *node, const char *of,
			   const char *expected)
{
	reader_problem(r, node, "wrong type for %s; expected %s, found %s", of, expected,
		       node_type_name(node));
}

bool reader_wants(struct reader *r, const yaml_node_t *node, yaml_node_type_t type, const char *of,
		  const char *expected)
{
	if (node->type == type)
		return true;
	add_wrong_type(r, node, of, expected);
	return false;
}

void reader_keep_node(struct reader *r, const yaml_node_t *node, void *value)
{
	(void)r;
	*(const yaml_node_t **)value = node;
}

const yaml_node_t *reader_key_node(const struct reader *r, const yaml_node_t *node, const char *key)
{
	const yaml_node_t *value = document_find(r->document, node, key);

	return value ? value : node;
}

size_t reader_problem_count(const struct reader *r)
{
	return r->problems->count + r->problems->unshown + r->problems->out_of_memory;
}

bool reader_value(struct reader *r, const yaml_node_t *node, const struct field *field, void *out)
{
	struct value_error error = {0};
	const char *text = node_text(node);

	if (!text || node_is_null(node)) {
		add_wrong_type(r, node, field->name, field->expected);
		return false;
	}
	if (node_has_nul(node)) {
		reader_problem(r, node, "%s holds a NUL character; expected %s", field->name,
			       field->expected);
		return false;
	}
	switch (field->parse(text, out, &error)) {
	case 0:
		return true;
	case -ENOMEM:
		r->problems->out_of_memory = true;
		return false;
	}
	bool secret = field->flags & FIELD_SECRET;
	reader_problem(r, node, "%s%s%s %s; expected %s", field->name, secret ? "" : " ",
		       secret ? "" : problems_quote(text).text, error.problem, error.expected);
	return false;
}

// A list while it grows. It always has a zeroed entry behind the last one, which ends a list that
// has no count.
struct list {
	char *items;
	size_t count;
};

static struct list list_load(const struct field *field, const void *item)
{
	struct list list = {0};

	memcpy(&list.items, (const char *)item + field->offset, sizeof(list.items));
	if (field->count_offset)
		memcpy(&list.count, (const char *)item + field->count_offset, sizeof(list.count));
	return list;
}

static void list_store(const struct field *field, const struct list *list, void *item)
{
	memcpy((char *)item + field->offset, &list->items, sizeof(list->items));
	if (field->count_offset)
		memcpy((char *)item + field->count_offset, &list->count, sizeof(list->count));
}

// Makes room for one more zeroed entry and the end. NULL: no memory.
static void *list_slot(struct list *list, size_t size)
{
	char *items = reallocarray(list->items, list->count + 2, size);

	if (!items)
		return NULL;
	list->items = items;
	return memset(items + list->count * size, 0, 2 * size);
}

// `owner`: the address of the list's pointer, by which its entries' places are found.
static void read_entry(struct reader *r, const yaml_node_t *node, const struct field *field,
		       struct list *list, const void *owner)
{
	if (!reader_take(r, node))
		return;
	void *slot = list_slot(list, field->size);
	if (!slot) {
		r->problems->out_of_memory = true;
	} else if (!field->schema) {
		list->count += reader_value(r, node, field, slot);
	} else if (node->type != YAML_MAPPING_NODE) {
		add_wrong_type(r, node, field->schema->what, "a mapping (name: …)");
	} else {
		schema_read(r, node, field->schema, slot);
		if (places_add(r->places, owner, list->count++, r->document, node) < 0)
			r->problems->out_of_memory = true;
	}
}

static void read_list(struct reader *r, const yaml_node_t *node, const struct field *field,
		      void *item)
{
	struct list list = list_load(field, item);
	const void *owner = (const char *)item + field->offset;

	if (node->type == YAML_SEQUENCE_NODE) {
		const yaml_node_item_t *at = node->data.sequence.items.start;
		const yaml_node_item_t *end = node->data.sequence.items.top;

		if (at == end && (field->flags & FIELD_NONEMPTY))
			problems_add(r->problems, r->document->path, node_line(node),
				     "%s is empty; expected %s, at least one", field->name,
				     field->expected);
		for (; at < end; at++)
			read_entry(r, document_node(r->document, *at), field, &list, owner);
	} else if (node_is_null(node) && (field->flags & FIELD_NULL_OK)) {
		return;
	} else if (node_text(node) && !node_is_null(node) && (field->flags & FIELD_SINGLE)) {
		read_entry(r, node, field, &list, owner);
	} else {
		add_wrong_type(r, node, field->name, field->expected);
	}
	list_store(field, &list, item);
}

static void read_field(struct reader *r, const yaml_node_t *node, const struct field *field,
		       void *item)
{
	if (field->read)
		field->read(r, node, (char *)item + field->offset);
	else if (field->size)
		read_list(r, node, field, item);
	else if (!field->schema)
		reader_value(r, node, field, (char *)item + field->offset);
	else if (node->type == YAML_MAPPING_NODE)
		schema_read(r, node, field->schema, (char *)item + field->offset);
	else
		add_wrong_type(r, node, field->name, field->expected);
}

// Finds the field a key means. NULL: there is none, or it may not be used, and that is noted.
static const struct field *field_of_key(struct reader *r, const yaml_node_t *key,
					const struct schema *schema)
{
	const char *text = node_text(key);
	const struct field *field = schema->fields;

	if (!text || node_has_nul(key)) {
		add_wrong_type(r, key, "a key", "a word");
		return NULL;
	}
	while (field->name && strcmp(field->name, text) != 0)
		field++;
	if (!field->name) {
		if (!problems_full(r->problems))
			add_unknown_key(r, key, schema);
		return NULL;
	}
	if (field->refused) {
		problems_add(r->problems, r->document->path, node_line(key), "\"%s\" %s",
			     field->name, field->refused);
		return NULL;
	}
	return field;
}

static void check_required(struct reader *r, const yaml_node_t *mapping,
			   const struct schema *schema, const size_t *line_of_field)
{
	for (size_t i = 0; schema->fields[i].name; i++)
		if ((schema->fields[i].flags & FIELD_REQUIRED) && !line_of_field[i])
			problems_add(r->problems, r->document->path, node_line(mapping),
				     "%s has no %s; expected %s", schema->what,
				     schema->fields[i].name, schema->fields[i].expected);
}

void schema_read(struct reader *r, const yaml_node_t *mapping, const struct schema *schema,
		 void *item)
{
	size_t line_of_field[FIELDS_MAX] = {0}; // 0: the key has not come yet

	if (schema->init)
		schema->init(item);
	for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
	     pair < mapping->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = document_node(r->document, pair->key);
		if (!reader_take(r, key))
			return;
		const struct field *field = field_of_key(r, key, schema);
		if (!field)
			continue;
		size_t *line = &line_of_field[field - schema->fields];
		if (*line) {
			problems_add(r->problems, r->document->path, node_line(key),
				     "duplicate key \"%s\", first on line %zu; expected it once",
				     field->name, *line);
			continue;
		}
		*line = node_line(key);
		read_field(r, document_node(r->document, pair->value), field, item);
	}
	check_required(r, mapping, schema, line_of_field);
	if (schema->finish)
		schema->finish(r, mapping, item);
}
