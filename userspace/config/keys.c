// The tables of the policy language, from the inside out. See keys.h, and policy.h for what each
// key means. Defaults that are not zero are set in the init functions.
#include "config/keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/labels.h"
#include "config/limits.h"
#include "config/policy.h"
#include "config/rules.h"
#include "config/scheduler.h"
#include "config/zone.h"

#define STRINGS(key, type, words, parser)                                                          \
	{                                                                                          \
		.name = #key, .expected = words, .offset = offsetof(struct team, type),            \
		.size = sizeof(char *), .parse = parser, .flags = FIELD_SINGLE | FIELD_NONEMPTY    \
	}

static const struct field TEAM_FIELDS[] = {
	{.name = "name",
	 .expected = "a name",
	 .offset = offsetof(struct team, name),
	 .parse = value_name,
	 .flags = FIELD_REQUIRED},
	STRINGS(cgroup, cgroups, "a path or a list of paths", value_cgroup),
	STRINGS(unit, units, "a unit or a list of units", value_unit),
	STRINGS(user, users, "a user or a list of users", value_user),
	{.name = "weight",
	 .expected = "a number above 0",
	 .offset = offsetof(struct team, weight),
	 .parse = value_factor},
	{.name = "priority",
	 .expected = "a number above 0",
	 .offset = offsetof(struct team, priority),
	 .parse = value_factor},
	{.name = "deny",
	 .expected = "true or false",
	 .offset = offsetof(struct team, deny),
	 .parse = value_bool},
	{.name = "rpm",
	 .expected = "requests a minute, or a share such as 50%",
	 .offset = offsetof(struct team, rpm),
	 .parse = value_rate_or_share},
	{.name = "tpm",
	 .expected = "tokens a minute, or a share such as 50%",
	 .offset = offsetof(struct team, tpm),
	 .parse = value_rate_or_share},
	{.name = "guarantee",
	 .expected = "a share such as 20%",
	 .offset = offsetof(struct team, guarantee),
	 .parse = value_share},
	{.name = "tier",
	 .expected = "a tier from 0 (first) to 9",
	 .offset = offsetof(struct team, tier),
	 .parse = value_tier},
	{0},
};

static void team_init(void *item)
{
	struct team *team = item;

	team->weight = 1;
	team->priority = 1;
}

static const struct schema TEAM_SCHEMA = {
	.what = "a team", .fields = TEAM_FIELDS, .init = team_init};

static const struct field PROVIDER_FIELDS[] = {
	{.name = "name",
	 .expected = "a name",
	 .offset = offsetof(struct provider, name),
	 .parse = value_name,
	 .flags = FIELD_REQUIRED},
	{.name = "hosts",
	 .expected = "a list of host names",
	 .offset = offsetof(struct provider, hosts),
	 .size = sizeof(char *),
	 .parse = value_host,
	 .flags = FIELD_REQUIRED | FIELD_SINGLE | FIELD_NONEMPTY},
	{.name = "ports",
	 .expected = "a list of ports",
	 .offset = offsetof(struct provider, ports),
	 .count_offset = offsetof(struct provider, n_ports),
	 .size = sizeof(uint16_t),
	 .parse = value_port,
	 .flags = FIELD_SINGLE | FIELD_NONEMPTY},
	{0},
};

static void provider_finish(struct reader *r, const yaml_node_t *node, void *item)
{
	struct provider *provider = item;

	if (document_find(r->document, node, "ports"))
		return;
	provider->ports = calloc(1, sizeof(*provider->ports));
	if (!provider->ports) {
		r->problems->out_of_memory = true;
		return;
	}
	provider->ports[0] = 443;
	provider->n_ports = 1;
}

static const struct schema PROVIDER_SCHEMA = {
	.what = "a provider", .fields = PROVIDER_FIELDS, .finish = provider_finish};

