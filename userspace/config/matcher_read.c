// Conditions from YAML. See matcher.h for what they become.
//
// `match:` is ours: {team: chat, model: "gpt-4*"}. The other four are Aperture's label matcher, as
// its policy reference has it; its regular expressions are regex.c's matter.
//
// A condition with a problem stays in the tree half read: the policy is thrown away anyway.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/labels.h"
#include "config/matcher.h"
#include "config/regex.h"

#define EXPECTED_MATCHER "a mapping such as {match_labels: {team: chat}}"

// One more child, valid until the next one. NULL: no memory, which is noted.
static struct matcher *add_child(struct reader *r, struct matcher *parent, enum matcher_kind kind)
{
	struct matcher *children =
		reallocarray(parent->children, parent->n_children + 1, sizeof(*parent->children));

	if (!children) {
		r->problems->out_of_memory = true;
		return NULL;
	}
	parent->children = children;
	children[parent->n_children] = (struct matcher){.kind = kind, .label = NO_LABEL};
	return &children[parent->n_children++];
}

static void note_place(struct reader *r, const struct matcher *matcher, const yaml_node_t *node)
{
	if (places_add(r->places, matcher->values, 0, r->document, node) < 0)
		r->problems->out_of_memory = true;
}

static void read_value(struct reader *r, const yaml_node_t *node, const struct field *field,
		       struct matcher *matcher, size_t *count)
{
	char **values = reallocarray(matcher->values, *count + 2, sizeof(*values));
	if (!values) {
		r->problems->out_of_memory = true;
		return;
	}
	matcher->values = values;
	values[*count] = values[*count + 1] = NULL;
	*count += reader_value(r, node, field, &values[*count]);
}

// One value or a list of them, which `field` tells how to read.
static void read_values(struct reader *r, const yaml_node_t *node, const struct field *field,
			struct matcher *matcher)
{
	size_t count = 0;

	if (node->type == YAML_MAPPING_NODE) {
		reader_wants(r, node, YAML_SCALAR_NODE, field->name, field->expected);
		return;
	}
	if (node->type == YAML_SCALAR_NODE) {
		read_value(r, node, field, matcher, &count);
	} else {
		const yaml_node_item_t *at = node->data.sequence.items.start;

		if (at == node->data.sequence.items.top)
			reader_problem(r, node, "%s is empty; expected %s, at least one",
				       field->name, field->expected);
		for (; at < node->data.sequence.items.top && reader_take(r, node); at++)
			read_value(r, document_node(r->document, *at), field, matcher, &count);
	}
	note_place(r, matcher, node);
}

// {LABEL: glob or globs}.
static void read_glob(struct reader *r, const yaml_node_t *key, const yaml_node_t *node,
		      struct matcher *parent)
{
	size_t label = label_read(r, key, "match");
	struct field field = {.expected = "a pattern or a list of patterns", .parse = value_glob};
	struct matcher *matcher;

	if (label == NO_LABEL)
		return;
	field.name = r->policy->labels[label];
	if (label == LABEL_ENDPOINT)
		field.parse = value_endpoint;
	if (label == LABEL_API_KEY) {
		field.parse = value_key_hash;
		field.expected = "a pattern over the key's hash";
		field.flags = FIELD_SECRET;
	}
	matcher = add_child(r, parent, MATCHER_GLOB);
	if (matcher) {
		matcher->label = label;
		read_values(r, node, &field, matcher);
	}
}

// What an equality may ask for. A whole SHA-256, as Aperture's SDK sends it, is cut to our prefix.
static void read_equals(struct reader *r, const yaml_node_t *node, size_t label,
			struct matcher *matcher)
{
	struct field field = {.expected = "a value or a list of values", .parse = value_text};

	if (label == NO_LABEL || !matcher)
		return;
	field.name = r->policy->labels[label];
	if (label == LABEL_API_KEY) {
		field.parse = value_key_digest;
		field.flags = FIELD_SECRET;
	}
	matcher->label = label;
	read_values(r, node, &field, matcher);
}

static void read_match_labels(struct reader *r, const yaml_node_t *node, struct matcher *parent)
{
	if (!reader_wants(r, node, YAML_MAPPING_NODE, "match_labels",
			  "a mapping such as {team: chat}"))
		return;
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = document_node(r->document, pair->key);

		if (!reader_take(r, key))
			return;
		size_t label = label_read(r, key, "match_labels");
		if (label != NO_LABEL)
			read_equals(r, document_node(r->document, pair->value), label,
				    add_child(r, parent, MATCHER_IN));
	}
}

struct requirement {
	size_t label;
	enum match_operator relation;
	const yaml_node_t *values;
};

static void read_key(struct reader *r, const yaml_node_t *node, void *value)
{
	*(size_t *)value = label_read(r, node, "key");
}

