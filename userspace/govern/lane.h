// A lane: the waiting requests of one team that need exactly the same limiters, oldest first.
//
// Only a lane's first request contends (contest.h), and tags are given when a request becomes the
// first. So a withdrawn request leaves no trace: the next one takes over its start tag, and its
// team has all of the virtual time back. Withdrawing is O(log lanes), whatever waits behind.
#ifndef SLUICE_GOVERN_LANE_H
#define SLUICE_GOVERN_LANE_H

#include "govern/state.h"

static inline struct ticket *lane_first(const struct lane *lane)
{
	return TAILQ_FIRST(&lane->tickets);
}

// Whether the ticket may go at once: all limiters admit it, and nobody claims or holds one.
bool ticket_may_pass(const struct ticket *t, uint64_t now_ns);

// The ticket waits from now on: behind the others of its lane, and with a copy of its ask. -ENOMEM:
// it does not, and is still the caller's.
int lane_enqueue(struct governor *g, struct ticket *t, const struct ask *ask, uint64_t now_ns);

// The ticket waits no more. `is_drawn`: it is admitted, else it leaves without a trace. It is the
// caller's now.
void lane_remove(struct governor *g, struct ticket *t, bool is_drawn);

// Whether something keeps the lane's first request; if so, *ret_home is the need that will be ready
// last and *ret_ready_ns when. Limits that deny keep nothing.
bool lane_is_blocked(const struct lane *lane, uint64_t now_ns, size_t *ret_home,
		     uint64_t *ret_ready_ns);

#endif
