// Fields of a JSON object, as people read them. A field that is missing or of another kind is 0,
// "", false or an empty list: an older daemon's answer is shown as far as it goes.
#ifndef SLUICE_CLI_FIELD_H
#define SLUICE_CLI_FIELD_H

#include <stdbool.h>
#include <stddef.h>

struct json_object;

double field_number(struct json_object *object, const char *key);
bool field_bool(struct json_object *object, const char *key);
// Neither missing nor null.
bool field_present(struct json_object *object, const char *key);
// A number comes as its digits. Borrowed from the object.
const char *field_text(struct json_object *object, const char *key);
struct json_object *field_object(struct json_object *object, const char *key);
size_t field_count(struct json_object *object, const char *key);
// Element i of a list; NULL: there is none.
struct json_object *field_element(struct json_object *object, const char *key, size_t i);

// A short text by value. Use as duration(1500).text in an argument.
struct text {
	char text[32];
};
struct text duration(double ms);         // "350 ms", "1.2 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"
struct text size_of_bytes(double bytes); // "12.3 MiB"
struct text whole(double number);        // "40000"; "?" for what is no number

#endif
