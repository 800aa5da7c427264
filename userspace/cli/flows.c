// sluice flows: each connection to a provider: whose it is, and what its requests asked for.
#include <json-c/json.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/field.h"
#include "cli/table.h"
#include "cli/view.h"

static const struct column columns[] = {
	{"ID", RIGHT},    {"PID", RIGHT},    {"COMM", LEFT},      {"USER", LEFT},
	{"TEAM", LEFT},   {"STATE", LEFT},   {"REQUESTS", RIGHT}, {"TOKENS IN", RIGHT},
	{"OUT", RIGHT},   {"QUEUED", RIGHT}, {"MODEL", LEFT},     {"HOST", LEFT},
	{"CGROUP", LEFT},
};

static enum paint paint_of(const char *state)
{
	if (!strcmp(state, "queued"))
		return PAINT_WARN;
	if (!strcmp(state, "opaque"))
		return PAINT_BAD;
	if (!strcmp(state, "admitted") || !strcmp(state, "responding"))
		return PAINT_GOOD;
	return PAINT_NONE;
}

static const char *or_dash(const char *text)
{
	return *text ? text : "-";
}

static void add_flow(struct table *table, struct json_object *flow)
{
	const char *state = field_text(flow, "state");

	table_add(table, PAINT_NONE, "%s", field_text(flow, "id"));
	table_add(table, PAINT_NONE, "%s", field_text(flow, "pid"));
	table_add(table, PAINT_NONE, "%s", or_dash(field_text(flow, "comm")));
	table_add(table, PAINT_NONE, "%s", or_dash(field_text(flow, "user")));
	table_add(table, PAINT_NONE, "%s", or_dash(field_text(flow, "team")));
	table_add(table, paint_of(state), "%s", state);
	table_add(table, PAINT_NONE, "%s", whole(field_number(flow, "requests")).text);
	table_add(table, PAINT_NONE, "%s", whole(field_number(flow, "tokens_in")).text);
	table_add(table, PAINT_NONE, "%s", whole(field_number(flow, "tokens_out")).text);
	table_add(table, PAINT_NONE, "%s", duration(field_number(flow, "queued_ms")).text);
	table_add(table, PAINT_NONE, "%s", or_dash(field_text(flow, "model")));
	table_add(table, PAINT_NONE, "%s", or_dash(field_text(flow, "host")));
	table_add(table, PAINT_NONE, "%s", or_dash(field_text(flow, "cgroup")));
}

// Is flow i the first that is opaque for its reason?
static bool first_of_reason(struct json_object *flows, size_t i, const char *why)
{
	for (size_t j = 0; j < i; j++)
		if (!strcmp(field_text(json_object_array_get_idx(flows, j), "why_opaque"), why))
			return false;
	return true;
}

// One sentence for each reason, however many flows share it.
static void print_reasons(struct json_object *flows, size_t n, FILE *out)
{
	static const struct column plain[] = {{0}};
	const struct style uncut = {0};
	struct table *sentences = table_new(plain, 1);

	for (size_t i = 0; i < n; i++) {
		const char *why = field_text(json_object_array_get_idx(flows, i), "why_opaque");
		size_t alike = 0;

		if (!*why || !first_of_reason(flows, i, why))
			continue;
		for (size_t j = i; j < n; j++)
			alike += !strcmp(
				field_text(json_object_array_get_idx(flows, j), "why_opaque"), why);
		table_add(sentences, PAINT_NONE, "%zu opaque: %s", alike, why);
	}
	table_print(sentences, out, &uncut);
	table_free(sentences);
}

void view_flows(struct json_object *flows, FILE *out, const struct style *style)
{
	size_t n =
		json_object_is_type(flows, json_type_array) ? json_object_array_length(flows) : 0;
	struct table *table;

	if (!n) {
		fputs("No flow: no program is connected to a provider.\n", out);
		return;
	}
	table = table_new(columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < n; i++)
		add_flow(table, json_object_array_get_idx(flows, i));
	table_print(table, out, style);
	table_free(table);
	print_reasons(flows, n, out);
}

int verb_flows(const struct cli *cli, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return view_show(cli, "/v1/flows", view_flows);
}
