// Limiters are found by hash of what they enforce. Memory is bounded although keys may come from
// requests (user, model): beyond LIMITERS_KEPT, those that are full and unused are dropped, since a
// new one would be full too. Those in use are bounded by the traffic of the limits' intervals;
// beyond LIMITERS_MOST, what is new shares one limiter for each limit. The next collection waits
// until the number has doubled, so its cost is constant per limiter made.
#include "govern/limiter.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "govern/contest.h"

#define MINUTE_NS (60 * NS_PER_S)

static const struct rate *team_rate(const struct team *team, enum resource resource)
{
	static const struct rate none = {RATE_ABSENT, 0};

	if (resource == RESOURCE_REQUESTS)
		return &team->rpm;
	return resource == RESOURCE_TOKENS ? &team->tpm : &none;
}

static struct bucket_terms terms_of_limit(const struct governor *g, const struct limit *limit,
					  double capacity)
{
	return (struct bucket_terms){
		.capacity = capacity >= 0 ? capacity : limit->capacity,
		.fill_amount = capacity >= 0 ? capacity : limit->fill_amount,
		.interval_ns = limit->interval_ns,
		.is_stepwise = limit->is_stepwise,
		.delays_fill = limit->delays_fill,
		// Only what the provider counts, too, can be counted there later than here.
		.headroom_ns = limit->mirrors ? g->policy->headroom_ns : 0,
		.calendar = limit->calendar,
		.zone = g->policy->zone,
	};
}

// Of what a team's share of an `auto` limit is a share: what the provider has told by now.
static struct bucket_terms learnt_terms(const struct governor *g, const struct limiter_id *id,
					const struct bucket_terms *unknown)
{
	struct limiter_id whole = *id;
	const struct limiter *l;

	whole.kind = LIMITER_LIMIT;
	whole.team = NULL;
	l = limiter_find(g, &whole);
	return l && l->is_learnt ? l->bucket.terms : *unknown;
}

struct bucket_terms limiter_terms(const struct governor *g, const struct limiter_id *id)
{
	struct bucket_terms terms = {.capacity = -1, .interval_ns = MINUTE_NS};
	const struct rate *rate = id->team ? team_rate(id->team, id->resource) : NULL;

	if (id->kind != LIMITER_TEAM && id->limit)
		terms = terms_of_limit(g, id->limit, id->capacity);
	if (id->kind == LIMITER_SHARE && id->limit && id->limit->is_auto)
		terms = learnt_terms(g, id, &terms);
	if (id->kind == LIMITER_TEAM && rate->kind == RATE_PER_MINUTE) {
		terms.capacity = terms.fill_amount = rate->value;
		terms.headroom_ns = g->policy->headroom_ns;
	}
	if (id->kind == LIMITER_SHARE) {
		if (rate->kind != RATE_PERCENT || isinf(terms.capacity))
			terms.capacity = -1;
		terms.capacity *= rate->kind == RATE_PERCENT ? rate->value / 100 : 1;
		terms.fill_amount *= rate->value / 100;
	}
	return terms;
}

