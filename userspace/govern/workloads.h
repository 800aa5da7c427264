// Which workload of a scheduler a request is: the first that matches. Most match one label by its
// value, and there may be a thousand of them; those are found by hash.
#ifndef SLUICE_GOVERN_WORKLOADS_H
#define SLUICE_GOVERN_WORKLOADS_H

#include "config/policy.h"
#include "govern/hashtab.h"

// One value by which a workload is found.
struct workload_entry {
	struct hash_node node;
	const char *value;
	size_t workload;
};

struct workload_index {
	size_t label; // whose values the entries are; NO_LABEL: there are none
	struct hashtab by_value;
	struct workload_entry *entries;
	size_t *others; // workloads that match otherwise, in order
	size_t n_others;
};

struct workloads {
	const struct policy *policy;
	struct workload_index *indexes; // of each scheduler of the policy
};

int workloads_init(struct workloads *workloads, const struct policy *policy); // -ENOMEM
void workloads_free(struct workloads *workloads);

// Of one of the policy's schedulers; never NULL (scheduler->others).
const struct workload *workload_find(const struct workloads *workloads,
				     const struct scheduler *scheduler, const char *const *labels);

#endif
