// From a request's labels to what it needs: which limits match, with which key, how much of each.
#ifndef SLUICE_GOVERN_DEMAND_H
#define SLUICE_GOVERN_DEMAND_H

#include "govern/state.h"

// How many draws a request can need at most under this policy.
size_t demand_most(const struct policy *policy);

// Fills g->scratch with the request's draws, in an order that depends on the limiters only, and
// says how many. If the policy forbids the request, or a limit that denies lacks what it asks for
// now, *ret_denied_by names why and nothing else counts; else it is NULL. -ENOMEM.
int demand_of(struct governor *g, const struct ask *ask, uint64_t now_ns, size_t *ret_n_draws,
	      const char **ret_denied_by);

// A copy that owns its strings (one block, to be freed with free()). NULL: no memory.
struct ask *ask_copy(const struct ask *ask);

#endif
