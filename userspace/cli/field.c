// Reads fields and puts them into units. See field.h.
#include <json-c/json.h>
#include <stdio.h>
#include "cli/field.h"

static struct json_object *get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	if (json_object_is_type(object, json_type_object))
		json_object_object_get_ex(object, key, &value);
	return value;
}

double field_number(struct json_object *object, const char *key)
{
	return json_object_get_double(get(object, key));
}

bool field_bool(struct json_object *object, const char *key)
{
	return json_object_get_boolean(get(object, key));
}

bool field_present(struct json_object *object, const char *key)
{
	return get(object, key) != NULL;
}

const char *field_text(struct json_object *object, const char *key)
{
	const char *text = json_object_get_string(get(object, key));

	return text ? text : "";
}

struct json_object *field_object(struct json_object *object, const char *key)
{
	struct json_object *value = get(object, key);

	return json_object_is_type(value, json_type_object) ? value : NULL;
}

static struct json_object *list(struct json_object *object, const char *key)
{
	struct json_object *value = get(object, key);

	return json_object_is_type(value, json_type_array) ? value : NULL;
}

size_t field_count(struct json_object *object, const char *key)
{
	struct json_object *array = list(object, key);

	return array ? json_object_array_length(array) : 0;
}

struct json_object *field_element(struct json_object *object, const char *key, size_t i)
{
	struct json_object *array = list(object, key);

	return array ? json_object_array_get_idx(array, i) : NULL;
}

static struct text two_units(double s, unsigned long long unit_s, const char *unit,
			     unsigned long long small_s, const char *small)
{
	struct text out;
	unsigned long long all = (unsigned long long)s;

	snprintf(out.text, sizeof(out.text), "%llu %s %llu %s", all / unit_s, unit,
		 all % unit_s / small_s, small);
	return out;
}

struct text duration(double ms)
{
	struct text out;
	double s = ms / 1000;

	if (!(ms >= 0 && ms < 1e15))
		snprintf(out.text, sizeof(out.text), "?");
	else if (ms < 999.5)
		snprintf(out.text, sizeof(out.text), "%.0f ms", ms);
	else if (s < 59.95)
		snprintf(out.text, sizeof(out.text), "%.1f s", s);
	else if (s < 3600)
		return two_units(s, 60, "min", 1, "s");
	else if (s < 86400)
		return two_units(s, 3600, "h", 60, "min");
	else
		return two_units(s, 86400, "d", 3600, "h");
	return out;
}

struct text size_of_bytes(double bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
	struct text out;
	size_t i = 0;

	if (!(bytes >= 1024)) {
		snprintf(out.text, sizeof(out.text), "%.0f B", bytes);
		return out;
	}
	for (bytes /= 1024; bytes >= 1024 && i < 3; bytes /= 1024)
		i++;
	snprintf(out.text, sizeof(out.text), "%.1f %s", bytes, units[i]);
	return out;
}

struct text whole(double number)
{
	struct text out;

	if (number > -1e18 && number < 1e18)
		snprintf(out.text, sizeof(out.text), "%.0f", number);
	else
		snprintf(out.text, sizeof(out.text), "?");
	return out;
}
