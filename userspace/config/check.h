// What no single key of a policy can tell: whether its parts fit together.
#ifndef SLUICE_CONFIG_CHECK_H
#define SLUICE_CONFIG_CHECK_H

#include "config/places.h"
#include "config/policy.h"

// Notes every contradiction in `problems`, with the line it stands on. The policy must be complete
// (limits_complete()) and have been read without a problem.
void policy_check(const struct policy *policy, const struct places *places,
		  struct problems *problems);

// Its parts.
struct checker {
	const struct policy *policy;
	const struct places *places;
	struct problems *problems;
};
void check_limits(const struct checker *c);      // check_limits.c: numbers, names, globs
void check_teams_reach(const struct checker *c); // check_reach.c: who is in another's shadow
void check_workloads_reach(const struct checker *c);

// Notes a problem at a thing that was read, or at its `key` if that is given.
void check_add(const struct checker *c, const struct place *place, const char *key,
	       const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
