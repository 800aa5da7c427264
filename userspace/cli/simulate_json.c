// A million lines of JSON are written here, so nothing is allocated, and whole numbers and times,
// which are nearly all, are not printed by printf(3). The file is used by one thread only.
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include "cli/simulate_print.h"

#define NS_PER_US 1000
#define US_PER_S 1000000

static void put(FILE *out, const char *text)
{
	fputs_unlocked(text, out);
}

// A string in quotes. What must be escaped in JSON is a quote, a backslash, a control character.
static void put_text(FILE *out, const char *text)
{
	putc_unlocked('"', out);
	for (;;) {
		size_t plain = 0;
		unsigned char c;

		while ((unsigned char)text[plain] >= 0x20 && text[plain] != '"' &&
		       text[plain] != '\\')
			plain++;
		fwrite_unlocked(text, 1, plain, out);
		c = (unsigned char)text[plain];
		if (!c)
			break;
		if (c < 0x20) {
			fprintf(out, "\\u%04x", c);
		} else {
			putc_unlocked('\\', out);
			putc_unlocked(c, out);
		}
		text += plain + 1;
	}
	putc_unlocked('"', out);
}

// NULL is JSON's.
static void put_text_or_null(FILE *out, const char *text)
{
	if (text)
		put_text(out, text);
	else
		put(out, "null");
}

// At least `width` digits, with zeros before them; without the zeros at the end if `is_fraction`.
static void put_digits(FILE *out, uint64_t value, unsigned width, bool is_fraction)
{
	char digits[24], *end = digits + sizeof(digits), *at = end;

	do
		*--at = (char)('0' + value % 10);
	while ((value /= 10) || (unsigned)(end - at) < width);
	while (is_fraction && end[-1] == '0')
		end--;
	fwrite_unlocked(at, 1, (size_t)(end - at), out);
}

// Nanoseconds as seconds, to the microsecond.
static void put_seconds(FILE *out, int64_t ns)
{
	bool is_negative = ns < 0;
	uint64_t size = is_negative ? -(uint64_t)ns : (uint64_t)ns;
	uint64_t us = (size + NS_PER_US / 2) / NS_PER_US;

	if (is_negative && us)
		putc_unlocked('-', out);
	put_digits(out, us / US_PER_S, 1, false);
	if (us % US_PER_S) {
		putc_unlocked('.', out);
		put_digits(out, us % US_PER_S, 6, true);
	}
}

// JSON has no infinity: null.
static void put_number(FILE *out, double value)
{
	char text[352];
	size_t length;

	if (!isfinite(value)) {
		put(out, "null");
	} else if (value >= 0 && value < 1e15 && value == floor(value)) {
		put_digits(out, (uint64_t)value, 1, false);
	} else {
		length = (size_t)snprintf(text, sizeof(text), "%.6f", value);
		while (text[length - 1] == '0')
			length--;
		if (text[length - 1] == '.')
			length--;
		fwrite_unlocked(text, 1, length, out);
	}
}

void simulate_print_decision(FILE *out, const struct fated *fated)
{
	static const char *const names[N_FATES] = {
		[FATE_ADMITTED] = "admitted",
		[FATE_DENIED] = "denied",
		[FATE_TIMED_OUT] = "timeout",
		[FATE_CANCELLED] = "cancelled",
	};
	const struct trace_request *request = fated->request;

	put(out, "{\"id\":");
	if (request->id_is_number)
		put(out, request->id);
	else
		put_text(out, request->id);
	put(out, ",\"decision\":\"");
	put(out, names[fated->fate]);
	put(out, "\",\"t\":");
	put_seconds(out, fated->at_ns);
	put(out, ",\"wait_s\":");
	put_seconds(out, (int64_t)fated->waited_ns);
	put(out, ",\"cost\":");
	put_number(out, request->tokens);
	if (fated->fate == FATE_DENIED) {
		put(out, ",\"policy\":");
		put_text_or_null(out, fated->policy);
	}
	put(out, "}\n");
}

