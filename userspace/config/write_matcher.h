// A matcher as the YAML that matcher_read.c reads.
#ifndef SLUICE_CONFIG_WRITE_MATCHER_H
#define SLUICE_CONFIG_WRITE_MATCHER_H

#include "config/emit.h"
#include "config/policy.h"

// The pair `key: {conditions}` of a mapping. key NULL: `label_matcher`, or `match` if there are
// globs, which only that takes.
void write_matcher(struct emitter *e, const struct policy *policy, const char *key,
		   const struct matcher *matcher);

#endif