double limiter_tier_capacity(const struct limit *limit, const char *key)
{
	const char *comma = strrchr(key, ',');
	const struct tier_row *row =
		tier_find(limit->tier_rows, limit->n_tier_rows, comma ? comma + 1 : key);

	if (!row)
		return -1;
	return limit->resource == RESOURCE_REQUESTS ? row->rpm
	       : limit->resource == RESOURCE_TOKENS ? row->tpm
						    : row->ipm;
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

// A bucket for each team with a guarantee.
static int add_guarantees(struct governor *g, struct limiter *l, uint64_t now_ns)
{
	const struct policy *policy = g->policy;
	struct bucket_terms terms = l->bucket.terms;
	size_t n = 0;

	for (size_t i = 0; i < policy->n_teams; i++)
		n += policy->teams[i].guarantee > 0;
	if (l->kind != LIMITER_LIMIT || !n || isinf(terms.capacity))
		return 0;
	l->guarantees = calloc(n, sizeof(*l->guarantees));
	if (!l->guarantees)
		return -ENOMEM;
	for (size_t i = 0; i < policy->n_teams; i++) {
		const struct team *team = &policy->teams[i];
		struct bucket_terms part = terms;

		if (team->guarantee <= 0)
			continue;
		part.capacity *= team->guarantee / 100;
		part.fill_amount *= team->guarantee / 100;
		l->guarantees[l->n_guarantees].team = team;
		bucket_init(&l->guarantees[l->n_guarantees++].bucket, &part, now_ns,
			    g->wall_offset_ns);
	}
	return 0;
}

// The teams' percentages of a limit that the provider has told.
static void retune_shares(struct governor *g, const struct limiter *whole, uint64_t now_ns)
{
	for (size_t i = 0; i < g->policy->n_teams; i++) {
		struct limiter_id id = {.kind = LIMITER_SHARE,
					.resource = whole->resource,
					.limit = whole->limit,
					.team = &g->policy->teams[i],
					.key = whole->key,
					.capacity = -1};
		struct limiter *share = limiter_find(g, &id);
		struct bucket_terms terms = limiter_terms(g, &id);

		if (share && terms.capacity > 0)
			bucket_retune(&share->bucket, terms.capacity, terms.interval_ns, now_ns);
	}
}

void limiter_learn(struct governor *g, struct limiter *l, double capacity, uint64_t interval_ns,
		   uint64_t now_ns)
{
	bucket_retune(&l->bucket, capacity, interval_ns, now_ns);
	l->is_learnt = l->is_changed = true;
	for (size_t i = 0; i < l->n_guarantees; i++) {
		struct guarantee *guarantee = &l->guarantees[i];

		bucket_retune(&guarantee->bucket, capacity * guarantee->team->guarantee / 100,
			      interval_ns, now_ns);
	}
	if (l->guarantees || !add_guarantees(g, l, now_ns)) // without memory there are none
		contest_find_guaranteed(l);
	retune_shares(g, l, now_ns);
}

static struct limiter *limiter_new(struct governor *g, const struct limiter_id *id, uint64_t hash,
				   uint64_t now_ns)
{
	struct limiter *l = calloc(1, sizeof(*l));
	struct bucket_terms terms = limiter_terms(g, id);

	if (!l)
		return NULL;
	contest_init(l);
	l->kind = id->kind;
	l->resource = id->resource;
	l->limit = id->limit;
	l->team = id->team;
	l->key = strdup(id->key);
	// What never fills cannot be waited for, either.
	l->denies = (id->limit && id->limit->over_limit == OVER_LIMIT_DENY) ||
		    (terms.fill_amount <= 0 && !terms.calendar);
	bucket_init(&l->bucket, &terms, now_ns, g->wall_offset_ns);
	if (!l->key || add_guarantees(g, l, now_ns) ||
	    heap_reserve(&g->due, g->limiters.count + 1) ||
	    hashtab_insert(&g->limiters, &l->node, hash)) {
		limiter_free(l);
		return NULL;
	}
	return l;
}

static struct limiter *find(const struct governor *g, const struct limiter_id *id, uint64_t hash)
{
	struct hash_node *node = hashtab_find(&g->limiters, hash);

	for (; node; node = hashtab_find_next(node)) {
		struct limiter *l = container_of(node, struct limiter, node);

		if (is_meant(l, id))
			return l;
	}
	return NULL;
}

struct limiter *limiter_find(const struct governor *g, const struct limiter_id *id)
{
	return find(g, id, hash_of(id));
}

struct limiter *limiter_get(struct governor *g, const struct limiter_id *id, uint64_t now_ns)
{
	uint64_t hash = hash_of(id);
	struct limiter *l = find(g, id, hash);
	struct limiter_id others = *id;

	if (l || g->limiters.count < LIMITERS_MOST)
		return l ? l : limiter_new(g, id, hash, now_ns);
	others.key = "(others)";
	hash = hash_of(&others);
	l = find(g, &others, hash);
	return l ? l : limiter_new(g, &others, hash, now_ns);
}

// Up to a comma that is not escaped (demand.c).
static size_t part_bytes(const char *key)
{
	size_t n = 0;

	while (key[n] && key[n] != ',')
		n += key[n] == '\\' && key[n + 1] ? 2 : 1;
	return n;
}

// Whether the key is `known`, but for the parts that are empty there.
static bool fits(const char *known, const char *key)
{
	for (;; known++, key++) {
		size_t n_known = part_bytes(known), n = part_bytes(key);

		if (n_known && (n_known != n || memcmp(known, key, n)))
			return false;
		known += n_known;
		key += n;
		if (!*known || !*key)
			return *known == *key;
	}
}

struct limiter *limiter_scarcest(const struct governor *g, const struct limiter_id *id,
				 uint64_t now_ns)
{
	struct limiter *found = NULL;
	double least = INFINITY;

	for (struct hash_node *n = hashtab_first(&g->limiters); n;
	     n = hashtab_next(&g->limiters, n)) {
		struct limiter *l = container_of(n, struct limiter, node);
		double level;

		if (l->kind != id->kind || l->resource != id->resource || l->limit != id->limit ||
		    l->team != id->team || !fits(id->key, l->key))
			continue;
		level = bucket_level(&l->bucket, now_ns);
		if (level < least) {
			least = level;
			found = l;
		}
	}
	return found;
}

void limiter_free(struct limiter *l)
{
	contest_free(l);
	free(l->guarantees);
	free(l->key);
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
		// Changes not saved yet do not keep it: what was saved before is full by now, too.
		if (l->refs || l->is_learnt || !bucket_is_fresh(&l->bucket, now_ns))
			continue;
		limiter_untouch(g, l);
		heap_remove(&g->due, &l->by_due);
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

void limiter_touch(struct governor *g, struct limiter *l)
{
	if (!l->is_touched)
		TAILQ_INSERT_TAIL(&g->touched, l, touched);
	l->is_touched = true;
}

void limiter_untouch(struct governor *g, struct limiter *l)
{
	if (l->is_touched)
		TAILQ_REMOVE(&g->touched, l, touched);
	l->is_touched = false;
}

static void draw_guarantee(struct guarantee *guarantee, double amount, uint64_t now_ns)
{
	struct bucket *b = &guarantee->bucket;

	if (!bucket_admits(b, amount, now_ns)) // borrowed: no debt
		amount = fmin(amount, fmax(bucket_level(b, now_ns), 0));
	bucket_draw(b, amount, now_ns);
}

void limiter_draw(struct limiter *l, const struct team *team, double amount, uint64_t now_ns)
{
	for (size_t i = 0; i < l->n_guarantees; i++)
		if (l->guarantees[i].team == team)
			draw_guarantee(&l->guarantees[i], amount, now_ns);
	bucket_draw(&l->bucket, amount, now_ns);
	l->drawn_in_all += amount;
	l->drawn += amount;
	l->passed += amount;
	l->is_changed = true;
}

static void redraw(struct bucket *b, double more, uint64_t drawn_ns, uint64_t now_ns)
{
	if (more > 0)
		bucket_draw(b, more, now_ns);
	else if (more < 0)
		bucket_refund(b, -more, drawn_ns, now_ns);
}

void limiter_redraw(struct limiter *l, const struct team *team, double more, uint64_t drawn_ns,
		    uint64_t now_ns)
{
	for (size_t i = 0; i < l->n_guarantees; i++)
		if (l->guarantees[i].team == team && more > 0)
			draw_guarantee(&l->guarantees[i], more, now_ns);
		else if (l->guarantees[i].team == team)
			redraw(&l->guarantees[i].bucket, more, drawn_ns, now_ns);
	redraw(&l->bucket, more, drawn_ns, now_ns);
}

void limiter_count_saturated(struct governor *g, struct limiter *l, uint64_t now_ns)
{
	if (l->is_saturated && l->kind == LIMITER_LIMIT && now_ns > l->saturated_since_ns) {
		struct limit_stats *stats = &g->stats[l->limit - g->policy->limits];
		uint64_t ns = now_ns - l->saturated_since_ns;

		stats->saturated_ns += ns;
		stats->saturated_filled += bucket_fill_per_s(&l->bucket) * ((double)ns / NS_PER_S);
		stats->saturated_accepted += l->passed - l->passed_before;
	}
	l->is_saturated = l->root.heap.n;
	l->saturated_since_ns = now_ns;
	l->passed_before = l->passed;
}

void limiter_await(struct limiter *l, double amount)
{
	l->queued++;
	l->waiting += amount;
}

void limiter_unawait(struct limiter *l, double amount)
{
	l->waiting -= amount;
	if (!--l->queued)
		l->waiting = 0; // and no rounding error
}
