// The governor's views as JSON. Keys are documented in sluice(1) and are a promise.
#ifndef SLUICE_SERVE_GOVERNED_H
#define SLUICE_SERVE_GOVERNED_H

#include "govern/governor.h"

struct json_object;

// `policy` is the one that the governor runs.

// New objects; NULL: out of memory.
struct json_object *governed_bucket(const struct policy *policy, const struct bucket_view *view);
struct json_object *governed_limit(const struct limit_view *view);

// Adds to `o` what holds up the waiting request `id`, or what `ask` would meet: verdict, policy,
// waiting_ms, eta_ms and the list of needs. Errors as governor_explain() and governor_check().
int governed_explain(struct governor *g, const struct policy *policy, uint64_t id, uint64_t now_ns,
		     struct json_object *o);
int governed_check(struct governor *g, const struct policy *policy, const struct ask *ask,
		   uint64_t now_ns, struct json_object *o);

#endif
