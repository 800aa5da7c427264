// sluice flows: each connection to a provider: whose it is, and what its requests asked for.
#include <json-c/json.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/field.h"
#include "cli/table.h"
#include "cli/view.h"

enum kind { TEXT, STATE, COUNT, WAIT, CONTAINER };

// From left to right; a terminal cuts at the right, so what people look for first stands first.
static const struct shown {
	struct column column;
	const char *key;
	enum kind kind;
	bool is_optional; // left out if no flow has it
} SHOWN[] = {
	{{"ID", RIGHT}, "id", TEXT, false},
	{{"PID", RIGHT}, "pid", TEXT, false},
	{{"COMM", LEFT}, "comm", TEXT, false},
	{{"USER", LEFT}, "user", TEXT, false},
	{{"TEAM", LEFT}, "team", TEXT, false},
	{{"STATE", LEFT}, "state", STATE, false},
	{{"PROTOCOL", LEFT}, "protocol", TEXT, true},
	{{"REQUESTS", RIGHT}, "requests", COUNT, false},
	{{"IN", RIGHT}, "tokens_in", COUNT, false},
	{{"OUT", RIGHT}, "tokens_out", COUNT, false},
	{{"QUEUED", RIGHT}, "queued_ms", WAIT, false},
	{{"MODEL", LEFT}, "model", TEXT, false},
	{{"CONTAINER", LEFT}, "container", CONTAINER, true},
	{{"HOST", LEFT}, "host", TEXT, false},
	{{"CGROUP", LEFT}, "cgroup", TEXT, false},
};
enum { N_SHOWN = sizeof(SHOWN) / sizeof(SHOWN[0]) };

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

// As the runtimes' own commands show it: the first 12 of an id's 64 digits, a name whole.
static int container_columns(const char *container)
{
	size_t length = strlen(container);

	return length == 64 && strspn(container, "0123456789abcdef") == length ? 12 : (int)length;
}

static void add_cell(struct table *table, struct json_object *flow, const struct shown *shown)
{
	const char *text = field_text(flow, shown->key);

	switch (shown->kind) {
	case COUNT:
		table_add(table, PAINT_NONE, "%s", whole(field_number(flow, shown->key)).text);
		break;
	case WAIT:
		table_add(table, PAINT_NONE, "%s", duration(field_number(flow, shown->key)).text);
		break;
	case CONTAINER:
		table_add(table, PAINT_NONE, "%.*s", *text ? container_columns(text) : 1,
			  *text ? text : "-");
		break;
	default:
		table_add(table, shown->kind == STATE ? paint_of(text) : PAINT_NONE, "%s",
			  *text ? text : "-");
	}
}

static bool any_has(struct json_object *flows, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (*field_text(json_object_array_get_idx(flows, i), key))
			return true;
	return false;
}

static void print_flows(struct json_object *flows, size_t n, FILE *out, const struct style *style)
{
	const struct shown *shown[N_SHOWN];
	struct column columns[N_SHOWN];
	struct table *table;
	size_t n_shown = 0;

	for (size_t i = 0; i < N_SHOWN; i++) {
		if (SHOWN[i].is_optional && !any_has(flows, n, SHOWN[i].key))
			continue;
		columns[n_shown] = SHOWN[i].column;
		shown[n_shown++] = &SHOWN[i];
	}
	table = table_new(columns, n_shown);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n_shown; j++)
			add_cell(table, json_object_array_get_idx(flows, i), shown[j]);
	table_print(table, out, style);
	table_free(table);
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

	if (!n) {
		fputs("No flow: no program is connected to a provider.\n", out);
		return;
	}
	print_flows(flows, n, out, style);
	print_reasons(flows, n, out);
}

int verb_flows(const struct cli *cli, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return view_show(cli, "/v1/flows", view_flows);
}
