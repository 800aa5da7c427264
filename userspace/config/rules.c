// See rules.h. What a rule gives to `priority` or `queue_timeout` must be a number or a duration:
// that is checked here, as far as the file says the value itself.
#include "config/rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/labels.h"
#include "config/matcher.h"

#define AT_MOST_DEFAULT 100

static void free_strings(char **strings)
{
	for (char **at = strings; at && *at; at++)
		free(*at);
	free(strings);
}

void rule_release(struct rule *rule)
{
	matcher_free(rule->when);
	free(rule->value);
	free_strings(rule->map_from);
	free_strings(rule->map_to);
	free(rule->fallback);
}

// Unknown names do not arise: rules_register_labels() has been here.
static void read_set(struct reader *r, const yaml_node_t *node, void *value)
{
	size_t label = label_read(r, node, "set");

	*(size_t *)value = label;
	if (label == NO_LABEL || !label_is_given(r->policy, label))
		return;
	reader_problem(r, node,
		       "set %s is given by the request or the kernel; expected priority, "
		       "queue_timeout or a name of your own",
		       problems_quote(r->policy->labels[label]).text);
}

static void read_from(struct reader *r, const yaml_node_t *node, void *value)
{
	*(size_t *)value = label_read(r, node, "from");
}

static void read_for_each(struct reader *r, const yaml_node_t *node, void *value)
{
	*(size_t *)value = label_read(r, node, "for_each");
}

static char *read_text(struct reader *r, const yaml_node_t *node, const char *of)
{
	const struct field field = {.name = of, .expected = "a text", .parse = value_text};
	char *text = NULL;

	reader_value(r, node, &field, &text);
	return text;
}

// Two lists of equal length, also if an entry has a problem.
static void read_map(struct reader *r, const yaml_node_t *node, void *value)
{
	struct rule *rule = value;
	size_t n = 0;

	if (!reader_wants(r, node, YAML_MAPPING_NODE, "map",
			  "a mapping such as {paid_user: 100, trial_user: 50}"))
		return;
	size_t room = (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start) + 1;
	rule->map_from = calloc(room, sizeof(char *));
	rule->map_to = calloc(room, sizeof(char *));
	if (!rule->map_from || !rule->map_to) {
		r->problems->out_of_memory = true;
		return;
	}
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = document_node(r->document, pair->key);

		if (!reader_take(r, key))
			return;
		rule->map_from[n] = read_text(r, key, "map");
		rule->map_to[n] = read_text(r, document_node(r->document, pair->value), "map");
		if (!rule->map_from[n] || !rule->map_to[n]) {
			free(rule->map_from[n]);
			free(rule->map_to[n]);
			rule->map_from[n] = rule->map_to[n] = NULL;
			return; // noted
		}
		n++;
	}
	if (n == 0)
		reader_problem(r, node, "map is empty; expected at least one value");
}

static const struct field RULE_FIELDS[] = {
	{.name = "set",
	 .expected = "a label",
	 .offset = offsetof(struct rule, label),
	 .read = read_set,
	 .flags = FIELD_REQUIRED},
	{.name = "from", .offset = offsetof(struct rule, from), .read = read_from},
	{.name = "value",
	 .expected = "a text",
	 .offset = offsetof(struct rule, value),
	 .parse = value_text},
	{.name = "map", .read = read_map},
	{.name = "default",
	 .expected = "a text",
	 .offset = offsetof(struct rule, fallback),
	 .parse = value_text},
	{.name = "when", .offset = offsetof(struct rule, when), .read = matcher_read_match},
	{.name = "add",
	 .expected = "a number above 0",
	 .offset = offsetof(struct rule, add),
	 .parse = value_factor},
	{.name = "for_each", .offset = offsetof(struct rule, for_each), .read = read_for_each},
	{.name = "at_most",
	 .expected = "a number",
	 .offset = offsetof(struct rule, at_most),
	 .parse = value_factor},
	{0},
};

static void rule_init(void *item)
{
	struct rule *rule = item;

	rule->label = rule->from = rule->for_each = NO_LABEL;
}

// A text that the rule gives to its label: fit for it?
static void check_value(struct reader *r, const yaml_node_t *node, const struct rule *rule,
			const char *text)
{
	struct value_error error;
	uint64_t ns;
	double factor;
	int err = 0;

	if (!text)
		return;
	if (rule->label == LABEL_PRIORITY)
		err = value_factor(text, &factor, &error);
	else if (rule->label == LABEL_QUEUE_TIMEOUT)
		err = value_wait(text, &ns, &error);
	if (err)
		reader_problem(r, node, "%s %s %s; expected %s", r->policy->labels[rule->label],
			       problems_quote(text).text, error.problem, error.expected);
}

static void check_bump(struct reader *r, const yaml_node_t *node, struct rule *rule)
{
	if (rule->for_each == NO_LABEL || rule->add <= 0)
		reader_problem(r, node, "an incomplete bump; expected {set, add, for_each}");
	if (rule->value || rule->from != NO_LABEL || rule->map_from || rule->fallback)
		reader_problem(r, node,
			       "a bump and a value; expected a rule for each of the two, the value "
			       "first");
	if (rule->label == LABEL_QUEUE_TIMEOUT)
		reader_problem(r, node,
			       "a bump of queue_timeout, which is no number; expected "
			       "priority or a label of your own");
	if (rule->at_most == 0)
		rule->at_most = AT_MOST_DEFAULT;
}

static void rule_finish(struct reader *r, const yaml_node_t *node, void *item)
{
	struct rule *rule = item;
	bool has_from = document_find(r->document, node, "from");

	if (rule->label == NO_LABEL)
		return; // noted
	if (document_find(r->document, node, "add") || document_find(r->document, node, "for_each"))
		check_bump(r, node, rule);
	else if (has_from == (document_find(r->document, node, "value") != NULL))
		reader_problem(r, node,
			       "a rule with %s; expected value, from, or add with for_each",
			       has_from ? "both value and from" : "nothing to set");
	else if (rule->at_most)
		reader_problem(r, node, "at_most without add; expected {set, add, for_each}");
	if ((rule->map_from || rule->fallback) && !has_from)
		reader_problem(r, node,
			       "map or default without from; expected the label that is "
			       "translated");
	check_value(r, node, rule, rule->value);
	check_value(r, node, rule, rule->fallback);
	for (char **at = rule->map_to; at && *at; at++)
		check_value(r, node, rule, *at);
}

const struct schema RULE_SCHEMA = {
	.what = "a rule", .fields = RULE_FIELDS, .init = rule_init, .finish = rule_finish};

void rules_register_labels(struct reader *r)
{
	const yaml_node_t *rules = document_find(r->document, r->document->root, "rules");

	if (!rules || rules->type != YAML_SEQUENCE_NODE)
		return;
	for (const yaml_node_item_t *at = rules->data.sequence.items.start;
	     at < rules->data.sequence.items.top; at++) {
		const yaml_node_t *set =
			document_find(r->document, document_node(r->document, *at), "set");

		if (set)
			label_declare(r, set);
	}
}
