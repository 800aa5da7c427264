// The screen, from top to bottom: what the daemon is doing; who waits, a bar for each team; how
// full each bucket is; the flows, busy ones first, in what room is left.
//
// Each section is a table printed into memory and copied to the screen line by line: the same
// code lays out and cleans what the other verbs print.
#include "cli/top_screen.h"

#include <curses.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cli/amount.h"
#include "cli/cli.h"
#include "cli/field.h"
#include "cli/snapshot.h"
#include "cli/table.h"
#include "cli/view.h"
#include "base/cleanup.h"

#define BAR_COLUMNS 30
#define NO_TEAM "(no team)"

struct bar {
	char text[BAR_COLUMNS * 3 + 1];
};

struct screen {
	struct snapshot now;
	bool valid;            // `now` holds something
	double admitted_per_s; // since the snapshot before; < 0: not known yet
	double taken_s;
	int row;
};

static double clock_s(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static size_t length_of(struct json_object *list)
{
	return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

static struct bar bar_of(double fraction, bool with_rest)
{
	bool wide = MB_CUR_MAX > 1;
	const char *full = wide ? "█" : "#", *rest = wide ? "░" : ".";
	struct bar bar = {""};
	char *to = bar.text;
	int filled;

	fraction = fraction > 0 ? fraction < 1 ? fraction : 1 : 0;
	filled = (int)(fraction * BAR_COLUMNS + 0.5);
	for (int i = 0; i < BAR_COLUMNS; i++) {
		if (i < filled)
			to = stpcpy(to, full);
		else if (with_rest)
			to = stpcpy(to, rest);
	}
	return bar;
}

// Copies at most `rows` lines to the screen, the first with `first`.
static void show_text(struct screen *screen, char *text, int rows, attr_t first_attribute)
{
	char *rest = NULL;
	attr_t attribute = first_attribute;

	for (char *line = strtok_r(text, "\n", &rest); line && rows-- && screen->row < LINES;
	     line = strtok_r(NULL, "\n", &rest)) {
		attrset((int)attribute);
		mvaddstr(screen->row++, 0, line);
		attrset(A_NORMAL);
		attribute = A_NORMAL;
	}
}

static void show_table(struct screen *screen, struct table *table, int rows, attr_t first)
{
	CLEANUP_FREE char *text = NULL;
	struct style style = {.width = COLS};
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out) {
		table_print(table, out, &style);
		if (fclose(out) == 0)
			show_text(screen, text, rows, first);
	}
	table_free(table);
}

// A line of its own text.
static void show_line(struct screen *screen, const char *text, attr_t attribute)
{
	static const struct column one[] = {{0}};
	struct table *table = table_new(one, 1);

	table_add(table, PAINT_NONE, "%s", text);
	show_table(screen, table, 1, attribute);
}

static void show_summary(struct screen *screen)
{
	struct json_object *status = screen->now.views[SNAPSHOT_STATUS].json;
	bool enforcing = field_bool(status, "enforcing");
	char text[512], rate[32] = "";

	snprintf(text, sizeof(text),
		 "sluice  %s%s%s  mode %s  up %s  %s flows of %s processes, %s opaque",
		 enforcing ? "enforcing" : "NOT ENFORCING", enforcing ? "" : ": ",
		 enforcing ? "" : field_text(status, "why_not_enforcing"),
		 field_text(status, "mode"), duration(field_number(status, "uptime_s") * 1000).text,
		 whole(field_number(status, "flows")).text,
		 whole(field_number(status, "processes")).text,
		 whole(field_number(status, "opaque")).text);
	show_line(screen, text, A_BOLD | COLOR_PAIR(enforcing ? PAINT_GOOD : PAINT_BAD));
	if (screen->admitted_per_s >= 0)
		snprintf(rate, sizeof(rate), " (%.1f/s)", screen->admitted_per_s);
	snprintf(text, sizeof(text),
		 "%s queued, %s admitted%s, %s denied, %s timed out   (q quits)",
		 whole(field_number(status, "queued")).text,
		 whole(field_number(status, "admitted")).text, rate,
		 whole(field_number(status, "denied")).text,
		 whole(field_number(status, "timed_out")).text);
	show_line(screen, text, A_NORMAL);
	screen->row++;
}

static const char *team_of(struct json_object *request)
{
	const char *team = field_text(request, "team");

	return *team ? team : NO_TEAM;
}

// How many of the team wait, and the longest of their waits.
static size_t count_waiting(struct json_object *queue, const char *team, double *ret_longest_ms)
{
	size_t count = 0;

	*ret_longest_ms = 0;
	for (size_t i = 0; i < length_of(queue); i++) {
		struct json_object *request = json_object_array_get_idx(queue, i);
		double waiting_ms = field_number(request, "waiting_ms");

		if (strcmp(team_of(request), team) != 0)
			continue;
		count++;
		if (waiting_ms > *ret_longest_ms)
			*ret_longest_ms = waiting_ms;
	}
	return count;
}

static void add_team(struct table *table, struct json_object *queue, const char *team)
{
	double longest_ms;
	size_t waiting = count_waiting(queue, team, &longest_ms);
	double all = (double)length_of(queue);

	table_add(table, PAINT_NONE, "%s", team);
	table_add(table, PAINT_NONE, "%zu", waiting);
	table_add(table, PAINT_NONE, "%s", waiting ? duration(longest_ms).text : "");
	table_add(table, PAINT_NONE, "%s", bar_of(all ? (double)waiting / all : 0, false).text);
}

static void show_queue(struct screen *screen)
{
	static const struct column columns[] = {{"TEAM", LEFT},
						{"QUEUED", RIGHT},
						{"LONGEST", RIGHT},
						{"SHARE OF THE QUEUE", LEFT}};
	struct json_object *teams = screen->now.views[SNAPSHOT_TEAMS].json;
	struct json_object *queue = screen->now.views[SNAPSHOT_QUEUE].json;
	struct table *table = table_new(columns, 4);
	double longest_ms;
	int rows = LINES / 4 > 3 ? LINES / 4 : 3;

	for (size_t i = 0; i < length_of(teams); i++)
		add_team(table, queue, field_text(json_object_array_get_idx(teams, i), "name"));
	if (count_waiting(queue, NO_TEAM, &longest_ms) || !length_of(teams))
		add_team(table, queue, NO_TEAM);
	show_table(screen, table, rows, A_BOLD);
	screen->row++;
}

static void show_limits(struct screen *screen)
{
	static const struct column columns[] = {
		{"POLICY", LEFT}, {"KEY", LEFT}, {"RESOURCE", LEFT}, {"QUEUED", RIGHT},
		{"LEVEL", RIGHT}, {"OF", RIGHT}, {"RATE", RIGHT},    {"", LEFT}};
	struct json_object *limits = screen->now.views[SNAPSHOT_LIMITS].json;
	struct table *table;

	if (!length_of(limits))
		return;
	table = table_new(columns, 8);
	for (size_t i = 0; i < length_of(limits); i++) {
		struct json_object *bucket = json_object_array_get_idx(limits, i);
		double level = field_number(bucket, "level");
		double capacity = field_number(bucket, "capacity");
		struct text shut_for = shut(bucket);

		table_add(table, PAINT_NONE, "%s", field_text(bucket, "policy"));
		table_add(table, PAINT_NONE, "%s", field_text(bucket, "key"));
		table_add(table, PAINT_NONE, "%s", field_text(bucket, "resource"));
		table_add(table, PAINT_NONE, "%s", whole(field_number(bucket, "queued")).text);
		table_add(table, PAINT_NONE, "%s", amount(bucket, "level").text);
		table_add(table, PAINT_NONE, "%s", amount(bucket, "capacity").text);
		table_add(table, PAINT_NONE, "%s", rate(bucket).text);
		if (*shut_for.text)
			table_add(table, PAINT_NONE, "shut %s", shut_for.text);
		else
			table_add(table, PAINT_NONE, "%s",
				  bar_of(capacity > 0 ? level / capacity : 0, true).text);
	}
	show_table(screen, table, LINES / 3 > 4 ? LINES / 3 : 4, A_BOLD);
	screen->row++;
}

// Those with a request under way come first. A new list; NULL: out of memory.
static struct json_object *busy_first(struct json_object *flows)
{
	struct json_object *sorted = json_object_new_array();

	for (int idle = 0; sorted && idle <= 1; idle++) {
		for (size_t i = 0; i < length_of(flows); i++) {
			struct json_object *flow = json_object_array_get_idx(flows, i);
			const char *state = field_text(flow, "state");
			bool is_idle = !strcmp(state, "idle") || !strcmp(state, "opaque");

			if (is_idle == (idle == 1))
				json_object_array_add(sorted, json_object_get(flow));
		}
	}
	return sorted;
}

static void show_flows(struct screen *screen)
{
	struct json_object *flows = busy_first(screen->now.views[SNAPSHOT_FLOWS].json);
	CLEANUP_FREE char *text = NULL;
	struct style style = {.width = COLS};
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out) {
		view_flows(flows, out, &style);
		if (fclose(out) == 0)
			show_text(screen, text, LINES, length_of(flows) ? A_BOLD : A_NORMAL);
	}
	json_object_put(flows);
}

