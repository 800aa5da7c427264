// Label conditions: from YAML, and what the checks need to know of them.
//
// What is read becomes one MATCHER_ALL whose children are, in this order of kinds: MATCHER_GLOB for
// each label named by `match`; MATCHER_IN for each of match_labels; MATCHER_IN, MATCHER_EXISTS or
// MATCHER_NOT of either for each of match_list and match_expressions; and what `expression` says:
// `not`, `all: {of: []}`, `any: {of: []}`, `label_exists: LABEL`, `label_equals: {label, value}`
// (MATCHER_IN), `label_matches: {label, regex}`.
#ifndef SLUICE_CONFIG_MATCHER_H
#define SLUICE_CONFIG_MATCHER_H

#include "config/schema.h"

// For tables (`value` is a struct matcher **), and to call by hand. *value is NULL if the node says
// nothing ({}), or on a problem, which is noted; otherwise matcher_free() it.
//
// Aperture's label matcher: match_labels, match_list, match_expressions, expression.
void matcher_read_label_matcher(struct reader *reader, const yaml_node_t *node, void *value);
// The same, and beside it {LABEL: glob} or {LABEL: [glob, glob]} for any label.
void matcher_read_match(struct reader *reader, const yaml_node_t *node, void *value);

void matcher_free(struct matcher *matcher); // NULL: nothing to do
static inline void matcher_cleanup_fn(struct matcher **matcher)
{
	matcher_free(*matcher);
}
#define CLEANUP_MATCHER __attribute__((cleanup(matcher_cleanup_fn)))

// Calls fn for each condition of the tree that has a label.
void matcher_each(const struct matcher *matcher, void (*fn)(void *ctx, const struct matcher *),
		  void *ctx);

// Writes the tree so that equal trees give equal text, and others do not.
void matcher_print(const struct matcher *matcher, FILE *out);

// Does `earlier` hold wherever `later` does? True only where that is certain. NULL always holds.
bool matcher_covers(const struct matcher *earlier, const struct matcher *later);

// The one value that the label must equal for the tree to hold; NULL: it need not.
const char *matcher_pins(const struct matcher *matcher, size_t label);

#endif
