// What survives a restart: the level of each bucket, as of a moment in Unix time. What has been
// filled since is added when it is restored, so a daemon that was down for an hour finds the hour's
// refill.
#include "govern/governor.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include "govern/calendar.h"
#include "govern/limiter.h"

static double wall_s(const struct governor *g, uint64_t ns)
{
	return ns == BUCKET_NEVER ? INFINITY : ((double)ns + (double)g->wall_offset_ns) / NS_PER_S;
}

static void save(struct governor *g, struct limiter *l, uint64_t now_ns,
		 void (*fn)(void *ctx, const struct bucket_state *), void *ctx)
{
	const struct bucket *b = &l->bucket;
	bool is_shut = b->shut_until_ns > now_ns;
	// A refill that is postponed begins later.
	uint64_t at_ns =
		b->last_fill_ns > now_ns || b->terms.is_stepwise ? b->last_fill_ns : now_ns;
	double level = b->terms.is_stepwise ? b->level : bucket_level(b, now_ns);
	struct bucket_state state = {
		.limit = l->limit ? l->limit->name : "",
		.team = l->team ? l->team->name : "",
		.key = l->key,
		.resource = l->resource,
		.interval_ns = l->limit ? l->limit->interval_ns : b->terms.interval_ns,
		.level = level,
		.at_s = wall_s(g, at_ns),
		.shut_until_s = is_shut ? wall_s(g, b->shut_until_ns) : 0,
		.learnt_capacity = l->is_learnt ? b->terms.capacity : 0,
		.learnt_interval_s = l->is_learnt ? (double)b->terms.interval_ns / NS_PER_S : 0,
	};

	fn(ctx, &state);
	l->is_changed = false;
}

void governor_save(struct governor *g, bool all, uint64_t now_ns,
		   void (*fn)(void *ctx, const struct bucket_state *), void *ctx)
{
	struct hash_node *node;

	for (node = hashtab_first(&g->limiters); node; node = hashtab_next(&g->limiters, node)) {
		struct limiter *l = container_of(node, struct limiter, node);

		if ((all || l->is_changed) &&
		    (!isinf(l->bucket.terms.capacity) || l->bucket.shut_until_ns > now_ns))
			save(g, l, now_ns, fn, ctx);
		else
			l->is_changed = false;
	}
}

static const struct limit *limit_of(const struct governor *g, const struct bucket_state *state)
{
	for (size_t i = 0; *state->limit && i < g->policy->n_limits; i++) {
		const struct limit *limit = &g->policy->limits[i];

		if (!strcmp(limit->name, state->limit) && limit->resource == state->resource &&
		    limit->interval_ns == state->interval_ns)
			return limit;
	}
	return NULL;
}

// On the governor's clock; a moment before it began is its beginning.
static uint64_t clock_ns(const struct governor *g, double unix_s)
{
	double ns = unix_s * NS_PER_S - (double)g->wall_offset_ns;

	if (isinf(unix_s) || ns >= 9e18)
		return BUCKET_NEVER;
	return ns > 0 ? (uint64_t)ns : 0;
}

// By how much the wall clock was ahead when the state was saved, as far as is certain: a refill is
// never postponed for longer than this allows.
static double clock_error_s(const struct bucket_terms *terms, const struct bucket_state *state,
			    double now_s)
{
	double most_s = (double)terms->headroom_ns / NS_PER_S;

	if (terms->delays_fill && terms->fill_amount > 0)
		most_s += terms->capacity / terms->fill_amount *
			  ((double)terms->interval_ns / NS_PER_S);
	return fmax(0, state->at_s - now_s - most_s);
}

// What it has gained since it was saved, and until when that counts.
static void put_back(struct governor *g, struct bucket *b, const struct bucket_state *state,
		     uint64_t now_ns)
{
	const struct bucket_terms *terms = &b->terms;
	double now_s = wall_s(g, now_ns), error_s = clock_error_s(terms, state, now_s);
	double at_s = state->at_s - error_s, gained = 0;
	double steps = floor((now_s - at_s) * NS_PER_S / (double)terms->interval_ns);

	if (terms->calendar && calendar_next_s(terms->zone, terms->calendar,
					       (int64_t)floor(at_s)) <= (int64_t)floor(now_s)) {
		gained = INFINITY; // another day or month has begun
	} else if (terms->is_stepwise && steps > 0) {
		gained = terms->fill_amount * steps;
		at_s += steps * (double)terms->interval_ns / NS_PER_S;
	} else if (!terms->is_stepwise && now_s > at_s) {
		gained = bucket_fill_per_s(b) * (now_s - at_s);
		at_s = now_s;
	}
	b->level = fmin(terms->capacity, state->level + gained);
	b->last_fill_ns = at_s == now_s ? now_ns : clock_ns(g, at_s);
	b->shut_until_ns = state->shut_until_s > 0 ? clock_ns(g, state->shut_until_s - error_s) : 0;
}

int governor_restore(struct governor *g, const struct bucket_state *state, uint64_t now_ns)
{
	struct limiter_id id = {
		.kind = !*state->team   ? LIMITER_LIMIT
			: *state->limit ? LIMITER_SHARE
					: LIMITER_TEAM,
		.resource = state->resource,
		.limit = limit_of(g, state),
		.team = policy_find_team(g->policy, state->team),
		.key = state->key,
		.capacity = -1,
	};
	struct limiter *l;

	if (!id.limit != !*state->limit || !id.team != !*state->team)
		return -ENOENT;
	if (id.limit && id.limit->tier) {
		id.capacity = limiter_tier_capacity(id.limit, state->key);
		if (id.capacity < 0)
			return -ENOENT;
	}
	if (limiter_terms(g, &id).capacity <= 0)
		return -ENOENT;
	l = limiter_get(g, &id, now_ns);
	if (!l)
		return -ENOMEM;
	if (state->learnt_capacity > 0 && id.limit && id.limit->is_auto)
		limiter_learn(g, l, state->learnt_capacity,
			      (uint64_t)(state->learnt_interval_s * NS_PER_S), now_ns);
	put_back(g, &l->bucket, state, now_ns);
	return 0;
}
