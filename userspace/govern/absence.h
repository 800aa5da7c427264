// The place of a request that lost its connection while it waited: a server may close a connection
// that is idle while its request is held, and the client then sends the same request again on a new
// one. That keeps its place (age and order) if it comes within ABSENCE_NS.
#ifndef SLUICE_GOVERN_ABSENCE_H
#define SLUICE_GOVERN_ABSENCE_H

#include "govern/state.h"

#define ABSENCE_NS (60 * NS_PER_S) // SDKs retry after 0.5 to 8 s
#define ABSENCES_KEPT 4096         // the oldest are forgotten beyond so many

// Without memory, or without a retry_key, the place is lost.
void absence_begin(struct governor *g, const struct ticket *t, uint64_t now_ns);

// Whether the ticket is such a retry; if so, it has its age and order back. Its tags are kept until
// absence_over(), when it waits again or does not have to.
bool absence_end(struct governor *g, struct ticket *t);
void absences_expire(struct governor *g, uint64_t now_ns);
void absence_over(struct governor *g, const struct ticket *t);

// A reload begins the contest anew: only age and order are kept.
void absences_unpin(struct governor *g);

void absences_free(struct governor *g);

#endif
