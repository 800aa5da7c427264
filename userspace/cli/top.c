// sluice top: everything, again and again. On a terminal a screen (top_screen.c); anywhere else a
// line each time, for a log or a pipe.
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "cli/amount.h"
#include "cli/cli.h"
#include "cli/field.h"
#include "cli/snapshot.h"
#include "cli/table.h"
#include "cli/top_screen.h"
#include "base/cleanup.h"

#define LINE_VIEWS (SNAPSHOT_LIMITS + 1)

static void print_json_line(const struct snapshot *now)
{
	const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
	static const char *const names[LINE_VIEWS] = {"status", "queue", "limits"};

	for (size_t i = 0; i < LINE_VIEWS; i++)
		printf("%s\"%s\":%s", i ? "," : "{", names[i],
		       json_object_to_json_string_ext(now->views[i].json, flags));
	puts("}");
}

static void print_bucket(struct json_object *bucket)
{
	const char *key = field_text(bucket, "key");
	CLEANUP_FREE char *safe_policy = printable(field_text(bucket, "policy"));
	CLEANUP_FREE char *safe_key = printable(key);

	printf("  %s%s%s %s/%s", safe_policy ? safe_policy : "?", *key ? ":" : "",
	       safe_key ? safe_key : "?", amount(bucket, "level").text,
	       amount(bucket, "capacity").text);
}

// "03:04:05  queued 5  admitted 1203  denied 2  tokens  gpt-4 1234/40000"
static void print_plain_line(const struct snapshot *now)
{
	struct json_object *status = now->views[SNAPSHOT_STATUS].json;
	struct json_object *limits = now->views[SNAPSHOT_LIMITS].json;
	size_t n =
		json_object_is_type(limits, json_type_array) ? json_object_array_length(limits) : 0;
	time_t seconds = time(NULL);
	bool any = false;
	struct tm local;
	char clock[16];

	localtime_r(&seconds, &local);
	strftime(clock, sizeof(clock), "%H:%M:%S", &local);
	printf("%s  queued %s  admitted %s  denied %s", clock,
	       whole(field_number(status, "queued")).text,
	       whole(field_number(status, "admitted")).text,
	       whole(field_number(status, "denied")).text);
	for (size_t i = 0; i < n; i++) {
		struct json_object *bucket = json_object_array_get_idx(limits, i);

		if (strcmp(field_text(bucket, "resource"), "tokens") != 0)
			continue;
		if (!any)
			fputs("  tokens", stdout);
		any = true;
		print_bucket(bucket);
	}
	fputc('\n', stdout);
}

static void add_seconds(struct timespec *time, double s)
{
	long long ns = time->tv_nsec + (long long)(s * 1e9);

	time->tv_sec += ns / 1000000000;
	time->tv_nsec = ns % 1000000000;
}

static int print_lines(const struct cli *cli)
{
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	for (long i = 0; !cli->count || i < cli->count; i++) {
		struct snapshot now;
		int error;

		if (i) {
			add_seconds(&next, cli->interval_s);
			while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) ==
			       EINTR)
				;
		}
		error = snapshot_take(cli, LINE_VIEWS, &now);
		if (error)
			return client_failed(cli, error);
		if (cli->json)
			print_json_line(&now);
		else
			print_plain_line(&now);
		snapshot_clear(&now);
		if (fflush(stdout))
			return CLI_FAILED; // main says so
	}
	return CLI_OK;
}

int verb_top(const struct cli *cli, int argc, char **argv)
{
	int result = -ENOTTY;

	(void)argc;
	(void)argv;
	if (!cli->json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		result = top_screen(cli);
	return result == -ENOTTY ? print_lines(cli) : result;
}
