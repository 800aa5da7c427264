// The same for people: how the limits were used, and what that meant to each workload of each team.
#include <inttypes.h>
#include "cli/field.h"
#include "cli/simulate_print.h"

#define NS_PER_MS 1e6

static const struct column limit_columns[] = {
	{"LIMIT", LEFT},    {"RESOURCE", LEFT},   {"INTERVAL", RIGHT},
	{"OFFERED", RIGHT}, {"ACCEPTED", RIGHT},  {"DENIED", RIGHT},
	{"NO KEY", RIGHT},  {"SATURATED", RIGHT}, {"USED", RIGHT},
};
static const struct column group_columns[] = {
	{"WORKLOAD", LEFT},   {"TEAM", LEFT},     {"REQUESTS", RIGHT}, {"ADMITTED", RIGHT},
	{"DENIED", RIGHT},    {"TIMEOUT", RIGHT}, {"GAVE UP", RIGHT},  {"WAIT P50", RIGHT},
	{"P95", RIGHT},       {"P99", RIGHT},     {"MAX", RIGHT},      {"ON TIME", RIGHT},
	{"PREEMPTED", RIGHT}, {"DELAYED", RIGHT},
};

#define COUNT(columns) (sizeof(columns) / sizeof((columns)[0]))

static const char *amount(char text[32], enum resource resource, double value)
{
	snprintf(text, 32, resource == RESOURCE_COST ? "%.2f" : "%.0f", value);
	return text;
}

static void add_limit(struct table *table, const struct limit_view *view)
{
	const struct limit *limit = view->limit;
	char offered[32], accepted[32];

	table_add(table, PAINT_NONE, "%s", limit->name);
	table_add(table, PAINT_NONE, "%s", resource_name(limit->resource));
	table_add(table, PAINT_NONE, "%s", duration((double)limit->interval_ns / NS_PER_MS).text);
	table_add(table, PAINT_NONE, "%s", amount(offered, limit->resource, view->offered));
	table_add(table, PAINT_NONE, "%s", amount(accepted, limit->resource, view->accepted));
	table_add(table, view->n_denied ? PAINT_WARN : PAINT_NONE, "%" PRIu64, view->n_denied);
	table_add(table, PAINT_NONE, "%" PRIu64, view->n_without_key);
	table_add(table, view->saturated_ns ? PAINT_WARN : PAINT_NONE, "%s",
		  duration((double)view->saturated_ns / NS_PER_MS).text);
	if (view->saturated_filled > 0)
		table_add(table, PAINT_NONE, "%.1f %%",
			  view->saturated_accepted / view->saturated_filled * 100);
	else
		table_add(table, PAINT_NONE, "-");
}

static void add_wait(struct table *table, const struct summary_group *group, double q)
{
	if (group->count[FATE_ADMITTED])
		table_add(table, PAINT_NONE, "%s",
			  duration((double)summary_wait_ns(group, q) / NS_PER_MS).text);
	else
		table_add(table, PAINT_NONE, "-");
}

static void add_count(struct table *table, enum paint paint, uint64_t count)
{
	table_add(table, count ? paint : PAINT_NONE, "%" PRIu64, count);
}

static void add_group(struct table *table, const struct summary_group *group)
{
	table_add(table, PAINT_NONE, "%s", group->workload);
	table_add(table, PAINT_NONE, "%s", group->team ? group->team : "-");
	add_count(table, PAINT_NONE, summary_count(group));
	add_count(table, PAINT_NONE, group->count[FATE_ADMITTED]);
	add_count(table, PAINT_WARN, group->count[FATE_DENIED]);
	add_count(table, PAINT_WARN, group->count[FATE_TIMED_OUT]);
	add_count(table, PAINT_NONE, group->count[FATE_CANCELLED]);
	add_wait(table, group, 0.5);
	add_wait(table, group, 0.95);
	add_wait(table, group, 0.99);
	add_wait(table, group, 1);
	add_count(table, PAINT_NONE, group->on_time);
	add_count(table, PAINT_NONE, group->preempted);
	add_count(table, PAINT_NONE, group->delayed);
}

void simulate_print_tables(FILE *out, const struct style *style, const struct simulated *simulated)
{
	const struct summary *summary = &simulated->summary;
	struct table *table;

	fprintf(out, "%" PRIu64 " request%s in %s\n", summary->n_requests,
		summary->n_requests == 1 ? "" : "s",
		duration((double)simulated->duration_ns / NS_PER_MS).text);
	if (simulated->n_limits) {
		table = table_new(limit_columns, COUNT(limit_columns));
		for (size_t i = 0; i < simulated->n_limits; i++)
			add_limit(table, &simulated->limits[i]);
		fputc('\n', out);
		table_print(table, out, style);
		table_free(table);
	}
	if (summary->n_groups) {
		table = table_new(group_columns, COUNT(group_columns));
		for (size_t i = 0; i < summary->n_groups; i++)
			add_group(table, summary->groups[i]);
		fputc('\n', out);
		table_print(table, out, style);
		table_free(table);
	}
}
