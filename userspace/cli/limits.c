// sluice limits: each token bucket, how full it is, how fast it fills, and whether it is shut.
#include <json-c/json.h>
#include "cli/amount.h"
#include "cli/cli.h"
#include "cli/field.h"
#include "cli/table.h"
#include "cli/view.h"

static const struct column columns[] = {
	{"POLICY", LEFT}, {"KEY", LEFT},       {"RESOURCE", LEFT},
	{"LEVEL", RIGHT}, {"CAPACITY", RIGHT}, {"FULL", RIGHT},
	{"RATE", RIGHT},  {"QUEUED", RIGHT},   {"SHUT", LEFT},
};

static void add_bucket(struct table *table, struct json_object *bucket)
{
	double capacity = field_number(bucket, "capacity");
	double queued = field_number(bucket, "queued");
	const char *key = field_text(bucket, "key");
	struct text shut_for = shut(bucket);

	table_add(table, PAINT_NONE, "%s", field_text(bucket, "policy"));
	table_add(table, PAINT_NONE, "%s", *key ? key : "-");
	table_add(table, PAINT_NONE, "%s", field_text(bucket, "resource"));
	table_add(table, queued > 0 ? PAINT_WARN : PAINT_NONE, "%s", amount(bucket, "level").text);
	table_add(table, PAINT_NONE, "%s", amount(bucket, "capacity").text);
	if (capacity > 0)
		table_add(table, PAINT_NONE, "%.0f %%",
			  field_number(bucket, "level") / capacity * 100);
	else
		table_add(table, PAINT_NONE, "-");
	table_add(table, PAINT_NONE, "%s", rate(bucket).text);
	table_add(table, PAINT_NONE, "%s", whole(queued).text);
	table_add(table, *shut_for.text ? PAINT_BAD : PAINT_NONE, "%s", shut_for.text);
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
