// From a request's labels to what it needs: which limits match, with which key, how much of each,
// and where it stands in their contests.
#ifndef SLUICE_GOVERN_DEMAND_H
#define SLUICE_GOVERN_DEMAND_H

#include "govern/state.h"

// How many draws a request can need at most under this policy.
size_t demand_most(const struct policy *policy);

struct demand {
	size_t n_draws; // in g->scratch, in an order that depends on the limiters only
	// Behind them: those of amount 0, whose limiters are settled by usage and may be charged
	// then (its model was not known yet, and so no price).
	size_t n_silent;
	const char *denied_by; // the limit or team that forbids the request or denies it now
	const struct workload *workload; // of the first limit
	uint64_t timeout_ns;             // how long it may wait
};

// Told of what matches and has no limiter, for explanations: nothing may pass (capacity 0), or
// else the request lacks a label of its key.
struct limiter_id;
struct demand_observer {
	void (*fn)(void *ctx, const struct limiter_id *id, bool forbids, const struct draw *draw);
	void *ctx;
};

// Finds what the request needs. `counts`: it is submitted, and is counted as offered; else it is
// only asked about. If it is denied, nothing but denied_by counts. observer may be NULL. -ENOMEM.
int demand_of(struct governor *g, const struct ask *ask, bool counts,
	      const struct demand_observer *observer, uint64_t now_ns, struct demand *ret);

#endif
