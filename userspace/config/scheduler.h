// Schedulers: how the requests that wait for a limit are told apart.
#ifndef SLUICE_CONFIG_SCHEDULER_H
#define SLUICE_CONFIG_SCHEDULER_H

#include "config/schema.h"

// A scheduler more, owned by the policy: without labels and workloads, `others` at priority 1.
// NULL: no memory.
struct scheduler *policy_add_scheduler(struct policy *policy);
void scheduler_free(struct scheduler *scheduler);

// Reads a scheduler's mapping, native or Aperture's (a workload's numbers under `parameters`,
// default_workload_parameters for `others`). Labels that it does not name stay as they are;
// "priority_label_key: ~" is NO_LABEL.
void scheduler_read(struct reader *reader, const yaml_node_t *node, struct scheduler *scheduler);

#endif
