// What a simulation amounts to, for each workload of each team.
#ifndef SLUICE_SIMULATE_SUMMARY_H
#define SLUICE_SIMULATE_SUMMARY_H

#include <stddef.h>
#include <stdint.h>
#include "govern/hashtab.h"
#include "simulate/simulate.h"

// The requests of one workload and one team. How they were moved, in Aperture's words: preempted is
// a request that priority moved forward against first-in-first-out, by so many tokens; delayed one
// that it moved back; on time one that left in its turn. That, and the waits, is told of those that
// were admitted.
struct summary_group {
	struct hash_node node;
	const char *workload; // "default" if none matched
	const char *team;     // NULL: the trace names none
	uint64_t count[N_FATES];
	uint64_t preempted, delayed, on_time;
	double preempted_tokens, delayed_tokens;
	double on_time_tokens; // of the requests themselves
	uint64_t *waits_ns;    // count[FATE_ADMITTED] of them; in ascending order once sorted
	size_t room;
};

struct summary {
	struct summary_group **groups; // as they first came; sorted by workload and team
	size_t n_groups;
	struct hashtab index;
	uint64_t n_requests;
};

// Texts are borrowed. -ENOMEM.
int summary_add(struct summary *summary, const struct fated *fated);
// Puts groups and waits in order; nothing is added after that.
void summary_sort(struct summary *summary);
void summary_free(struct summary *summary);

uint64_t summary_count(const struct summary_group *group); // of all its requests

// The wait that the share q (0 to 1) of the admitted ones do not exceed (nearest rank); q = 1: the
// longest. Only of a sorted summary; 0 if none was admitted.
uint64_t summary_wait_ns(const struct summary_group *group, double q);

#endif
