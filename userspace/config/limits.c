// What all ways of writing a limit have in common. See limits.h.
#include "config/limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/labels.h"
#include "config/matcher.h"

#define LEAST_DOLLARS 0.0001

struct limit *policy_add_limit(struct reader *r, const char *name, const yaml_node_t *node)
{
	struct policy *p = r->policy;
	struct limit *limits = reallocarray(p->limits, p->n_limits + 1, sizeof(*limits));
	CLEANUP_FREE char *name_copy = strdup(name), *file = strdup(r->document->path);

	if (limits)
		p->limits = limits;
	if (!limits || !name_copy || !file ||
	    places_add(r->places, &p->limits, p->n_limits, r->document, node) < 0) {
		r->problems->out_of_memory = true;
		return NULL;
	}
	limits[p->n_limits] = (struct limit){
		.name = TAKE_PTR(name_copy), .file = TAKE_PTR(file), .line = (int)node_line(node)};
	return &limits[p->n_limits++];
}

void limit_release(struct limit *limit)
{
	free(limit->name);
	free(limit->file);
	free(limit->keys);
	for (size_t i = 0; i < limit->n_selectors; i++) {
		free(limit->selectors[i].control_point);
		free(limit->selectors[i].agent_group);
		matcher_free(limit->selectors[i].match);
	}
	free(limit->selectors);
}

