// Decides a trace as the daemon would have decided it, in virtual time: the same governor, with a
// clock that jumps from event to event.
//
//   next arrival in the trace ─┐
//   next end of a response,    ├─ the earliest is "now" ─▶ submit, settle, withdraw ─▶ governor_run
//     or program that gives up │
//   governor_next_ns()        ─┘
//
// A response ends response_ns after its request was admitted, however long that waited. What only
// the provider could tell (429s, x-ratelimit-* headers) is not simulated.
#ifndef SLUICE_SIMULATE_SIMULATE_H
#define SLUICE_SIMULATE_SIMULATE_H

#include <stddef.h>
#include <stdint.h>
#include "config/policy.h"
#include "govern/governor.h"
#include "simulate/trace.h"

// Where a request's way through the queue ended.
enum fate {
	FATE_ADMITTED,
	FATE_DENIED,
	FATE_TIMED_OUT,
	FATE_CANCELLED, // its program gave up while it waited
	N_FATES
};

struct fated {
	const struct trace_request *request;
	enum fate fate;
	int64_t at_ns; // Unix time
	uint64_t waited_ns;
	const char *policy;   // that denied it; NULL otherwise
	const char *workload; // NULL: no limit matched
	double moved;         // tokens, see struct decision
};

// What a simulation tells; ctx comes with each call. Those that return an error (negative errno)
// end it.
struct simulation_events {
	int (*decided)(void *ctx, const struct fated *fated); // in the order of decision
	// Once, at the end, for each limit.
	int (*limit)(void *ctx, const struct limit_view *view);
	// Now and then; NULL: nobody asks.
	void (*progress)(void *ctx, size_t n_decided, size_t n_requests);
};

// Makes a loaded policy fit for simulation: there is no network in virtual time that could delay a
// charge, so it needs no headroom, unless the policy gives one; and `observe` would hold nothing.
void simulate_adapt(struct policy *policy);

// Every request of the trace meets its fate. *ret_duration_ns: from the first arrival to the last
// event. 0, -ENOMEM, what an event gave, or -EDEADLK: the governor never decided on some request,
// which is a mistake in it.
int simulate(const struct policy *policy, const struct trace *trace,
	     const struct simulation_events *events, void *ctx, uint64_t *ret_duration_ns);

#endif