static void put_key(FILE *out, const char *key)
{
	put(out, ",\"");
	put(out, key);
	put(out, "\":");
}

static void put_limit(FILE *out, const struct limit_view *view)
{
	double saturated_s = (double)view->saturated_ns / 1e9;

	put(out, "{\"policy\":");
	put_text(out, view->limit->name);
	put_key(out, "resource");
	put_text(out, resource_name(view->limit->resource));
	put_key(out, "interval_s");
	put_seconds(out, (int64_t)view->limit->interval_ns);
	put_key(out, "offered");
	put_number(out, view->offered);
	put_key(out, "accepted");
	put_number(out, view->accepted);
	put_key(out, "denied");
	put_digits(out, view->n_denied, 1, false);
	put_key(out, "without_key");
	put_digits(out, view->n_without_key, 1, false);
	// Infinite or no number, and so null, if nothing ever waited for it.
	put_key(out, "utilisation");
	put_number(out, view->saturated_accepted / view->saturated_filled);
	put_key(out, "saturated_s");
	put_seconds(out, (int64_t)view->saturated_ns);
	put_key(out, "accepted_per_s_saturated");
	put_number(out, view->saturated_accepted / saturated_s);
	put(out, "}");
}

static void put_wait(FILE *out, const char *name, const struct summary_group *group, double q)
{
	put(out, name);
	if (group->count[FATE_ADMITTED])
		put_seconds(out, (int64_t)summary_wait_ns(group, q));
	else
		put(out, "null");
}

static void put_group(FILE *out, const struct summary_group *group)
{
	static const struct {
		const char *key;
		enum fate fate;
	} counts[] = {
		{"admitted", FATE_ADMITTED},
		{"denied", FATE_DENIED},
		{"timeout", FATE_TIMED_OUT},
		{"cancelled", FATE_CANCELLED},
	};

	put(out, "{\"workload\":");
	put_text(out, group->workload);
	put_key(out, "team");
	put_text_or_null(out, group->team);
	put_key(out, "count");
	put_digits(out, summary_count(group), 1, false);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		put_key(out, counts[i].key);
		put_digits(out, group->count[counts[i].fate], 1, false);
	}
	put_key(out, "wait_s");
	put_wait(out, "{\"p50\":", group, 0.5);
	put_wait(out, ",\"p95\":", group, 0.95);
	put_wait(out, ",\"p99\":", group, 0.99);
	put_wait(out, ",\"max\":", group, 1);
	put(out, "}");
	put_key(out, "preempted_tokens");
	put_number(out, group->preempted_tokens);
	put_key(out, "delayed_tokens");
	put_number(out, group->delayed_tokens);
	put_key(out, "on_time_tokens");
	put_number(out, group->on_time_tokens);
	put_key(out, "preempted");
	put_digits(out, group->preempted, 1, false);
	put_key(out, "delayed");
	put_digits(out, group->delayed, 1, false);
	put_key(out, "on_time");
	put_digits(out, group->on_time, 1, false);
	put(out, "}");
}

void simulate_print_summary(FILE *out, const struct simulated *simulated)
{
	const struct summary *summary = &simulated->summary;

	put(out, "{\"summary\":{\"policies\":[");
	for (size_t i = 0; i < simulated->n_limits; i++) {
		put(out, i ? "," : "");
		put_limit(out, &simulated->limits[i]);
	}
	put(out, "],\"workloads\":[");
	for (size_t i = 0; i < summary->n_groups; i++) {
		put(out, i ? "," : "");
		put_group(out, summary->groups[i]);
	}
	put(out, "]");
	put_key(out, "requests");
	put_digits(out, summary->n_requests, 1, false);
	put_key(out, "duration_s");
	put_seconds(out, (int64_t)simulated->duration_ns);
	put(out, "}}\n");
}
