// The tables of the policy language, from the inside out. See keys.h, and policy.h for what each
// key means. Defaults that are not zero are set in the init functions.
#include "config/keys.h"

#include <stdlib.h>
#include <string.h>

#include "config/policy.h"

#define NO_DAY "is not enforced yet by this version; expected rpm or tpm, which count by the minute"

#define GLOB(key)                                                                                  \
	{                                                                                          \
		.name = #key, .expected = "a pattern", .offset = offsetof(struct match, key),      \
		.parse = value_glob                                                                \
	}

static const struct field MATCH_FIELDS[] = {
	GLOB(provider),
	GLOB(model),
	GLOB(team),
	{.name = "endpoint",
	 .expected = "a pattern",
	 .offset = offsetof(struct match, endpoint),
	 .parse = value_endpoint},
	{.name = "api_key",
	 .expected = "a pattern over the key's hash",
	 .offset = offsetof(struct match, api_key),
	 .parse = value_key_hash,
	 .flags = FIELD_SECRET},
	GLOB(organization),
	GLOB(user),
	{.name = "project",
	 .refused = "cannot be matched; expected a match by organization or api_key, or project in "
		    "key"},
	{0},
};

static const struct schema MATCH_SCHEMA = {.what = "match", .fields = MATCH_FIELDS};

static const struct field LIMIT_FIELDS[] = {
	{.name = "name",
	 .expected = "a name",
	 .offset = offsetof(struct limit, name),
	 .parse = value_name,
	 .flags = FIELD_REQUIRED},
	{.name = "match",
	 .expected = "a mapping such as {model: \"gpt-4*\"}",
	 .offset = offsetof(struct limit, match),
	 .schema = &MATCH_SCHEMA},
	{.name = "key",
	 .expected = "a label or a list of labels, such as [api_key, model]",
	 .offset = offsetof(struct limit, keys),
	 .count_offset = offsetof(struct limit, n_keys),
	 .size = sizeof(enum key_label),
	 .parse = value_key_label,
	 .flags = FIELD_SINGLE},
	{.name = "rpm",
	 .expected = "a number of requests a minute",
	 .offset = offsetof(struct limit, rpm),
	 .parse = value_rate},
	{.name = "tpm",
	 .expected = "a number of tokens a minute",
	 .offset = offsetof(struct limit, tpm),
	 .parse = value_rate},
	{.name = "over_limit",
	 .expected = "queue or deny",
	 .offset = offsetof(struct limit, over_limit),
	 .parse = value_over_limit},
	{.name = "auto",
	 .refused = "is not enforced yet by this version; expected rpm and tpm as the provider's "
		    "limits page shows them"},
	{.name = "tier",
	 .refused = "is not enforced yet by this version; expected rpm and tpm as the provider "
		    "gives them to that tier"},
	{.name = "rpd", .refused = NO_DAY},
	{.name = "tpd", .refused = NO_DAY},
	{.name = "ipm",
	 .refused = "is not enforced yet by this version; expected rpm, with match: {endpoint: "
		    "/v1/images/*} to count requests for images"},
	{.name = "budget",
	 .refused = "is not enforced yet by this version; expected tpm, which bounds spending by "
		    "the minute"},
	{0},
};

static void set_default_keys(struct reader *r, struct limit *limit)
{
	limit->keys = calloc(2, sizeof(*limit->keys));
	if (!limit->keys) {
		r->problems->out_of_memory = true;
		return;
	}
	limit->keys[0] = KEY_API_KEY;
	limit->keys[1] = KEY_MODEL;
	limit->n_keys = 2;
}

static void limit_finish(struct reader *r, const yaml_node_t *node, void *item)
{
	struct limit *limit = item;
	const yaml_node_t *key = document_find(r->document, node, "key");
	const char *name = limit->name ? limit->name : "";

	limit->line = (int)node_line(node);
	if (!key)
		set_default_keys(r, limit);
	for (size_t i = 1; i < limit->n_keys; i++)
		for (size_t j = 0; j < i; j++)
			if (limit->keys[i] == limit->keys[j]) {
				problems_add(
					r->problems, r->document->path, node_line(key),
					"key of limit %s names a label twice; expected each once",
					problems_quote(name).text);
				return;
			}
	if (!document_find(r->document, node, "rpm") && !document_find(r->document, node, "tpm"))
		problems_add(r->problems, r->document->path, node_line(node),
			     "limit %s limits nothing; expected rpm or tpm or both",
			     problems_quote(name).text);
}

static const struct schema LIMIT_SCHEMA = {
	.what = "a limit", .fields = LIMIT_FIELDS, .finish = limit_finish};

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
	{.name = "rpd", .refused = NO_DAY},
	{.name = "tpd", .refused = NO_DAY},
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

#define NOT_YET                                                                                    \
	{.name = "policies",                                                                       \
	 .refused = "is not enforced yet by this version; expected limits with rpm and tpm"},      \
	{                                                                                          \
		.name = "blueprint", .refused = "is not enforced yet by this version; expected "   \
						"limits with rpm and tpm"                          \
	}

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
	{.name = "headroom",
	 .expected = "a duration such as 250ms",
	 .offset = offsetof(struct policy, headroom_ns),
	 .parse = value_headroom},
	LIST_OF(providers, "a list of providers", PROVIDER_SCHEMA, FIELD_NULL_OK | FIELD_NONEMPTY),
	LIST_OF(teams, "a list of teams", TEAM_SCHEMA, FIELD_NULL_OK),
	LIST_OF(limits, "a list of limits", LIMIT_SCHEMA, FIELD_NULL_OK),
	NOT_YET,
	{0},
};

const struct schema MAIN_FILE_SCHEMA = {.what = "the policy", .fields = MAIN_FILE_FIELDS};

#define MAIN_ONLY(key)                                                                             \
	{                                                                                          \
		.name = #key, .refused = "belongs in the main file; expected teams or limits here" \
	}

static const struct field ADDED_FILE_FIELDS[] = {
	LIST_OF(teams, "a list of teams", TEAM_SCHEMA, FIELD_NULL_OK),
	LIST_OF(limits, "a list of limits", LIMIT_SCHEMA, FIELD_NULL_OK),
	MAIN_ONLY(mode),
	MAIN_ONLY(on_daemon_failure),
	MAIN_ONLY(max_wait),
	MAIN_ONLY(on_max_wait),
	MAIN_ONLY(headroom),
	MAIN_ONLY(providers),
	NOT_YET,
	{0},
};

const struct schema ADDED_FILE_SCHEMA = {.what = "a file of policies.d",
					 .fields = ADDED_FILE_FIELDS};

bool refuse_blueprint(struct reader *r)
{
	const yaml_node_t *value = document_find(r->document, r->document->root, "blueprint");

	if (!value)
		return false;
	problems_add(r->problems, r->document->path, node_line(value),
		     "blueprint %s is not enforced yet by this version; expected limits with rpm "
		     "or tpm: what its fill_amount adds in a minute",
		     problems_quote(node_text(value) ? node_text(value) : "").text);
	return true;
}
