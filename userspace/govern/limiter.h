// The limiters in effect: found by what they enforce and their key, made when first needed,
// collected when idle.
#ifndef SLUICE_GOVERN_LIMITER_H
#define SLUICE_GOVERN_LIMITER_H

#include "govern/state.h"

#define LIMITERS_KEPT 4096  // idle ones are collected beyond so many
#define LIMITERS_MOST 65536 // programs may name ever new users

// Which limiter is meant.
struct limiter_id {
	enum limiter_kind kind;
	enum resource resource;
	const struct limit *limit;
	const struct team *team;
	const char *key;
	double capacity; // of a LIMITER_LIMIT; < 0: that of the limit
};

// Reserved by estimate, and settled by what the response says it used.
static inline bool is_settled_by_usage(enum resource resource)
{
	return resource == RESOURCE_INPUT_TOKENS || resource == RESOURCE_OUTPUT_TOKENS ||
	       resource == RESOURCE_TOTAL_TOKENS || resource == RESOURCE_COST;
}

// What the policy gives it. capacity < 0: it has no such rate.
struct bucket_terms limiter_terms(const struct governor *g, const struct limiter_id *id);

// Of a limit with a tier: what the provider gives to the model, which its key ends with. < 0: none.
double limiter_tier_capacity(const struct limit *limit, const char *key);

// Finds or makes it. NULL: no memory.
struct limiter *limiter_get(struct governor *g, const struct limiter_id *id, uint64_t now_ns);
struct limiter *limiter_find(const struct governor *g, const struct limiter_id *id);
// Of the limiters that differ from `id` in such parts of the key only as are empty there: the one
// with the least left. NULL: there is none. Looks at all limiters.
struct limiter *limiter_scarcest(const struct governor *g, const struct limiter_id *id,
				 uint64_t now_ns);

void limiter_free(struct limiter *l);

// Forgets limiters that are no different from new ones, once there are many. No pointer to a
// limiter without refs survives this.
void limiters_collect(struct governor *g, uint64_t now_ns);

// What to call it when it denies: the name of the limit or team.
const char *limiter_denier(const struct limiter *l);

// The next governor_run() looks at it: it has more than before, or another first lane.
void limiter_touch(struct governor *g, struct limiter *l);
void limiter_untouch(struct governor *g, struct limiter *l);

// Takes `amount`, of which a team's guarantee may be a part.
void limiter_draw(struct limiter *l, const struct team *team, double amount, uint64_t now_ns);

// A draw of drawn_ns turns out to be `more`, or less if that is below 0.
void limiter_redraw(struct limiter *l, const struct team *team, double more, uint64_t drawn_ns,
		    uint64_t now_ns);

// A request begins or ends to wait for `amount`.
void limiter_await(struct limiter *l, double amount);
void limiter_unawait(struct limiter *l, double amount);

// The provider has told what an `auto` limit gives, and in which time.
void limiter_learn(struct governor *g, struct limiter *l, double capacity, uint64_t interval_ns,
		   uint64_t now_ns);

// Adds what has passed while requests waited for this limiter (and not for another one that they
// also need), up to now, to the limit's figures, and notes whether any do from now on.
void limiter_count_saturated(struct governor *g, struct limiter *l, uint64_t now_ns);

#endif