static const struct field REQUIREMENT_FIELDS[] = {
	{.name = "key",
	 .expected = "a label",
	 .offset = offsetof(struct requirement, label),
	 .read = read_key,
	 .flags = FIELD_REQUIRED},
	{.name = "operator",
	 .expected = "In, NotIn, Exists or DoesNotExist",
	 .offset = offsetof(struct requirement, relation),
	 .parse = value_operator,
	 .flags = FIELD_REQUIRED},
	{.name = "values",
	 .offset = offsetof(struct requirement, values),
	 .read = reader_keep_node},
	{0},
};

static const struct schema REQUIREMENT_SCHEMA = {.what = "a requirement",
						 .fields = REQUIREMENT_FIELDS};

static void read_requirement(struct reader *r, const yaml_node_t *node, struct matcher *parent)
{
	struct requirement q = {.label = NO_LABEL};
	size_t before = reader_problem_count(r);
	struct matcher *matcher = parent;

	if (!reader_wants(r, node, YAML_MAPPING_NODE, "a requirement",
			  "a mapping {key, operator, values}"))
		return;
	schema_read(r, node, &REQUIREMENT_SCHEMA, &q);
	if (reader_problem_count(r) != before)
		return;
	bool is_exists = q.relation >= OPERATOR_EXISTS;
	if (is_exists == (q.values != NULL)) {
		reader_problem(r, q.values ? q.values : node, "%s for %s; expected values %s",
			       is_exists ? "values" : "no values",
			       problems_quote(r->policy->labels[q.label]).text,
			       is_exists ? "only with In and NotIn" : "with In and NotIn");
		return;
	}
	if (q.relation == OPERATOR_NOT_IN || q.relation == OPERATOR_DOES_NOT_EXIST)
		matcher = add_child(r, parent, MATCHER_NOT);
	if (matcher)
		matcher = add_child(r, matcher, is_exists ? MATCHER_EXISTS : MATCHER_IN);
	if (matcher && is_exists)
		matcher->label = q.label;
	else
		read_equals(r, q.values, q.label, matcher);
}

static void read_requirements(struct reader *r, const yaml_node_t *node, const char *of,
			      struct matcher *parent)
{
	if (!reader_wants(r, node, YAML_SEQUENCE_NODE, of, "a list of {key, operator, values}"))
		return;
	for (const yaml_node_item_t *at = node->data.sequence.items.start;
	     at < node->data.sequence.items.top; at++) {
		const yaml_node_t *entry = document_node(r->document, *at);

		if (!reader_take(r, entry))
			return;
		read_requirement(r, entry, parent);
	}
}

static void read_expression(struct reader *r, const yaml_node_t *node, unsigned int depth,
			    struct matcher *parent);

// {of: [expression, …]}.
static void read_of(struct reader *r, const yaml_node_t *node, unsigned int depth,
		    struct matcher *matcher)
{
	static const char expected[] = "{of: [expression, expression]}";
	const yaml_node_t *of = document_find(r->document, node, "of");

	if (!of || of->type != YAML_SEQUENCE_NODE ||
	    node->data.mapping.pairs.top - node->data.mapping.pairs.start != 1) {
		reader_problem(r, node, "all and any take a list; expected %s", expected);
		return;
	}
	if (of->data.sequence.items.start == of->data.sequence.items.top)
		reader_problem(r, of, "of is empty; expected %s", expected);
	for (const yaml_node_item_t *at = of->data.sequence.items.start;
	     at < of->data.sequence.items.top; at++)
		read_expression(r, document_node(r->document, *at), depth, matcher);
}

struct comparison {
	size_t label;
	const yaml_node_t *value, *regex;
};

static const struct field COMPARISON_FIELDS[] = {
	{.name = "label",
	 .expected = "a label",
	 .offset = offsetof(struct comparison, label),
	 .read = read_key,
	 .flags = FIELD_REQUIRED},
	{.name = "value", .offset = offsetof(struct comparison, value), .read = reader_keep_node},
	{.name = "regex", .offset = offsetof(struct comparison, regex), .read = reader_keep_node},
	{0},
};

// label_equals {label, value} and label_matches {label, regex}.
static void read_comparison(struct reader *r, const yaml_node_t *node, enum matcher_kind kind,
			    struct matcher *parent)
{
	static const struct schema schema = {.what = "a comparison", .fields = COMPARISON_FIELDS};
	static const struct field regex = {
		.name = "regex", .expected = "a regular expression", .parse = value_regex};
	const char *wants = kind == MATCHER_IN ? "{label, value}" : "{label, regex}";
	struct comparison c = {.label = NO_LABEL};

