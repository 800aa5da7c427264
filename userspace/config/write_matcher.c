// See write_matcher.h. Every condition goes to the simplest of the five places that can hold it:
//
//   LABEL: glob        MATCHER_GLOB
//   match_labels       MATCHER_IN of one value
//   match_list         MATCHER_IN, MATCHER_EXISTS, and either of them under MATCHER_NOT
//   expression         all others: alone, or together under `all`
//
// Read again they come in this order, and then are written in it: the text is a fixed point, though
// the tree may have had another order.
#include <errno.h>
#include <stddef.h>

#include "config/write_matcher.h"

enum shape { SHAPE_GLOB, SHAPE_LABEL, SHAPE_REQUIREMENT, SHAPE_EXPRESSION };

struct conditions {
	struct emitter *emitter;
	const struct policy *policy;
	const struct matcher *items; // all must hold
	size_t count;
};

static const char *label_of(const struct conditions *c, const struct matcher *m)
{
	return c->policy->labels[m->label];
}

// Has an earlier condition the label's place in match_labels? A mapping has each key once.
static bool label_is_taken(const struct conditions *c, const struct matcher *m)
{
	for (const struct matcher *at = c->items; at < m; at++)
		if (at->kind == MATCHER_IN && at->label == m->label && !at->values[1])
			return true;
	return false;
}

static enum shape shape_of(const struct conditions *c, const struct matcher *m)
{
	switch (m->kind) {
	case MATCHER_GLOB:
		return SHAPE_GLOB;
	case MATCHER_IN:
		return m->values[1] || label_is_taken(c, m) ? SHAPE_REQUIREMENT : SHAPE_LABEL;
	case MATCHER_EXISTS:
		return SHAPE_REQUIREMENT;
	case MATCHER_NOT:
		return m->children[0].kind == MATCHER_IN || m->children[0].kind == MATCHER_EXISTS
			       ? SHAPE_REQUIREMENT
			       : SHAPE_EXPRESSION;
	default:
		return SHAPE_EXPRESSION;
	}
}

static size_t count_of(const struct conditions *c, enum shape shape)
{
	size_t count = 0;

	for (size_t i = 0; i < c->count; i++)
		count += shape_of(c, &c->items[i]) == shape;
	return count;
}

static void write_requirement(const struct conditions *c, const struct matcher *m)
{
	bool is_not = m->kind == MATCHER_NOT;
	const struct matcher *positive = is_not ? &m->children[0] : m;
	struct emitter *e = c->emitter;

	emit_mapping(e);
	emit_pair(e, "key", label_of(c, positive));
	if (positive->kind == MATCHER_EXISTS) {
		emit_pair(e, "operator", is_not ? "DoesNotExist" : "Exists");
	} else {
		emit_pair(e, "operator", is_not ? "NotIn" : "In");
		emit_texts(e, "values", positive->values, false);
	}
	emit_mapping_end(e);
}

static void write_comparison(const struct conditions *c, const struct matcher *m)
{
	bool is_regex = m->kind == MATCHER_REGEX;
	struct emitter *e = c->emitter;

	emit_text(e, is_regex ? "label_matches" : "label_equals");
	emit_mapping(e);
	emit_pair(e, "label", label_of(c, m));
	emit_texts(e, is_regex ? "regex" : "value", m->values, true);
	emit_mapping_end(e);
}

// A mapping with the one key that says which condition it is.
static void write_expression(const struct conditions *c, const struct matcher *m)
{
	struct emitter *e = c->emitter;

	emit_mapping(e);
	switch (m->kind) {
	case MATCHER_ALL:
	case MATCHER_ANY:
		emit_text(e, m->kind == MATCHER_ALL ? "all" : "any");
		emit_mapping(e);
		emit_text(e, "of");
		emit_list(e, false);
		for (size_t i = 0; i < m->n_children; i++)
			write_expression(c, &m->children[i]);
		emit_list_end(e);
		emit_mapping_end(e);
		break;
	case MATCHER_NOT:
		emit_text(e, "not");
		write_expression(c, &m->children[0]);
		break;
	case MATCHER_EXISTS:
		emit_pair(e, "label_exists", label_of(c, m));
		break;
	case MATCHER_IN:
	case MATCHER_REGEX:
		write_comparison(c, m);
		break;
	case MATCHER_GLOB: // only `match` has globs, and that is not nested
		emit_fail(e, -EINVAL);
		break;
	}
	emit_mapping_end(e);
}

// The expressions among the conditions: one by itself, several under `all`.
static void write_expressions(const struct conditions *c)
{
	size_t count = count_of(c, SHAPE_EXPRESSION);
	struct emitter *e = c->emitter;

	if (!count)
		return;
	emit_text(e, "expression");
	if (count > 1) {
		emit_mapping(e);
		emit_text(e, "all");
		emit_mapping(e);
		emit_text(e, "of");
		emit_list(e, false);
	}
	for (size_t i = 0; i < c->count; i++)
		if (shape_of(c, &c->items[i]) == SHAPE_EXPRESSION)
			write_expression(c, &c->items[i]);
	if (count > 1) {
		emit_list_end(e);
		emit_mapping_end(e);
		emit_mapping_end(e);
	}
}

static void write_shape(const struct conditions *c, enum shape shape)
{
	for (const struct matcher *m = c->items; m < c->items + c->count; m++) {
		if (shape_of(c, m) != shape)
			continue;
		if (shape == SHAPE_REQUIREMENT)
			write_requirement(c, m);
		else
			emit_texts(c->emitter, label_of(c, m), m->values, true);
	}
}

static void write_conditions(const struct conditions *c)
{
	struct emitter *e = c->emitter;

	emit_mapping(e);
	write_shape(c, SHAPE_GLOB);
	if (count_of(c, SHAPE_LABEL)) {
		emit_text(e, "match_labels");
		emit_mapping(e);
		write_shape(c, SHAPE_LABEL);
		emit_mapping_end(e);
	}
	if (count_of(c, SHAPE_REQUIREMENT)) {
		emit_text(e, "match_list");
		emit_list(e, false);
		write_shape(c, SHAPE_REQUIREMENT);
		emit_list_end(e);
	}
	write_expressions(c);
	emit_mapping_end(e);
}

void write_matcher(struct emitter *e, const struct policy *policy, const char *key,
		   const struct matcher *matcher)
{
	struct conditions c = {.emitter = e, .policy = policy, .items = matcher, .count = 1};

	if (matcher->kind == MATCHER_ALL) {
		c.items = matcher->children;
		c.count = matcher->n_children;
	}
	if (!key)
		key = count_of(&c, SHAPE_GLOB) ? "match" : "label_matcher";
	emit_text(e, key);
	write_conditions(&c);
}
