// A mapping of YAML, read into a struct by a table: which keys there are, of what type, and where
// in the struct each goes. Whatever the table does not know is an error that names the nearest key.
// The tables themselves are in keys.c.
#ifndef SLUICE_CONFIG_SCHEMA_H
#define SLUICE_CONFIG_SCHEMA_H

#include "config/document.h"
#include "config/values.h"

// How many values are read at most, over all files: an alias is read anew wherever it is used, so
// a small file can spell out a huge policy ("alias bomb").
#define SCHEMA_VALUES_MAX 50000

enum field_flags {
	FIELD_REQUIRED = 1 << 0,
	FIELD_SINGLE = 1 << 1,   // of a list: a lone value stands for a list of one
	FIELD_NONEMPTY = 1 << 2, // of a list
	FIELD_NULL_OK = 1 << 3,  // of a list: "teams:" with all its entries commented out
	FIELD_SECRET = 1 << 4,   // never quote the value in a message
};

// One key. What it is follows from what is set:
//   refused        a key that may not be used here, and what to use instead
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
	const char *refused; // "…; expected …"
	unsigned int flags;
};

struct reader {
	const struct document *document;
	struct problems *problems;
	size_t *values_left; // shared by all files, from SCHEMA_VALUES_MAX down
};

struct schema {
	const char *what;           // "a team"
	const struct field *fields; // at most 32; the last one has no name
	// Both optional. init: the defaults, before the keys are read into the zeroed struct.
	// finish: what no single key can tell; `node` is the mapping.
	void (*init)(void *item);
	void (*finish)(struct reader *reader, const yaml_node_t *node, void *item);
};

// Reads a mapping into *item, which owns whatever it holds afterwards, problems or not. A list
// with a count that holds entries already is added to.
void schema_read(struct reader *reader, const yaml_node_t *mapping, const struct schema *schema,
		 void *item);

#endif
