// See needs.h.
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "cli/amount.h"
#include "cli/field.h"
#include "cli/needs.h"

static const struct column columns[] = {
	{"LIMIT", LEFT},     {"KEY", LEFT},      {"RESOURCE", LEFT},  {"STATE", LEFT},
	{"NEEDS", RIGHT},    {"LEVEL", RIGHT},   {"OF", RIGHT},       {"RATE", RIGHT},
	{"READY IN", RIGHT}, {"WORKLOAD", LEFT}, {"PRIORITY", RIGHT},
};

// How people call the states, and what they mean in a sentence.
static const struct {
	const char *name, *shown, *sentence;
	enum paint paint;
} states[] = {
	{"admits", "admits", NULL, PAINT_GOOD},
	{"short", "too little", "%s has too few %s left", PAINT_WARN},
	{"shut", "shut", "%s is shut: the provider has refused %s", PAINT_BAD},
	{"claimed", "others first", "%s has others waiting for %s before it", PAINT_WARN},
	{"denies", "denies", "%s has too few %s left", PAINT_BAD},
	{"forbids", "forbids", "%s forbids it", PAINT_BAD},
	{"no_key", "not limited", NULL, PAINT_NONE},
};

#define N_STATES (sizeof(states) / sizeof(states[0]))

static size_t state_of(struct json_object *need)
{
	const char *name = field_text(need, "state");
	size_t i = 0;

	while (i < N_STATES && strcmp(states[i].name, name) != 0)
		i++;
	return i;
}

static void add_need(struct table *table, struct json_object *need)
{
	size_t state = state_of(need);
	bool is_known = state < N_STATES;
	const char *key = field_text(need, "key"), *workload = field_text(need, "workload");
	bool has_ready = field_present(need, "ready_ms");

	table_add(table, PAINT_NONE, "%s", field_text(need, "policy"));
	table_add(table, PAINT_NONE, "%s", *key ? key : "-");
	table_add(table, PAINT_NONE, "%s", field_text(need, "resource"));
	table_add(table, is_known ? states[state].paint : PAINT_NONE, "%s",
		  is_known ? states[state].shown : field_text(need, "state"));
	table_add(table, PAINT_NONE, "%s", amount(need, "amount").text);
	table_add(table, PAINT_NONE, "%s", amount(need, "level").text);
	table_add(table, PAINT_NONE, "%s", amount(need, "capacity").text);
	table_add(table, PAINT_NONE, "%s", rate(need).text);
	table_add(table, PAINT_NONE, "%s",
		  has_ready ? duration(field_number(need, "ready_ms")).text : "unknown");
	table_add(table, PAINT_NONE, "%s", *workload ? workload : "-");
	table_add(table, PAINT_NONE, "%g", field_number(need, "priority"));
}

void needs_print(struct json_object *answer, FILE *out, const struct style *style)
{
	size_t n = field_count(answer, "needs");
	struct table *table;

	if (!n) {
		fputs("No limit of the policy is for it.\n", out);
		return;
	}
	table = table_new(columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < n; i++)
		add_need(table, field_element(answer, "needs", i));
	table_print(table, out, style);
	table_free(table);
}

// Of those that hold it up, the one that takes longest; NULL: none does.
static struct json_object *worst(struct json_object *answer)
{
	struct json_object *worst = NULL;
	double longest = -1;

	for (size_t i = 0; i < field_count(answer, "needs"); i++) {
		struct json_object *need = field_element(answer, "needs", i);
		double ready =
			field_present(need, "ready_ms") ? field_number(need, "ready_ms") : 1e18;
		size_t state = state_of(need);

		if (state < N_STATES && states[state].sentence && ready > longest) {
			worst = need;
			longest = ready;
		}
	}
	return worst;
}

static void print_reason(struct json_object *need, FILE *out)
{
	const char *resource = field_text(need, "resource");
	CLEANUP_FREE char *policy = printable(field_text(need, "policy"));

	fputs(": ", out);
	if (!strcmp(resource, "cost"))
		resource = "dollars";
	fprintf(out, states[state_of(need)].sentence, policy ? policy : "?", resource);
}

void verdict_print(struct json_object *answer, FILE *out)
{
	const char *verdict = field_text(answer, "verdict");
	CLEANUP_FREE char *policy = printable(field_text(answer, "policy"));
	struct json_object *need = worst(answer);

	if (!strcmp(verdict, "admitted")) {
		fputs("would be admitted now", out);
	} else if (!strcmp(verdict, "denied")) {
		fprintf(out, "would be denied by %s", policy ? policy : "?");
	} else if (field_present(answer, "eta_ms")) {
		fprintf(out, "would wait %s", duration(field_number(answer, "eta_ms")).text);
	} else {
		fputs("would wait, nobody knows how long", out);
	}
	if (need && strcmp(verdict, "admitted") != 0)
		print_reason(need, out);
	fputc('\n', out);
}
