// Who may decide the order in which requests go.
#ifndef SLUICE_CONFIG_TRUST_H
#define SLUICE_CONFIG_TRUST_H

#include "config/places.h"
#include "config/policy.h"

// Notes a problem wherever an order depends on what programs say of themselves, and
// priority_sources does not allow it.
void trust_check(const struct policy *policy, const struct places *places,
		 struct problems *problems);

#endif
