// Members of the JSON objects that people see. An object that there was no memory for (NULL) takes
// none, and a member that there is none for is null.
#ifndef SLUICE_SERVE_OBJECT_H
#define SLUICE_SERVE_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

struct json_object;

// Takes over the value.
void object_add(struct json_object *o, const char *key, struct json_object *value);
void object_add_text(struct json_object *o, const char *key, const char *text); // NULL: null
void object_add_count(struct json_object *o, const char *key, uint64_t value);
void object_add_flag(struct json_object *o, const char *key, bool value);
void object_add_null(struct json_object *o, const char *key);
// Rounded to so many decimals; what is not finite is null, for JSON has no such number.
void object_add_number(struct json_object *o, const char *key, double value, int decimals);
// Milliseconds; UINT64_MAX is null.
void object_add_ms(struct json_object *o, const char *key, uint64_t ns);

#endif
