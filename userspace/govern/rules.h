// Deriving labels: the policy's rules, applied to each request in order.
#ifndef SLUICE_GOVERN_RULES_H
#define SLUICE_GOVERN_RULES_H

#include <sys/queue.h>
#include "config/policy.h"
#include "govern/hashtab.h"

#define SEQUENCES_KEPT 4096 // values of for_each labels that are counted at the same time
#define NUMBER_TEXT 32

// How many requests with one value of a for_each label have come.
struct sequence {
	struct hash_node node;
	uint64_t count;
	uint64_t last;                // rules.n_counted of the last of them
	TAILQ_ENTRY(sequence) by_use; // least recently used first
};

// What rules remember, and room for what they write.
struct rules {
	struct hashtab sequences;
	uint64_t n_counted; // requests
	TAILQ_HEAD(, sequence) by_use;
	const char **labels;          // the last request's, policy->n_labels of them
	char (*numbers)[NUMBER_TEXT]; // a text for each rule
};

int rules_init(struct rules *rules, const struct policy *policy); // -ENOMEM
void rules_free(struct rules *rules);

// Copies `given`, applies the rules, and returns the labels: valid until the next call, and as long
// as the given ones. `counts`: this is a request of its own, and further ones are later in its
// sequences; else it is only asked about.
const char *const *rules_apply(struct rules *rules, const struct policy *policy,
			       const char *const *given, bool counts);

// Takes over the sequences of `old`, of another policy.
void rules_carry(struct rules *rules, struct rules *old);

#endif