int limit_add_key(struct limit *limit, size_t label)
{
	for (size_t i = 0; i < limit->n_keys; i++)
		if (limit->keys[i] == label)
			return 0;
	size_t *keys = reallocarray(limit->keys, limit->n_keys + 1, sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	limit->keys = keys;
	keys[limit->n_keys++] = label;
	return 0;
}

void limit_smooth(struct limit *limit)
{
	double unit = limit->resource == RESOURCE_COST ? LEAST_DOLLARS : 1;
	double share = limit->fill_amount * ((double)limit->smooth_ns / (double)limit->interval_ns);

	if (share < unit)
		share = unit;
	if (limit->smooth_ns && share < limit->capacity)
		limit->capacity = share;
}

static void read_key(struct reader *r, const yaml_node_t *node, struct key_list *keys)
{
	if (!reader_take(r, node))
		return;
	size_t label = label_read(r, node, "key");
	if (label == NO_LABEL)
		return;
	for (size_t i = 0; i < keys->count; i++)
		if (keys->labels[i] == label) {
			reader_problem(r, node, "key names %s twice; expected each label once",
				       problems_quote(r->policy->labels[label]).text);
			return;
		}
	size_t *labels = reallocarray(keys->labels, keys->count + 1, sizeof(*labels));
	if (!labels) {
		r->problems->out_of_memory = true;
		return;
	}
	keys->labels = labels;
	labels[keys->count++] = label;
}

void keys_read(struct reader *r, const yaml_node_t *node, void *value)
{
	struct key_list *keys = value;

	keys->is_given = true;
	if (node->type == YAML_SCALAR_NODE) {
		read_key(r, node, keys);
		return;
	}
	if (!reader_wants(r, node, YAML_SEQUENCE_NODE, "key",
			  "a label or a list of labels, such as [api_key, model]"))
		return;
	for (const yaml_node_item_t *at = node->data.sequence.items.start;
	     at < node->data.sequence.items.top; at++)
		read_key(r, document_node(r->document, *at), keys);
}

static struct selector *add_selector(struct reader *r, struct limit *limit)
{
	struct selector *selectors =
		reallocarray(limit->selectors, limit->n_selectors + 1, sizeof(*selectors));

	if (!selectors) {
		r->problems->out_of_memory = true;
		return NULL;
	}
	limit->selectors = selectors;
	selectors[limit->n_selectors] = (struct selector){0};
	return &selectors[limit->n_selectors++];
}

void limit_read_match(struct reader *r, const yaml_node_t *node, struct limit *limit)
{
	struct matcher *match = NULL;
	struct selector *selector;

	if (node)
		matcher_read_match(r, node, &match);
	if (!match)
		return;
	selector = add_selector(r, limit);
	if (selector)
		selector->match = match;
	else
		matcher_free(match);
}

static void read_selector_match(struct reader *r, const yaml_node_t *node, void *value)
{
	struct selector *selector = value;

	if (selector->match)
		reader_problem(r, node, "match and label_matcher; expected one of them");
	else
		matcher_read_match(r, node, &selector->match);
}

static void read_label_matcher(struct reader *r, const yaml_node_t *node, void *value)
{
	struct selector *selector = value;

	if (selector->match)
		reader_problem(r, node, "match and label_matcher; expected one of them");
	else
		matcher_read_label_matcher(r, node, &selector->match);
}

// Aperture's services are those of a Kubernetes cluster.
static int value_service(const char *text, void *ret, struct value_error *error)
{
	(void)ret;
	if (!*text || strcmp(text, "any") == 0)
		return 0;
	*error = (struct value_error){
		.problem = "is a service of Kubernetes, which this host does not know",
		.expected = "any"};
	return -EINVAL;
}

static const struct field SELECTOR_FIELDS[] = {
	{.name = "control_point",
	 .expected = "the name of a provider",
	 .offset = offsetof(struct selector, control_point),
	 .parse = value_glob},
	{.name = "agent_group",
	 .expected = "a name",
	 .offset = offsetof(struct selector, agent_group),
	 .parse = value_name},
	{.name = "service", .expected = "any", .parse = value_service},
	{.name = "label_matcher",
	 .expected = "a mapping such as {match_labels: {team: chat}}",
	 .read = read_label_matcher},
	{.name = "match",
	 .expected = "a mapping such as {team: chat}",
	 .read = read_selector_match},
	{0},
};

static const struct schema SELECTOR_SCHEMA = {.what = "a selector", .fields = SELECTOR_FIELDS};

static void any_is_null(char **name)
{
	if (*name && strcmp(*name, "any") == 0) {
		free(*name);
		*name = NULL;
	}
}

void selectors_read(struct reader *r, const yaml_node_t *node, struct limit *limit)
{
	if (!reader_wants(r, node, YAML_SEQUENCE_NODE, "selectors",
			  "a list such as [{control_point: openai}]"))
		return;
	if (node->data.sequence.items.start == node->data.sequence.items.top)
		reader_problem(r, node, "selectors is empty; expected at least one");
	for (const yaml_node_item_t *at = node->data.sequence.items.start;
	     at < node->data.sequence.items.top; at++) {
		const yaml_node_t *entry = document_node(r->document, *at);

		if (!reader_take(r, entry))
			return;
		if (!reader_wants(r, entry, YAML_MAPPING_NODE, "a selector",
				  "a mapping {control_point: …}"))
			continue;
		struct selector *selector = add_selector(r, limit);
		if (!selector)
			return;
		schema_read(r, entry, &SELECTOR_SCHEMA, selector);
		any_is_null(&selector->control_point);
		any_is_null(&selector->agent_group);
	}
}

// Labels that the provider's own limits may depend on.
static bool label_is_providers(size_t label)
{
	switch (label) {
	case LABEL_PROVIDER:
	case LABEL_ENDPOINT:
	case LABEL_MODEL:
	case LABEL_API_KEY:
	case LABEL_ORGANIZATION:
	case LABEL_PROJECT:
		return true;
	default:
		return false;
	}
}

static void clear_if_not_providers(void *ctx, const struct matcher *matcher)
{
	if (!label_is_providers(matcher->label))
		*(bool *)ctx = false;
}

// Does the limit count all that the provider counts for one of its own?
static bool limit_mirrors(const struct limit *limit)
{
	size_t tokens_label = limit->scheduler->tokens_label;
	bool mirrors = limit->resource == RESOURCE_REQUESTS || limit->resource == RESOURCE_TOKENS ||
		       limit->resource == RESOURCE_IMAGES;

	if (tokens_label != NO_LABEL && tokens_label != LABEL_ESTIMATED_TOKENS)
		return false;
	for (size_t i = 0; i < limit->n_keys; i++)
		mirrors = mirrors && label_is_providers(limit->keys[i]);
	for (size_t i = 0; i < limit->n_selectors; i++)
		matcher_each(limit->selectors[i].match, clear_if_not_providers, &mirrors);
	return mirrors;
}

static bool limit_is_per_model(const struct limit *limit)
{
	const char *pinned = NULL;

	if (limit->tier)
		return true;
	for (size_t i = 0; i < limit->n_keys; i++)
		if (limit->keys[i] == LABEL_MODEL)
			return true;
	for (size_t i = 0; i < limit->n_selectors; i++) {
		const char *model = matcher_pins(limit->selectors[i].match, LABEL_MODEL);

		if (!model || (pinned && strcmp(pinned, model) != 0))
			return false;
		pinned = model;
	}
	return pinned;
}

void limits_complete(struct policy *policy)
{
	for (size_t i = 0; i < policy->n_limits; i++) {
		struct limit *limit = &policy->limits[i];

		if (!limit->scheduler)
			limit->scheduler = policy->schedulers[0];
		if (limit->tier) {
			limit->tier_rows = policy->tiers[limit->tier - 1];
			limit->n_tier_rows = policy->n_tiers[limit->tier - 1];
		}
		// What is never refilled is not worth waiting for.
		if (limit->fill_amount == 0 && limit->capacity > 0)
			limit->over_limit = OVER_LIMIT_DENY;
		limit->mirrors = limit_mirrors(limit);
		limit->is_per_model = limit_is_per_model(limit);
	}
}

void limits_each_entry(struct reader *r, const yaml_node_t *node, const char *list,
		       const char *what, void (*read)(struct reader *r, const yaml_node_t *node))
{
	char expected[32];

	snprintf(expected, sizeof(expected), "a list of %s", list);
	if (node_is_null(node) || !reader_wants(r, node, YAML_SEQUENCE_NODE, list, expected))
		return;
	for (const yaml_node_item_t *at = node->data.sequence.items.start;
	     at < node->data.sequence.items.top; at++) {
		const yaml_node_t *item = document_node(r->document, *at);

		if (!reader_take(r, item))
			return;
		if (reader_wants(r, item, YAML_MAPPING_NODE, what, "a mapping (name: …)"))
			read(r, item);
	}
}
