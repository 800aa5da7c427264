// sluice limits: each token bucket, how full it is, and how fast it fills.
#include <json-c/json.h>
#include "cli/cli.h"
#include "cli/field.h"
#include "cli/table.h"
#include "cli/view.h"

static const struct column columns[] = {
	{"POLICY", LEFT},    {"KEY", LEFT},   {"RESOURCE", LEFT}, {"LEVEL", RIGHT},
	{"CAPACITY", RIGHT}, {"FULL", RIGHT}, {"FILL/S", RIGHT},  {"QUEUED", RIGHT},
};

static void add_bucket(struct table *table, struct json_object *bucket)
{
	double level = field_number(bucket, "level");
	double capacity = field_number(bucket, "capacity");
	double queued = field_number(bucket, "queued");
	double percent = capacity > 0 ? level / capacity * 100 : 0;
	const char *key = field_text(bucket, "key");

	table_add(table, PAINT_NONE, "%s", field_text(bucket, "policy"));
	table_add(table, PAINT_NONE, "%s", *key ? key : "-");
	table_add(table, PAINT_NONE, "%s", field_text(bucket, "resource"));
	table_add(table, queued > 0 ? PAINT_WARN : PAINT_NONE, "%s", whole(level).text);
	table_add(table, PAINT_NONE, "%s", whole(capacity).text);
	table_add(table, PAINT_NONE, "%.0f %%", percent);
	table_add(table, PAINT_NONE, "%.2f", field_number(bucket, "fill_per_s"));
	table_add(table, PAINT_NONE, "%s", whole(queued).text);
}

void view_limits(struct json_object *limits, FILE *out, const struct style *style)
{
	size_t n =
		json_object_is_type(limits, json_type_array) ? json_object_array_length(limits) : 0;
	struct table *table;

	if (!n) {
		fputs("No limit is in use: the policy names none, or no request has met one yet.\n",
		      out);
		return;
	}
	table = table_new(columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < n; i++)
		add_bucket(table, json_object_array_get_idx(limits, i));
	table_print(table, out, style);
	table_free(table);
}

int verb_limits(const struct cli *cli, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return view_show(cli, "/v1/limits", view_limits);
}
