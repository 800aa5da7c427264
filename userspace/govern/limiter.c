// Limiters are found by hash of what they enforce. Memory is bounded although keys may come from
// requests (user, model): beyond LIMITERS_KEPT, those that are full and unused are dropped, since a
// new one would be full too. Those in use are bounded by the traffic of the last minutes. The next
// collection waits until the number has doubled, so its cost is constant per limiter made.
#include "govern/limiter.h"

#include <stdlib.h>
#include <string.h>

const struct rate *limit_rate(const struct limit *limit, enum resource resource)
{
	return resource == RESOURCE_REQUESTS ? &limit->rpm : &limit->tpm;
}

const struct rate *team_rate(const struct team *team, enum resource resource)
{
	return resource == RESOURCE_REQUESTS ? &team->rpm : &team->tpm;
}

static double per_minute(const struct rate *rate)
{
	return rate && rate->kind == RATE_PER_MINUTE ? rate->value : -1;
}

double limiter_capacity(const struct limiter_id *id)
{
	const struct rate *of_limit = id->limit ? limit_rate(id->limit, id->resource) : NULL;
	const struct rate *of_team = id->team ? team_rate(id->team, id->resource) : NULL;

	switch (id->kind) {
	case LIMITER_LIMIT:
		return per_minute(of_limit);
	case LIMITER_TEAM:
		return per_minute(of_team);
	case LIMITER_SHARE:
		if (per_minute(of_limit) < 0 || !of_team || of_team->kind != RATE_PERCENT)
			return -1;
		return of_limit->value * of_team->value / 100;
	}
	return -1;
}

// Whether the limiter counts no less than what the provider counts for one of its own limits.
static bool limit_mirrors(const struct limit *limit)
{
	if (limit->match.team || limit->match.user)
		return false;
	for (size_t i = 0; i < limit->n_keys; i++)
		if (limit->keys[i] == KEY_TEAM || limit->keys[i] == KEY_USER)
			return false;
	return true;
}

static bool limit_is_per_model(const struct limit *limit)
{
	for (size_t i = 0; i < limit->n_keys; i++)
		if (limit->keys[i] == KEY_MODEL)
			return true;
	return limit->match.model && !strpbrk(limit->match.model, "*?[\\");
}

static uint64_t hash_of(const struct limiter_id *id)
{
	uint64_t hash = hash_mix(id->kind, id->resource);

	hash = hash_mix(hash, (uintptr_t)id->limit);
	hash = hash_mix(hash, (uintptr_t)id->team);
	return hash_text(hash, id->key);
}

static bool is_meant(const struct limiter *l, const struct limiter_id *id)
{
	return l->kind == id->kind && l->resource == id->resource && l->limit == id->limit &&
	       l->team == id->team && !strcmp(l->key, id->key);
}

static struct limiter *limiter_new(struct governor *g, const struct limiter_id *id, uint64_t hash,
				   uint64_t now_ns)
{
	struct limiter *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->kind = id->kind;
	l->resource = id->resource;
	l->limit = id->limit;
	l->team = id->team;
	l->key = strdup(id->key);
	l->denies = id->limit && id->limit->over_limit == OVER_LIMIT_DENY;
	l->mirrors = id->kind == LIMITER_LIMIT && limit_mirrors(id->limit);
	l->per_model = id->limit && limit_is_per_model(id->limit);
	bucket_init(&l->bucket, limiter_capacity(id), g->policy->headroom_ns, now_ns);
	if (!l->key || hashtab_insert(&g->limiters, &l->node, hash)) {
		limiter_free(l);
		return NULL;
	}
	return l;
}

struct limiter *limiter_get(struct governor *g, const struct limiter_id *id, uint64_t now_ns)
{
	uint64_t hash = hash_of(id);
	struct hash_node *node = hashtab_find(&g->limiters, hash);

	for (; node; node = hashtab_find_next(node)) {
		struct limiter *l = container_of(node, struct limiter, node);

		if (is_meant(l, id))
			return l;
	}
	return limiter_new(g, id, hash, now_ns);
}

void limiter_free(struct limiter *l)
{
	free(l->key);
	free(l->shares);
	free(l->heap);
	free(l);
}

void limiters_collect(struct governor *g, uint64_t now_ns)
{
	struct hash_node *node, *next;

	if (g->limiters.count < g->collect_at)
		return;
	for (node = hashtab_first(&g->limiters); node; node = next) {
		struct limiter *l = container_of(node, struct limiter, node);

		next = hashtab_next(&g->limiters, node);
		if (l->refs || !bucket_is_fresh(&l->bucket, now_ns))
			continue;
		if (l->listed)
			TAILQ_REMOVE(&g->contested, l, contested);
		hashtab_remove(&g->limiters, node);
		limiter_free(l);
	}
	g->collect_at = 2 * g->limiters.count;
	if (g->collect_at < LIMITERS_KEPT)
		g->collect_at = LIMITERS_KEPT;
}

const char *limiter_denier(const struct limiter *l)
{
	return l->limit ? l->limit->name : l->team->name;
}
