// Limits: the shorthand of `limits:` (one entry, a struct limit for each of its numbers) and the
// long form of `policies:`.
#ifndef SLUICE_CONFIG_LIMITS_H
#define SLUICE_CONFIG_LIMITS_H

#include "config/schema.h"

// One limit more at the end of policy->limits, zeroed but for its name, file and line (that of the
// node). It is valid until the next one is added. What is left zero is completed when all files
// are read (limits_complete()): scheduler (the native one), tier_rows, mirrors, is_per_model.
// NULL: no memory, and that is noted.
struct limit *policy_add_limit(struct reader *reader, const char *name, const yaml_node_t *node);
void limit_release(struct limit *limit);

// Reads `selectors: [{control_point, agent_group, service, label_matcher}]` into the limit; "any"
// becomes NULL. The selectors it has already stay.
void selectors_read(struct reader *reader, const yaml_node_t *node, struct limit *limit);

// Adds a key label, unless the limit has it. 0 or -ENOMEM.
int limit_add_key(struct limit *limit, size_t label);

// Cuts the capacity to what flows in smooth_ns, at least one unit. With fill_amount, interval_ns
// and smooth_ns set.
void limit_smooth(struct limit *limit);

// Key labels while they are read. For tables: value is the struct, which owns its labels.
struct key_list {
	size_t *labels;
	size_t count;
	bool is_given;
};
void keys_read(struct reader *reader, const yaml_node_t *node, void *value);

// Reads a `match` into the limit as its one selector; NULL: none.
void limit_read_match(struct reader *reader, const yaml_node_t *node, struct limit *limit);

// Has no numbers of its own, but learns them or has them from the table of tiers.
static inline bool limit_is_open(const struct limit *limit)
{
	return limit->is_auto || limit->tier;
}

// For tables: the lists `limits:` (limits_short.c) and `policies:` (limits_long.c).
void limits_read(struct reader *reader, const yaml_node_t *node, void *value);
void policies_read(struct reader *reader, const yaml_node_t *node, void *value);

// When all files are read.
void limits_complete(struct policy *policy);

// Reads each entry of a list of mappings ("limits", of which each is "a limit"); null is none. What
// is not one is noted.
void limits_each_entry(struct reader *r, const yaml_node_t *node, const char *list,
		       const char *what, void (*read)(struct reader *r, const yaml_node_t *node));

#endif
