// The label table of a policy: names to numbers. The built-in ones come first (enum in policy.h);
// then those that the files name. An alias (control_point for provider, model_variant for model
// unless a rule sets it) has no number of its own.
#ifndef SLUICE_CONFIG_LABELS_H
#define SLUICE_CONFIG_LABELS_H

#include "config/schema.h"

#define LABELS_MAX 1000 // of a policy: each request carries an array of so many

// Registers the built-in labels. 0 or -ENOMEM.
int labels_init(struct policy *policy);

// The number of a label, which it is given if it has none yet; aliases are resolved. NO_LABEL: no
// memory, or LABELS_MAX are there already. The name is not checked.
size_t label_register(struct policy *policy, const char *name);

// The number of the label that a node names. One that neither requests, nor rules, nor `labels:`
// give is refused, except in a blueprint. NO_LABEL: the problem is noted; `of` says what for.
size_t label_read(struct reader *reader, const yaml_node_t *node, const char *of);

// For a table's `read`: a label (size_t *), of any name, or null for none.
void label_read_any(struct reader *reader, const yaml_node_t *node, void *ret);

// Makes the name that a node gives a label, before anything is read: one that rules set, or that a
// recorded trace may carry. So model_variant becomes one of its own, other aliases do not.
void label_declare(struct reader *reader, const yaml_node_t *node);

// Do the programs themselves choose this label's value? (http.header.*, body.*, comm)
bool label_is_programs(const char *name);
// Does the request or the kernel give it, so that no rule may set it?
bool label_is_given(const struct policy *policy, size_t label);

#endif
