// sluice status: is it enforcing, what is attached where, what has it done, what did it lose.
#include <json-c/json.h>
#include "cli/cli.h"
#include "cli/field.h"
#include "cli/table.h"
#include "cli/view.h"

static const struct column pairs[] = {{0}, {0}};
static const struct column hook_columns[] = {{"HOOK", LEFT}, {"ATTACHED", LEFT}};
static const struct column library_columns[] = {
	{"LIBRARY", LEFT}, {"PROBES", LEFT}, {"PROCESSES", RIGHT}, {"RANDOM AT", RIGHT}};

// One number of a group, "12".
static struct text number(struct json_object *object, const char *key)
{
	return whole(field_number(object, key));
}

static void add_enforcing(struct table *table, struct json_object *status)
{
	const char *why = field_text(status, "why_not_enforcing");
	bool enforcing = field_bool(status, "enforcing");

	table_add(table, PAINT_NONE, "enforcing");
	if (enforcing)
		table_add(table, PAINT_GOOD, "yes");
	else
		table_add(table, PAINT_BAD, "no%s%s", *why ? ": " : "", why);
	table_add(table, PAINT_NONE, "mode");
	table_add(table, PAINT_NONE, "%s", field_text(status, "mode"));
	table_add(table, PAINT_NONE, "sluiced");
	table_add(table, PAINT_NONE, "%s, up %s", field_text(status, "version"),
		  duration(field_number(status, "uptime_s") * 1000).text);
	table_add(table, PAINT_NONE, "config");
	table_add(table, PAINT_NONE, "%s", field_text(status, "config"));
}

// What older daemons do not tell of is not shown.
static void add_flows(struct table *table, struct json_object *status)
{
	char older[64] = "";

	if (field_present(status, "older"))
		snprintf(older, sizeof(older), ", %s older than sluiced",
			 number(status, "older").text);
	table_add(table, PAINT_NONE, "flows");
	table_add(table, PAINT_NONE, "%s of %s processes, %s opaque%s",
		  number(status, "flows").text, number(status, "processes").text,
		  number(status, "opaque").text, older);
}

static void add_memory(struct table *table, struct json_object *status)
{
	char reading[64] = "";

	if (field_present(status, "memory_bytes"))
		snprintf(reading, sizeof(reading), ", %s of it for plaintext",
			 size_of_bytes(field_number(status, "memory_bytes")).text);
	table_add(table, PAINT_NONE, "memory");
	table_add(table, PAINT_NONE, "%s%s", size_of_bytes(field_number(status, "rss_bytes")).text,
		  reading);
}

static void add_requests(struct table *table, struct json_object *status)
{
	table_add(table, PAINT_NONE, "requests");
	table_add(table, PAINT_NONE, "%s queued, %s admitted, %s denied, %s timed out",
		  number(status, "queued").text, number(status, "admitted").text,
		  number(status, "denied").text, number(status, "timed_out").text);
	if (!field_present(status, "opaque_governed"))
		return;
	table_add(table, PAINT_NONE, "%s", "");
	table_add(table, PAINT_NONE, "%s opaque, %s let go over the limit",
		  number(status, "opaque_governed").text, number(status, "let_go_over_limit").text);
}

static void add_work(struct table *table, struct json_object *status)
{
	struct json_object *push = field_object(status, "push");
	struct json_object *kernel = field_object(status, "kernel");
	double failed = field_number(push, "failed");

	add_flows(table, status);
	add_requests(table, status);
	table_add(table, PAINT_NONE, "released");
	table_add(table, failed > 0 ? PAINT_BAD : PAINT_NONE,
		  "%s through the socket, %s by the kernel's iterator, %s failed",
		  number(push, "pidfd").text, number(push, "iter").text, whole(failed).text);
	table_add(table, PAINT_NONE, "kernel");
	table_add(table, PAINT_NONE, "%s segments held, %s ACK twins, %s probe hits",
		  number(kernel, "held_segments").text, number(kernel, "twins").text,
		  number(kernel, "probe_hits").text);
	add_memory(table, status);
}

// Each cause that lost something is a line.
static void add_lost(struct table *table, struct json_object *status)
{
	struct json_object *lost = field_object(status, "lost_events");
	bool any = false;

	if (lost) {
		json_object_object_foreach (lost, cause, count) {
			if (!(json_object_get_double(count) > 0))
				continue;
			table_add(table, PAINT_NONE, "%s", any ? "" : "lost events");
			table_add(table, PAINT_BAD, "%s %s", json_object_get_string(count), cause);
			any = true;
		}
	}
	if (!any) {
		table_add(table, PAINT_NONE, "lost events");
		table_add(table, PAINT_NONE, "none");
	}
}

static void print_hooks(struct json_object *status, FILE *out, const struct style *style)
{
	size_t n = field_count(status, "hooks");
	struct table *table = table_new(hook_columns, 2);

	for (size_t i = 0; i < n; i++) {
		struct json_object *hook = field_element(status, "hooks", i);
		bool attached = field_bool(hook, "attached");

		table_add(table, PAINT_NONE, "%s", field_text(hook, "name"));
		table_add(table, attached ? PAINT_GOOD : PAINT_BAD, attached ? "yes" : "no");
	}
	fputc('\n', out);
	if (n)
		table_print(table, out, style);
	else
		fputs("No hook is attached.\n", out);
	table_free(table);
}

static void print_libraries(struct json_object *status, FILE *out, const struct style *style)
{
	size_t n = field_count(status, "libraries");
	struct table *table = table_new(library_columns, 4);

	for (size_t i = 0; i < n; i++) {
		struct json_object *library = field_element(status, "libraries", i);

		table_add(table, PAINT_NONE, "%s", field_text(library, "path"));
		table_add(table, PAINT_NONE, "per %s", field_text(library, "mode"));
		table_add(table, PAINT_NONE, "%s", number(library, "processes").text);
		if (field_present(library, "random_offset"))
			table_add(table, PAINT_NONE, "0x%llx",
				  (unsigned long long)field_number(library, "random_offset"));
		else
			table_add(table, PAINT_NONE, "unknown");
	}
	fputc('\n', out);
	if (n)
		table_print(table, out, style);
	else
		fputs("No TLS library is probed: no program has connected to a provider.\n", out);
	table_free(table);
}

void view_status(struct json_object *status, FILE *out, const struct style *style)
{
	struct table *table = table_new(pairs, 2);

	add_enforcing(table, status);
	add_work(table, status);
	add_lost(table, status);
	table_print(table, out, style);
	table_free(table);
	print_hooks(status, out, style);
	print_libraries(status, out, style);
}

int verb_status(const struct cli *cli, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return view_show(cli, "/v1/status", view_status);
}
