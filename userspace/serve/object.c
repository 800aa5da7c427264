// See object.h.
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "serve/object.h"

void object_add(struct json_object *o, const char *key, struct json_object *value)
{
	if (!o || json_object_object_add(o, key, value))
		json_object_put(value);
}

void object_add_text(struct json_object *o, const char *key, const char *text)
{
	object_add(o, key, text ? json_object_new_string(text) : NULL);
}

void object_add_count(struct json_object *o, const char *key, uint64_t value)
{
	object_add(o, key, json_object_new_uint64(value));
}

void object_add_flag(struct json_object *o, const char *key, bool value)
{
	object_add(o, key, json_object_new_boolean(value));
}

void object_add_null(struct json_object *o, const char *key)
{
	object_add(o, key, NULL);
}

// The text is given along: json-c would print 17 digits.
void object_add_number(struct json_object *o, const char *key, double value, int decimals)
{
	char text[352];
	size_t length;

	if (!isfinite(value)) {
		object_add_null(o, key);
		return;
	}
	length = (size_t)snprintf(text, sizeof(text), "%.*f", decimals, value);
	if (decimals) {
		while (text[length - 1] == '0')
			length--;
		if (text[length - 1] == '.')
			length--;
	}
	text[length] = '\0';
	if (!strcmp(text, "-0"))
		strcpy(text, "0");
	object_add(o, key, json_object_new_double_s(value, text));
}

void object_add_ms(struct json_object *o, const char *key, uint64_t ns)
{
	if (ns == UINT64_MAX)
		object_add_null(o, key);
	else
		object_add_count(o, key, ns / NS_PER_MS);
}
