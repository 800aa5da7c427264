// The limiters in effect: found by what they enforce and their key, made when first needed,
// collected when idle.
#ifndef SLUICE_GOVERN_LIMITER_H
#define SLUICE_GOVERN_LIMITER_H

#include "govern/state.h"

#define LIMITERS_KEPT 4096 // idle ones are collected beyond so many

// Which limiter is meant.
struct limiter_id {
	enum limiter_kind kind;
	enum resource resource;
	const struct limit *limit;
	const struct team *team;
	const char *key;
};

const struct rate *limit_rate(const struct limit *limit, enum resource resource);
const struct rate *team_rate(const struct team *team, enum resource resource);

// Units a minute that the policy gives it; < 0 if the policy has no such rate.
double limiter_capacity(const struct limiter_id *id);

// Finds or makes it. NULL: no memory.
struct limiter *limiter_get(struct governor *g, const struct limiter_id *id, uint64_t now_ns);

void limiter_free(struct limiter *l);

// Forgets limiters that are no different from new ones, once there are many. No pointer to a
// limiter without refs survives this.
void limiters_collect(struct governor *g, uint64_t now_ns);

// What to call it when it denies: the name of the limit or team.
const char *limiter_denier(const struct limiter *l);

#endif
