// What check and explain have in common: the limits that a request meets, a line for each.
#ifndef SLUICE_CLI_NEEDS_H
#define SLUICE_CLI_NEEDS_H

#include <stdio.h>
#include "cli/table.h"

struct json_object;

// The list "needs" of an answer; says so if it is empty.
void needs_print(struct json_object *answer, FILE *out, const struct style *style);
// "it would wait 12 s" and why: verdict, eta_ms, policy and needs as a sentence.
void verdict_print(struct json_object *answer, FILE *out);

#endif
