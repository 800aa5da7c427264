// What no single key of a policy can tell: whether its parts fit together.
#ifndef SLUICE_CONFIG_CHECK_H
#define SLUICE_CONFIG_CHECK_H

#include "config/document.h"
#include "config/policy.h"

// Notes every contradiction in `problems`, with the line it stands on. The policy must have been
// read whole from these documents, in this order, and without a problem: its n-th team is the n-th
// team in them, and so on.
void policy_check(const struct policy *policy, const struct document *documents, size_t n_documents,
		  struct problems *problems);

#endif
