// A lane: the waiting requests that stand at the same leaves of the same limiters, oldest first.
//
// Only a lane's first request contends (contest.h). A withdrawn request leaves no trace: tags
// belong to the shares, and its share has all of the virtual time back. Withdrawing is O(log
// lanes), whatever waits behind.
#ifndef SLUICE_GOVERN_LANE_H
#define SLUICE_GOVERN_LANE_H

#include "govern/state.h"

static inline struct ticket *lane_first(const struct lane *lane)
{
	return TAILQ_FIRST(&lane->tickets);
}

// Whether the ticket may go at once: all limiters admit it, and nobody claims or holds one.
bool ticket_may_pass(const struct ticket *t, uint64_t now_ns);

// The ticket waits from now on, in order of arrival among those of its lane. `returns`: it was
// here before (contest_join()). -ENOMEM: it does not wait, and is still the caller's.
int lane_enqueue(struct governor *g, struct ticket *t, bool returns, uint64_t now_ns);

// The ticket waits no more. `is_drawn`: it is admitted, else it leaves without a trace. It is the
// caller's now.
void lane_remove(struct governor *g, struct ticket *t, bool is_drawn);

// Ageing: the ticket counts one tier higher from now on.
void lane_promote(struct governor *g, struct ticket *t, uint64_t now_ns);

// Whether something keeps the lane's first request; if so, *ret_home is the need that will be ready
// last and *ret_ready_ns when. Limits that deny keep nothing.
bool lane_is_blocked(const struct lane *lane, uint64_t now_ns, size_t *ret_home,
		     uint64_t *ret_ready_ns);

// Whether no other claims or holds any of its limiters.
bool lane_leads_everywhere(const struct lane *lane, uint64_t now_ns);

#endif
