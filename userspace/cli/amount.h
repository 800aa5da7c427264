// Amounts of a resource, as people read them. The object is a bucket, or a need for one (see
// sluice(1)): it has "resource", and what the functions name.
#ifndef SLUICE_CLI_AMOUNT_H
#define SLUICE_CLI_AMOUNT_H

#include "cli/field.h"

// "1234", or "$12.50"; "?" if it is not known.
struct text amount(struct json_object *object, const char *key);
// fill_amount and interval_s: "40000/min", "$500.00/month", "60/5 min".
struct text rate(struct json_object *bucket);
// shut_ms: "12 s", "until reset", or "" if it is open.
struct text shut(struct json_object *bucket);

#endif