static void draw(struct screen *screen)
{
	erase();
	screen->row = 0;
	show_summary(screen);
	show_queue(screen);
	show_limits(screen);
	show_flows(screen);
	refresh();
}

static void draw_error(const struct cli *cli, int error)
{
	char text[512];

	client_explain(cli, error, text, sizeof(text));
	erase();
	mvaddstr(0, 0, text);
	refresh();
}

static int update(const struct cli *cli, struct screen *screen)
{
	struct snapshot now;
	double now_s = clock_s();
	double before = screen->valid
				? field_number(screen->now.views[SNAPSHOT_STATUS].json, "admitted")
				: 0;
	int error = snapshot_take(cli, SNAPSHOT_VIEWS, &now);

	if (error)
		return error;
	screen->admitted_per_s = -1;
	if (screen->valid) {
		double after = field_number(now.views[SNAPSHOT_STATUS].json, "admitted");

		if (after >= before && now_s > screen->taken_s)
			screen->admitted_per_s = (after - before) / (now_s - screen->taken_s);
		snapshot_clear(&screen->now);
	}
	screen->now = now;
	screen->valid = true;
	screen->taken_s = now_s;
	return 0;
}

// Waits until then; redraws meanwhile if the window changes. True: q was typed.
static bool wait_for_key(struct screen *screen, bool drawn, double until_s)
{
	for (double left_s = until_s - clock_s(); left_s > 0; left_s = until_s - clock_s()) {
		int key;

		timeout((int)(left_s * 1000) + 1);
		key = getch();
		if (key == 'q' || key == 'Q')
			return true;
		if (key == KEY_RESIZE && drawn)
			draw(screen);
		if (key == ERR)
			napms(1); // at once only if the terminal has gone: do not spin
	}
	return false;
}

static void start_curses(void)
{
	const char *no_color = getenv("NO_COLOR");

	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	if (has_colors() && !(no_color && *no_color)) {
		start_color();
		use_default_colors();
		init_pair(PAINT_GOOD, COLOR_GREEN, -1);
		init_pair(PAINT_BAD, COLOR_RED, -1);
	}
}

int top_screen(const struct cli *cli)
{
	struct screen screen = {0};
	SCREEN *terminal;
	int error = update(cli, &screen);

	if (error)
		return client_failed(cli, error);
	terminal = newterm(NULL, stdout, stdin);
	if (!terminal) {
		snapshot_clear(&screen.now);
		return -ENOTTY;
	}
	start_curses();
	for (long shown = 1;; shown++) {
		if (error)
			draw_error(cli, error);
		else
			draw(&screen);
		if (shown == cli->count ||
		    wait_for_key(&screen, !error, clock_s() + cli->interval_s))
			break;
		error = update(cli, &screen);
	}
	endwin();
	delscreen(terminal);
	snapshot_clear(&screen.now);
	return CLI_OK;
}