#define LIST_OF(things, words, items_schema, list_flags)                                           \
	{                                                                                          \
		.name = #things, .expected = words, .offset = offsetof(struct policy, things),     \
		.count_offset = offsetof(struct policy, n_##things),                               \
		.size = sizeof(*((struct policy *)NULL)->things), .schema = &(items_schema),       \
		.flags = list_flags                                                                \
	}

static void read_timezone(struct reader *r, const yaml_node_t *node, void *value)
{
	static const struct field field = {.name = "timezone",
					   .expected = "a name such as Europe/Berlin",
					   .parse = value_text};
	struct zone **zone = value;
	CLEANUP_FREE char *name = NULL;

	if (!reader_value(r, node, &field, &name))
		return;
	*zone = zone_new(name);
	if (!*zone && errno == ENOMEM)
		r->problems->out_of_memory = true;
	else if (!*zone)
		reader_problem(r, node,
			       "timezone %s is not in the system's zoneinfo; expected UTC or a "
			       "name such as Europe/Berlin",
			       problems_quote(name).text);
}

static void read_scheduler(struct reader *r, const yaml_node_t *node, void *value)
{
	(void)value;
	scheduler_read(r, node, r->policy->schedulers[0]);
}

// They are known since before anything was read: declare_labels().
static void read_labels(struct reader *r, const yaml_node_t *node, void *value)
{
	(void)value;
	if (!reader_wants(r, node, YAML_SEQUENCE_NODE, "labels", "a list of labels"))
		return;
	for (const yaml_node_item_t *at = node->data.sequence.items.start;
	     at < node->data.sequence.items.top; at++)
		label_read(r, document_node(r->document, *at), "labels");
}

void declare_labels(struct reader *r)
{
	const yaml_node_t *labels = document_find(r->document, r->document->root, "labels");

	rules_register_labels(r);
	if (!labels || labels->type != YAML_SEQUENCE_NODE)
		return;
	for (const yaml_node_item_t *at = labels->data.sequence.items.start;
	     at < labels->data.sequence.items.top; at++)
		label_declare(r, document_node(r->document, *at));
}

// An allowed source that is none would allow nothing, silently.
static int value_source(const char *text, void *ret, struct value_error *error)
{
	int err = value_glob(text, ret, error);

	if (err || strpbrk(text, "*?[") || label_is_programs(text))
		return err;
	free(*(char **)ret);
	*(char **)ret = NULL;
	*error = (struct value_error){
		.problem = "is no label that programs control",
		.expected = "http.header.NAME, body.user, body.metadata.KEY, comm, or a pattern "
			    "over them"};
	return -EINVAL;
}

// What any file may add.
#define ADDED_LISTS                                                                                \
	LIST_OF(teams, "a list of teams", TEAM_SCHEMA, FIELD_NULL_OK),                             \
		{.name = "limits", .read = limits_read},                                           \
		{.name = "policies", .read = policies_read},                                       \
		LIST_OF(rules, "a list of rules", RULE_SCHEMA, FIELD_NULL_OK)

static const struct field MAIN_FILE_FIELDS[] = {
	{.name = "mode",
	 .expected = "observe or enforce",
	 .offset = offsetof(struct policy, mode),
	 .parse = value_mode},
	{.name = "on_daemon_failure",
	 .expected = "open or closed",
	 .offset = offsetof(struct policy, on_daemon_failure),
	 .parse = value_daemon_failure},
	{.name = "max_wait",
	 .expected = "a duration such as 600s",
	 .offset = offsetof(struct policy, max_wait_ns),
	 .parse = value_wait},
	{.name = "on_max_wait",
	 .expected = "deny or admit",
	 .offset = offsetof(struct policy, on_max_wait),
	 .parse = value_max_wait_action},
	{.name = "opaque",
	 .expected = "govern, pass or deny",
	 .offset = offsetof(struct policy, opaque),
	 .parse = value_opaque_action},
	{.name = "opaque_model",
	 .expected = "the name of a model",
	 .offset = offsetof(struct policy, opaque_model),
	 .parse = value_name},
	{.name = "http2_max_hold",
	 .expected = "a duration such as 20s",
	 .offset = offsetof(struct policy, http2_max_hold_ns),
	 .parse = value_hold},
	{.name = "proxy_ports",
	 .expected = "a list of ports",
	 .offset = offsetof(struct policy, proxy_ports),
	 .count_offset = offsetof(struct policy, n_proxy_ports),
	 .size = sizeof(uint16_t),
	 .parse = value_port,
	 .flags = FIELD_SINGLE | FIELD_NULL_OK},
	{.name = "plaintext_memory",
	 .expected = "an amount of memory such as 64MiB",
	 .offset = offsetof(struct policy, plaintext_memory_bytes),
	 .parse = value_memory},
	{.name = "headroom",
	 .expected = "a duration such as 250ms",
	 .offset = offsetof(struct policy, headroom_ns),
	 .parse = value_headroom},
	{.name = "ageing",
	 .expected = "a duration such as 60s",
	 .offset = offsetof(struct policy, ageing_ns),
	 .parse = value_ageing},
	{.name = "timezone", .offset = offsetof(struct policy, zone), .read = read_timezone},
	{.name = "agent_group",
	 .expected = "a name",
	 .offset = offsetof(struct policy, agent_group),
	 .parse = value_name},
	{.name = "prices",
	 .expected = "the path of a CSV file",
	 .offset = offsetof(struct policy, prices_file),
	 .parse = value_text},
	{.name = "priority_sources",
	 .expected = "a list of labels",
	 .offset = offsetof(struct policy, priority_sources),
	 .size = sizeof(char *),
	 .parse = value_source,
	 .flags = FIELD_SINGLE | FIELD_NULL_OK},
	{.name = "labels", .read = read_labels},
	{.name = "scheduler", .read = read_scheduler},
	LIST_OF(providers, "a list of providers", PROVIDER_SCHEMA, FIELD_NULL_OK | FIELD_NONEMPTY),
	ADDED_LISTS,
	{0},
};

static void main_file_finish(struct reader *r, const yaml_node_t *node, void *item)
{
	struct policy *policy = item;

	policy->headroom_is_given = document_find(r->document, node, "headroom");
	policy->proxy_ports_are_given = document_find(r->document, node, "proxy_ports");
}

const struct schema MAIN_FILE_SCHEMA = {
	.what = "the policy", .fields = MAIN_FILE_FIELDS, .finish = main_file_finish};

#define MAIN_ONLY(key)                                                                             \
	{                                                                                          \
		.name = #key,                                                                      \
		.refused = "belongs in the main file; expected teams, limits, policies or rules "  \
			   "here"                                                                  \
	}

static const struct field ADDED_FILE_FIELDS[] = {
	ADDED_LISTS,
	MAIN_ONLY(mode),
	MAIN_ONLY(on_daemon_failure),
	MAIN_ONLY(max_wait),
	MAIN_ONLY(on_max_wait),
	MAIN_ONLY(opaque),
	MAIN_ONLY(opaque_model),
	MAIN_ONLY(http2_max_hold),
	MAIN_ONLY(proxy_ports),
	MAIN_ONLY(plaintext_memory),
	MAIN_ONLY(headroom),
	MAIN_ONLY(ageing),
	MAIN_ONLY(timezone),
	MAIN_ONLY(agent_group),
	MAIN_ONLY(prices),
	MAIN_ONLY(priority_sources),
	MAIN_ONLY(labels),
	MAIN_ONLY(scheduler),
	MAIN_ONLY(providers),
	{0},
};

const struct schema ADDED_FILE_SCHEMA = {.what = "a file of policies.d",
					 .fields = ADDED_FILE_FIELDS};
