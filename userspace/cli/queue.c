// sluice queue: who waits, in the order in which they will leave.
#include <json-c/json.h>
#include "cli/cli.h"
#include "cli/field.h"
#include "cli/table.h"
#include "cli/view.h"

static const struct column columns[] = {
	{"POS", RIGHT},      {"TEAM", LEFT},    {"MODEL", LEFT},    {"WORKLOAD", LEFT},
	{"PRIORITY", RIGHT}, {"TOKENS", RIGHT}, {"WAITING", RIGHT}, {"LEAVES IN", RIGHT},
	{"REQUEST", RIGHT},  {"FLOW", RIGHT},   {"PID", RIGHT},     {"COMM", LEFT},
};

static const char *or_dash(const char *text)
{
	return *text ? text : "-";
}

static void add_request(struct table *table, struct json_object *request)
{
	bool known = field_present(request, "eta_ms");

	table_add(table, PAINT_NONE, "%s", field_text(request, "position"));
	table_add(table, PAINT_NONE, "%s", or_dash(field_text(request, "team")));
	table_add(table, PAINT_NONE, "%s", or_dash(field_text(request, "model")));
	table_add(table, PAINT_NONE, "%s", or_dash(field_text(request, "workload")));
	table_add(table, PAINT_NONE, "%g", field_number(request, "priority"));
	table_add(table, PAINT_NONE, "%s", whole(field_number(request, "cost")).text);
	table_add(table, PAINT_NONE, "%s", duration(field_number(request, "waiting_ms")).text);
	table_add(table, PAINT_NONE, "%s",
		  known ? duration(field_number(request, "eta_ms")).text : "unknown");
	table_add(table, PAINT_NONE, "%s", or_dash(field_text(request, "request")));
	table_add(table, PAINT_NONE, "%s", field_text(request, "flow"));
	table_add(table, PAINT_NONE, "%s", field_text(request, "pid"));
	table_add(table, PAINT_NONE, "%s", field_text(request, "comm"));
}

void view_queue(struct json_object *queue, FILE *out, const struct style *style)
{
	size_t n =
		json_object_is_type(queue, json_type_array) ? json_object_array_length(queue) : 0;
	struct table *table;

	if (!n) {
		fputs("No request waits.\n", out);
		return;
	}
	table = table_new(columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < n; i++)
		add_request(table, json_object_array_get_idx(queue, i));
	table_print(table, out, style);
	table_free(table);
}

int verb_queue(const struct cli *cli, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return view_show(cli, "/v1/queue", view_queue);
}
