// See labels.h.
#include "config/labels.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

static const char *const BUILTIN[N_BUILTIN_LABELS] = {
	[LABEL_PROVIDER] = "provider",
	[LABEL_ENDPOINT] = "endpoint",
	[LABEL_MODEL] = "model",
	[LABEL_API_KEY] = "api_key",
	[LABEL_ORGANIZATION] = "organization",
	[LABEL_PROJECT] = "project",
	[LABEL_STREAM] = "stream",
	[LABEL_MAX_TOKENS] = "max_tokens",
	[LABEL_ESTIMATED_TOKENS] = "estimated_tokens",
	[LABEL_TEAM] = "team",
	[LABEL_CGROUP] = "cgroup",
	[LABEL_UNIT] = "unit",
	[LABEL_UID] = "uid",
	[LABEL_USER] = "user",
	[LABEL_PID] = "pid",
	[LABEL_COMM] = "comm",
	[LABEL_EXE] = "exe",
	[LABEL_CONTAINER] = "container",
	[LABEL_PROTOCOL] = "protocol",
	[LABEL_OPAQUE] = "opaque",
	[LABEL_PRIORITY] = "priority",
	[LABEL_QUEUE_TIMEOUT] = "queue_timeout",
};

// Aperture's names for what we know by others.
static const struct {
	const char *name;
	size_t label;
} ALIASES[] = {
	{"control_point", LABEL_PROVIDER},
	{"model_variant", LABEL_MODEL},
};
#define N_ALIASES (sizeof(ALIASES) / sizeof(ALIASES[0]))

#define HEADER_PREFIX "http.header."
#define LABEL_NAME_BYTES_MAX 128

static bool begins_with(const char *text, const char *begin)
{
	return strncmp(text, begin, strlen(begin)) == 0;
}

static bool is_of_request(const char *name)
{
	return begins_with(name, "http.") || begins_with(name, "body.");
}

bool label_is_programs(const char *name)
{
	return begins_with(name, HEADER_PREFIX) || begins_with(name, "body.") ||
	       strcmp(name, BUILTIN[LABEL_COMM]) == 0;
}

bool label_is_given(const struct policy *policy, size_t label)
{
	if (label < N_BUILTIN_LABELS)
		return label != LABEL_PRIORITY && label != LABEL_QUEUE_TIMEOUT;
	return is_of_request(policy->labels[label]);
}

static size_t find_exactly(const struct policy *policy, const char *name)
{
	// A header's name has no case (RFC 9110 section 5.1); the table has it in lower case.
	bool is_header = strncasecmp(name, HEADER_PREFIX, strlen(HEADER_PREFIX)) == 0;

	for (size_t i = 0; i < policy->n_labels; i++)
		if (is_header ? strcasecmp(policy->labels[i], name) == 0
			      : strcmp(policy->labels[i], name) == 0)
			return i;
	return NO_LABEL;
}

size_t policy_find_label(const struct policy *policy, const char *name)
{
	size_t label = find_exactly(policy, name);

	for (size_t i = 0; label == NO_LABEL && i < N_ALIASES; i++)
		if (strcmp(ALIASES[i].name, name) == 0)
			label = ALIASES[i].label;
	return label;
}

static size_t add_label(struct policy *policy, const char *name)
{
	CLEANUP_FREE char *copy = strdup(name);
	char **labels = NULL;

	if (copy && policy->n_labels < LABELS_MAX)
		labels = reallocarray(policy->labels, policy->n_labels + 1, sizeof(*labels));
	if (!labels)
		return NO_LABEL;
	policy->labels = labels;
	labels[policy->n_labels] = TAKE_PTR(copy);
	return policy->n_labels++;
}

int labels_init(struct policy *policy)
{
	for (size_t i = 0; i < N_BUILTIN_LABELS; i++)
		if (add_label(policy, BUILTIN[i]) == NO_LABEL)
			return -ENOMEM;
	return 0;
}

size_t label_register(struct policy *policy, const char *name)
{
	size_t label = policy_find_label(policy, name);

	return label == NO_LABEL ? add_label(policy, name) : label;
}

static size_t register_noted(struct reader *r, const yaml_node_t *node, size_t label,
			     const char *name)
{
	if (label != NO_LABEL)
		return label;
	label = add_label(r->policy, name);
	if (label != NO_LABEL)
		return label;
	if (r->policy->n_labels == LABELS_MAX)
		reader_problem(r, node, "too many labels; expected at most %d", LABELS_MAX);
	else
		r->problems->out_of_memory = true;
	return NO_LABEL;
}

// What begins like a header's or a body's label and is none is misspelt.
static bool is_of_namespace(const char *name)
{
	return strncasecmp(name, "http.", 5) == 0 || strncasecmp(name, "body.", 5) == 0;
}

static const char *nearest_label(const struct policy *policy, const char *name)
{
	return nearest_word(name, (const char *const *)policy->labels, policy->n_labels);
}

static void add_unknown(struct reader *r, const yaml_node_t *node, const char *of, const char *name)
{
	const char *nearest = nearest_label(r->policy, name);
	struct quoted quoted = problems_quote(name);

	if (nearest)
		reader_problem(r, node, "%s %s is no label; expected \"%s\"", of, quoted.text,
			       nearest);
	else
		reader_problem(r, node,
			       "%s %s is no label; expected one of requests or programs (model, "
			       "api_key, team, user, http.header.NAME, body.user, …), or one that "
			       "a rule sets",
			       of, quoted.text);
}

size_t label_read(struct reader *r, const yaml_node_t *node, const char *of)
{
	const char *text = node_text(node);
	size_t label = text ? policy_find_label(r->policy, text) : NO_LABEL;
	const struct field field = {
		.name = of,
		.expected = "a label",
		.parse = r->is_blueprint || r->is_for_trace ? value_any_label : value_label,
	};
	CLEANUP_FREE char *name = NULL;

	if (label != NO_LABEL && !node_has_nul(node))
		return label; // also one of odd form, which `labels` or a rule has made known
	if (!reader_value(r, node, &field, &name))
		return NO_LABEL;
	label = policy_find_label(r->policy, name);
	if (label == NO_LABEL && !r->is_blueprint && !is_of_request(name) &&
	    !(r->is_for_trace && !is_of_namespace(name) && !nearest_label(r->policy, name))) {
		add_unknown(r, node, of, name);
		return NO_LABEL;
	}
	return register_noted(r, node, label, name);
}

void label_read_any(struct reader *r, const yaml_node_t *node, void *ret)
{
	static const struct field field = {
		.name = "a label", .expected = "a name", .parse = value_any_label};
	const char *text = node_text(node);
	CLEANUP_FREE char *name = NULL;

	*(size_t *)ret = NO_LABEL;
	if (text && !*text) // Aperture's values files write "" for none
		return;
	if (!node_is_null(node) && reader_value(r, node, &field, &name))
		*(size_t *)ret = register_noted(r, node, policy_find_label(r->policy, name), name);
}

void label_declare(struct reader *r, const yaml_node_t *node)
{
	const char *name = node_text(node);

	if (!name || !*name || strlen(name) > LABEL_NAME_BYTES_MAX || node_is_null(node) ||
	    strcmp(name, "control_point") == 0)
		return; // whoever reads the node says what is wrong
	register_noted(r, node, find_exactly(r->policy, name), name);
}
