// Whether labels fulfil a condition (config/policy.h, struct matcher).
#ifndef SLUICE_GOVERN_MATCH_H
#define SLUICE_GOVERN_MATCH_H

#include "config/policy.h"

// matcher NULL: always. labels: by number; NULL where there is none.
bool matcher_holds(const struct matcher *matcher, const char *const *labels);

// Whether the limit is for requests with these labels.
bool limit_matches(const struct policy *policy, const struct limit *limit,
		   const char *const *labels);

#endif