	if (!reader_wants(r, node, YAML_MAPPING_NODE, "a comparison", wants))
		return;
	schema_read(r, node, &schema, &c);
	if (c.label == NO_LABEL)
		return;
	if (!(kind == MATCHER_IN ? c.value : c.regex) || (c.value && c.regex)) {
		reader_problem(r, node, "an incomplete comparison; expected %s", wants);
		return;
	}
	struct matcher *matcher = add_child(r, parent, kind);
	if (kind == MATCHER_IN) {
		read_equals(r, c.value, c.label, matcher);
	} else if (matcher) {
		matcher->label = c.label;
		read_values(r, c.regex, &regex, matcher);
		if (matcher->values && *matcher->values &&
		    regex_compile(*matcher->values, &matcher->regex) < 0)
			r->problems->out_of_memory = true; // value_regex() has compiled it before
	}
}

static void read_operator(struct reader *r, const yaml_node_t *key, const yaml_node_t *node,
			  unsigned int depth, struct matcher *parent)
{
	const char *name = node_text(key) ? node_text(key) : "";
	struct matcher *matcher;

	if (strcmp(name, "not") == 0) {
		matcher = add_child(r, parent, MATCHER_NOT);
		if (matcher)
			read_expression(r, node, depth, matcher);
	} else if (strcmp(name, "all") == 0 || strcmp(name, "any") == 0) {
		matcher = add_child(r, parent, name[1] == 'n' ? MATCHER_ANY : MATCHER_ALL);
		if (matcher)
			read_of(r, node, depth, matcher);
	} else if (strcmp(name, "label_exists") == 0) {
		size_t label = label_read(r, node, "label_exists");
		matcher = label == NO_LABEL ? NULL : add_child(r, parent, MATCHER_EXISTS);
		if (matcher)
			matcher->label = label;
	} else if (strcmp(name, "label_equals") == 0) {
		read_comparison(r, node, MATCHER_IN, parent);
	} else if (strcmp(name, "label_matches") == 0) {
		read_comparison(r, node, MATCHER_REGEX, parent);
	} else {
		reader_problem(r, key,
			       "unknown key %s in an expression; expected one of not, all, any, "
			       "label_exists, label_equals, label_matches",
			       problems_quote(name).text);
	}
}

// An alias may contain itself: hence the depth.
static void read_expression(struct reader *r, const yaml_node_t *node, unsigned int depth,
			    struct matcher *parent)
{
	if (!reader_take(r, node) || !reader_wants(r, node, YAML_MAPPING_NODE, "expression",
						   "a mapping such as {label_exists: team}"))
		return;
	if (depth > DOCUMENT_DEPTH_MAX) {
		reader_problem(r, node, "an expression within itself; expected at most %d levels",
			       DOCUMENT_DEPTH_MAX);
		return;
	}
	const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	if (node->data.mapping.pairs.top - pair != 1) {
		reader_problem(r, node,
			       "not one condition; expected one of not, all, any, label_exists, "
			       "label_equals, label_matches");
		return;
	}
	read_operator(r, document_node(r->document, pair->key),
		      document_node(r->document, pair->value), depth + 1, parent);
}

// One of Aperture's four. False: it is none of them.
static bool read_aperture(struct reader *r, const char *name, const yaml_node_t *node,
			  struct matcher *parent)
{
	if (strcmp(name, "match_labels") == 0)
		read_match_labels(r, node, parent);
	else if (strcmp(name, "match_list") == 0 || strcmp(name, "match_expressions") == 0)
		read_requirements(r, node, name, parent);
	else if (strcmp(name, "expression") == 0)
		read_expression(r, node, 0, parent);
	else
		return false;
	return true;
}

static void read_matcher(struct reader *r, const yaml_node_t *node, bool takes_globs,
			 struct matcher **ret)
{
	CLEANUP_MATCHER struct matcher *all = calloc(1, sizeof(*all));
	size_t before = reader_problem_count(r);

	*ret = NULL;
	if (!all) {
		r->problems->out_of_memory = true;
		return;
	}
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = document_node(r->document, pair->key);
		const yaml_node_t *value = document_node(r->document, pair->value);
		const char *name = node_text(key) ? node_text(key) : "";

		if (!reader_take(r, key))
			return;
		if (read_aperture(r, name, value, all))
			continue;
		if (takes_globs)
			read_glob(r, key, value, all);
		else
			reader_problem(r, key,
				       "unknown key %s in label_matcher; expected one of "
				       "match_labels, match_list, match_expressions, expression",
				       problems_quote(name).text);
	}
	if (all->n_children && reader_problem_count(r) == before)
		*ret = TAKE_PTR(all);
}

void matcher_read_label_matcher(struct reader *r, const yaml_node_t *node, void *value)
{
	*(struct matcher **)value = NULL;
	if (reader_wants(r, node, YAML_MAPPING_NODE, "label_matcher", EXPECTED_MATCHER))
		read_matcher(r, node, false, value);
}

void matcher_read_match(struct reader *r, const yaml_node_t *node, void *value)
{
	*(struct matcher **)value = NULL;
	if (reader_wants(r, node, YAML_MAPPING_NODE, "match",
			 "a mapping such as {model: \"gpt-4*\"}"))
		read_matcher(r, node, true, value);
}
