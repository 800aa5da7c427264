// See amount.h.
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "cli/amount.h"

#define MONTH_S (30 * 86400.0) // what a calendar month is said to take

static struct text text_of(const char *resource, double value)
{
	struct text out;

	if (strcmp(resource, "cost") != 0)
		return whole(value);
	// What a request costs is often less than a cent.
	snprintf(out.text, sizeof(out.text), "$%.*f", value != 0 && fabs(value) < 0.01 ? 5 : 2,
		 value);
	return out;
}

struct text amount(struct json_object *object, const char *key)
{
	if (!field_present(object, key))
		return (struct text){"?"};
	return text_of(field_text(object, "resource"), field_number(object, key));
}

// "min", "5 min": behind a slash.
static struct text interval(double s)
{
	static const struct {
		double s;
		const char *name;
	} units[] = {
		{MONTH_S, "month"}, {604800, "week"}, {86400, "day"}, {3600, "h"}, {60, "min"},
	};
	struct text out;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		double n = s / units[i].s;

		if (n >= 1 && n == floor(n)) {
			snprintf(out.text, sizeof(out.text), n == 1 ? "%.0s%s" : "%s %s",
				 whole(n).text, units[i].name);
			return out;
		}
	}
	snprintf(out.text, sizeof(out.text), s == 1 ? "s" : "%.0f s", s);
	return out;
}

// An older sluiced says fill_per_s only.
struct text rate(struct json_object *bucket)
{
	const char *resource = field_text(bucket, "resource");
	double interval_s = field_number(bucket, "interval_s");
	struct text out;
	int length;

	if (!field_present(bucket, "fill_per_s"))
		return (struct text){"?"};
	if (interval_s > 0)
		length = snprintf(out.text, sizeof(out.text), "%s/%s",
				  amount(bucket, "fill_amount").text, interval(interval_s).text);
	else
		length = snprintf(out.text, sizeof(out.text), "%s/min",
				  text_of(resource, field_number(bucket, "fill_per_s") * 60).text);
	return length < (int)sizeof(out.text) ? out : (struct text){"?"};
}

struct text shut(struct json_object *bucket)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(bucket, "shut_ms", &value))
		return (struct text){""};
	if (!value)
		return (struct text){"until reset"};
	return json_object_get_double(value) > 0 ? duration(json_object_get_double(value))
						 : (struct text){""};
}
