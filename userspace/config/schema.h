// A mapping of YAML, read into a struct by a table: which keys there are, of what type, and where
// in the struct each goes. Whatever the table does not know is an error that names the nearest key.
// The tables themselves are in keys.c and beside what they read (limits.c, scheduler.c, rules.c).
#ifndef SLUICE_CONFIG_SCHEMA_H
#define SLUICE_CONFIG_SCHEMA_H

#include "config/document.h"
#include "config/places.h"
#include "config/policy.h"
#include "config/values.h"

// How many values are read at most, over all files: an alias is read anew wherever it is used, so
// a small file can spell out a huge policy ("alias bomb").
#define SCHEMA_VALUES_MAX 50000

struct reader {
	const struct document *document;
	struct problems *problems;
	size_t *values_left;   // shared by all files, from SCHEMA_VALUES_MAX down
	struct policy *policy; // under construction
	struct places *places; // where things stand, for the checks after all is read
	bool is_blueprint;     // labels that nothing here sets are taken: Aperture's SDK gives them
	bool is_for_trace;     // … or a trace does
};

enum field_flags {
	FIELD_REQUIRED = 1 << 0,
	FIELD_SINGLE = 1 << 1,   // of a list: a lone value stands for a list of one
	FIELD_NONEMPTY = 1 << 2, // of a list
	FIELD_NULL_OK = 1 << 3,  // of a list: "teams:" with all its entries commented out
	FIELD_SECRET = 1 << 4,   // never quote the value in a message
};

// One key. What it is follows from what is set:
//   refused        a key that may not be used here, and what to use instead
//   read           whatever this function makes of the node
//   size           a list; its entries are read by `parse` or `schema`
//   schema alone   a mapping inside this one, into the struct at `offset`
//   parse alone    a single value
struct field {
	const char *name;
	const char *expected; // its type in words: "a list of teams"
	size_t offset;        // of the value in the struct; of the pointer, for a list
	size_t count_offset;  // of a list's size_t; 0: the list ends with a NULL entry instead
	size_t size;          // of a list's entry
	value_parser parse;
	const struct schema *schema;
	// `value` is the struct at `offset`. The node's type is not checked yet.
	void (*read)(struct reader *reader, const yaml_node_t *node, void *value);
	const char *refused; // "…; expected …"
	unsigned int flags;
};

struct schema {
	const char *what;           // "a team"
	const struct field *fields; // at most 40; the last one has no name
	// Both optional. init: the defaults, before the keys are read into the zeroed struct.
	// finish: what no single key can tell; `node` is the mapping.
	void (*init)(void *item);
	void (*finish)(struct reader *reader, const yaml_node_t *node, void *item);
};

// Reads a mapping into *item, which owns whatever it holds afterwards, problems or not. A list
// with a count that holds entries already is added to. Where its mappings stand is noted in
// places, each under the address of the list's pointer and its index.
void schema_read(struct reader *reader, const yaml_node_t *mapping, const struct schema *schema,
		 void *item);

// For readers by hand.

// Counts a value that is about to be read. False: too many, and that is noted.
bool reader_take(struct reader *reader, const yaml_node_t *node);
// Is the node a mapping (or a list)? If not, notes that `of` has the wrong type.
bool reader_wants(struct reader *reader, const yaml_node_t *node, yaml_node_type_t type,
		  const char *of, const char *expected);
// Reads a single value by field's parse. False: nothing was stored, and the problem is noted.
bool reader_value(struct reader *reader, const yaml_node_t *node, const struct field *field,
		  void *out);
// For tables: only remembers the node (const yaml_node_t *), which someone reads later.
void reader_keep_node(struct reader *reader, const yaml_node_t *node, void *value);
// Where a problem with the mapping's `key` is noted: its value, or the mapping if it has none.
const yaml_node_t *reader_key_node(const struct reader *reader, const yaml_node_t *node,
				   const char *key);
// Notes a problem at the node.
#define reader_problem(reader, node, ...)                                                          \
	problems_add((reader)->problems, (reader)->document->path, node_line(node), __VA_ARGS__)
// How many problems there are so far: unchanged, if nothing was wrong meanwhile.
size_t reader_problem_count(const struct reader *reader);

// The entry of the list that looks most like `word`, or NULL: none does.
const char *nearest_word(const char *word, const char *const *words, size_t n_words);

#endif
