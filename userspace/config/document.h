// One YAML file as a tree of nodes, each of which knows the line it came from.
//
// Why libyaml's own documents and not libcyaml, which fills structs from a schema: every error of
// ours must name file and line, also those found long after reading ("limit matches a team that
// does not exist"), and libcyaml forgets where a value stood once it is loaded.
//
// A file is a person's, and may still be hostile or broken: it is refused when larger than
// DOCUMENT_BYTES_MAX, nested deeper than DOCUMENT_DEPTH_MAX, or with more than DOCUMENT_ANCHORS_MAX
// anchors (libyaml looks each up in a list). Aliases are not copied here: they point at the
// anchor's node, even at one that contains them, so a walk over the tree must count its steps.
#ifndef SLUICE_CONFIG_DOCUMENT_H
#define SLUICE_CONFIG_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#include "config/problems.h"

#define DOCUMENT_BYTES_MAX ((size_t)1 << 20)
#define DOCUMENT_DEPTH_MAX 16
#define DOCUMENT_ANCHORS_MAX 1000

struct document {
	char *path;              // as it was given; owned
	yaml_document_t yaml;    // read with document_node()
	const yaml_node_t *root; // a mapping, or NULL: the file says nothing
};

// Reads the file at `path`. 0; -EINVAL and what is wrong is in `problems` (also when the file
// cannot be read); -ENOMEM, noted there too. On success close it with document_close().
int document_load(struct document *document, const char *path, struct problems *problems);
void document_close(struct document *document);

// The node behind a number in a sequence or a mapping pair. Never NULL for those of this document.
const yaml_node_t *document_node(const struct document *document, int id);

// The value of `key` in a mapping, or NULL. The first one, if the key is there twice.
const yaml_node_t *document_find(const struct document *document, const yaml_node_t *mapping,
				 const char *key);

// 1-based.
size_t node_line(const yaml_node_t *node);

// A scalar's text, or NULL for a mapping or a sequence. May hold NUL characters: see
// node_has_nul().
const char *node_text(const yaml_node_t *node);
bool node_has_nul(const yaml_node_t *node);

// "key:" with nothing behind it, or ~, or null.
bool node_is_null(const yaml_node_t *node);

// "a mapping", "a list", "a single value".
const char *node_type_name(const yaml_node_t *node);

#endif
