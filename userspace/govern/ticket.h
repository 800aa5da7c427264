// One request in the governor's hands, from governor_submit() until it is denied, withdrawn,
// refunded or settled.
#ifndef SLUICE_GOVERN_TICKET_H
#define SLUICE_GOVERN_TICKET_H

#include "govern/state.h"

// A ticket with these draws, of which nothing is drawn yet, in the table of tickets. NULL: no
// memory.
struct ticket *ticket_new(struct governor *g, uint64_t id, const struct draw *draws,
			  size_t n_draws);

// NULL if there is none.
struct ticket *ticket_find(const struct governor *g, uint64_t id);

// Until when it may wait.
uint64_t ticket_deadline_ns(const struct ticket *t);

// Takes from all its limiters, into debt if need be: it is admitted.
void ticket_draw(struct governor *g, struct ticket *t, uint64_t now_ns);

// What was admitted `headroom` ago has been counted by the provider by now_ns.
void tickets_arrive(struct governor *g, uint64_t now_ns);

// An admitted request cannot leave yet: what it drew is not on its way to the provider until it
// does.
void ticket_detain(struct governor *g, struct ticket *t);
void ticket_leave(struct governor *g, struct ticket *t, uint64_t now_ns);

// Takes more, or gives back, of what it drew as its draw number `i`.
void ticket_redraw(struct governor *g, struct ticket *t, size_t i, double amount, uint64_t now_ns);

// The first limit that denies and lacks what the ticket asks for, and has now denied it; NULL:
// none.
const char *ticket_denied_by(struct governor *g, const struct ticket *t, uint64_t now_ns);

// Forgets it. It must be in no lane and no list.
void ticket_free(struct governor *g, struct ticket *t);

#endif
