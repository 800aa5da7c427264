// Aperture's values files of the blueprint quota-scheduling/base, read as they are.
#ifndef SLUICE_CONFIG_BLUEPRINT_H
#define SLUICE_CONFIG_BLUEPRINT_H

#include "config/schema.h"

// Is the file a values file of some blueprint? By its key `blueprint`; those that aperturectl wrote
// before that key came (September 2023) by policy.quota_scheduler.
bool blueprint_is(const struct document *document);

// Adds the reader's document to the policy: one limit with a scheduler of its own. What is wrong,
// or cannot be enforced here, is noted. reader->is_blueprint is set.
void blueprint_read(struct reader *reader, struct policy *policy);

#endif
