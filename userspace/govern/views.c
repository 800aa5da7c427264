// What people see: the levels, and who waits for how long yet.
//
// The expected time of leaving is found by letting copies of the buckets run ahead, in two passes
// over all n waiting requests, O(n log n):
//   1. at each limiter, as if it were the only one: its waiting requests in the order of its
//      contest, each leaving when the copy suffices. That order is found from the leaves of the
//      tree up: at each share the requests of its children are given the finish tags that they
//      will have, and merged by them;
//   2. in the order that gives, on all limiters at once: each leaves when the last of its limiters
//      suffices, and no earlier than the one before it in its lane.
// For saturated lanes that share all limiters or none, this is what will happen if nothing
// else comes. Lanes that share some limiters are put in a plausible order only: the second
// pass does not play the contest again. What a timeout ends is expected at its end if it is
// then admitted, and never if it is denied.
#include "govern/governor.h"

#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "govern/contest.h"
#include "govern/lane.h"
#include "govern/limiter.h"
#include "govern/views.h"

// Limits before teams, then by name, key and resource.
static int by_name(const void *a, const void *b)
{
	const struct limiter *x = *(const struct limiter *const *)a;
	const struct limiter *y = *(const struct limiter *const *)b;
	int order = !!x->team - !!y->team;

	if (!order)
		order = x->team ? strcmp(x->team->name, y->team->name)
				: strcmp(x->limit->name, y->limit->name);
	if (!order)
		order = (int)x->kind - (int)y->kind;
	if (!order && x->kind == LIMITER_SHARE)
		order = strcmp(x->limit->name, y->limit->name);
	if (!order)
		order = strcmp(x->key, y->key);
	return order ? order : (int)x->resource - (int)y->resource;
}

// NULL: no memory.
static char *joined(const char *a, const char *separator, const char *b)
{
	char *text;

	return asprintf(&text, "%s%s%s", a, separator, b) < 0 ? NULL : text;
}

void limiter_show(const struct limiter *l, uint64_t now_ns,
		  void (*fn)(void *ctx, const struct bucket_view *), void *ctx)
{
	CLEANUP_FREE char *team = l->team ? joined("team", " ", l->team->name) : NULL;
	CLEANUP_FREE char *key = l->kind == LIMITER_SHARE
					 ? joined(l->limit->name, *l->key ? "," : "", l->key)
					 : NULL;
	const struct bucket *b = &l->bucket;

	fn(ctx, &(struct bucket_view){
			.policy = team ? team : limiter_denier(l),
			.key = key ? key : l->key,
			.resource = l->resource,
			.capacity = b->terms.capacity,
			.level = bucket_level(b, now_ns),
			.fill_per_s = bucket_fill_per_s(b),
			.interval_ns = b->terms.interval_ns,
			.shut_ns = b->shut_until_ns == BUCKET_NEVER ? UINT64_MAX
				   : b->shut_until_ns > now_ns      ? b->shut_until_ns - now_ns
								    : 0,
			.queued = l->queued,
			.is_learnt = l->is_learnt,
		});
}

void governor_each_bucket(struct governor *g, uint64_t now_ns,
			  void (*fn)(void *ctx, const struct bucket_view *), void *ctx)
{
	CLEANUP_FREE const struct limiter **sorted = calloc(g->limiters.count + 1, sizeof(*sorted));
	struct hash_node *node;
	size_t n = 0;

	for (node = hashtab_first(&g->limiters); node; node = hashtab_next(&g->limiters, node)) {
		struct limiter *l = container_of(node, struct limiter, node);

		if (sorted)
			sorted[n++] = l;
		else
			limiter_show(l, now_ns, fn, ctx);
	}
	if (!sorted)
		return;
	qsort(sorted, n, sizeof(*sorted), by_name);
	for (size_t i = 0; i < n; i++)
		limiter_show(sorted[i], now_ns, fn, ctx);
}

void governor_each_limit(struct governor *g, uint64_t now_ns,
			 void (*fn)(void *ctx, const struct limit_view *), void *ctx)
{
	struct hash_node *node;

	for (node = hashtab_first(&g->limiters); node; node = hashtab_next(&g->limiters, node))
		limiter_count_saturated(g, container_of(node, struct limiter, node), now_ns);
	for (size_t i = 0; i < g->policy->n_limits; i++) {
		const struct limit_stats *s = &g->stats[i];

		fn(ctx, &(struct limit_view){
				.limit = &g->policy->limits[i],
				.offered = s->offered,
				.accepted = s->accepted,
				.n_offered = s->n_offered,
				.n_accepted = s->n_accepted,
				.n_denied = s->n_denied,
				.n_without_key = s->n_without_key,
				.saturated_accepted = s->saturated_accepted,
				.saturated_filled = s->saturated_filled,
				.saturated_ns = s->saturated_ns,
			});
	}
}

struct forecast {
	const struct ticket *t;
	double tag; // finish at the share that is being merged
	uint64_t leaves_ns;
};

static unsigned tier_of(const struct ticket *t)
{
	return t->lane->needs[t->lane->home].leaf->class.tier;
}

static int by_tag(const void *a, const void *b)
{
	const struct forecast *x = a, *y = b;

	if (tier_of(x->t) != tier_of(y->t))
		return tier_of(x->t) < tier_of(y->t) ? -1 : 1;
	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	return x->t->seq < y->t->seq ? -1 : 1;
}

static int by_seq(const void *a, const void *b)
{
	const struct forecast *x = a, *y = b;

	return x->t->seq < y->t->seq ? -1 : 1;
}

// Within a lane and time, the contest's order is kept: `tag` holds the place in it.
static int by_leaving(const void *a, const void *b)
{
	const struct forecast *x = a, *y = b;

	if (x->leaves_ns != y->leaves_ns)
		return x->leaves_ns < y->leaves_ns ? -1 : 1;
	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	return x->t->seq < y->t->seq ? -1 : x->t->seq > y->t->seq;
}

// Appends the requests that wait below the share, in the order in which it will let them go.
static size_t order_below(const struct share *share, struct forecast *f)
{
	size_t n = 0;

	for (size_t i = 0; i < share->heap.n; i++) {
		struct heap_node *node = share->heap.entries[i].node;
		const struct ticket *t;

		if (share->level == LEVEL_PRIORITY) {
			TAILQ_FOREACH (t, &container_of(node, struct lane, in_leaf)->tickets,
				       in_lane)
				f[n++] = (struct forecast){.t = t};
			continue;
		}
		const struct share *child = container_of(node, struct share, in_parent);
		size_t n_child = order_below(child, f + n);
		double tag = child->start;
		for (; n_child--; n++) {
			const struct lane *lane = f[n].t->lane;

			tag += f[n].t->draws[lane->home].amount /
			       (child->weight * lane->needs[lane->home].leaf->class.priority);
			f[n].tag = tag;
		}
	}
	qsort(f, n, sizeof(*f), share->level == LEVEL_PRIORITY ? by_seq : by_tag);
	return n;
}

static void start_forecast(struct governor *g, uint64_t now_ns)
{
	struct hash_node *node;

	for (node = hashtab_first(&g->limiters); node; node = hashtab_next(&g->limiters, node)) {
		struct limiter *l = container_of(node, struct limiter, node);

		l->forecast = l->bucket;
		l->forecast_ns = now_ns;
	}
}

// When the copy suffices, no earlier than what has been drawn from it before.
static uint64_t suffices_ns(const struct limiter *l, double amount)
{
	return bucket_ready_ns(&l->forecast, amount, l->forecast_ns);
}

static void draw_forecast(struct limiter *l, double amount, uint64_t at_ns)
{
	if (at_ns == BUCKET_NEVER)
		return;
	bucket_draw(&l->forecast, amount, at_ns);
	if (at_ns > l->forecast_ns)
		l->forecast_ns = at_ns;
}

// When the copies of all its limiters suffice.
static uint64_t all_suffice_ns(const struct ticket *t, uint64_t now_ns)
{
	uint64_t at_ns = now_ns;

	for (size_t i = 0; i < t->n_needs; i++) {
		const struct limiter *l = t->draws[i].limiter;
		uint64_t ready_ns = l->denies ? now_ns : suffices_ns(l, t->draws[i].amount);

		if (ready_ns > at_ns)
			at_ns = ready_ns;
	}
	return at_ns;
}

static uint64_t at_most_its_wait(const struct governor *g, const struct ticket *t, uint64_t at_ns)
{
	uint64_t waits_ns = at_ns > t->since_ns ? at_ns - t->since_ns : 0;

	if (at_ns == BUCKET_NEVER || waits_ns <= t->timeout_ns)
		return at_ns;
	return g->policy->on_max_wait == MAX_WAIT_ADMIT ? t->since_ns + t->timeout_ns
							: BUCKET_NEVER;
}

// All waiting tickets, each with when it would leave if its home were its only limiter.
static size_t forecast_at_home(struct governor *g, struct forecast *f, uint64_t now_ns)
{
	struct hash_node *node;
	const struct ticket *t;
	size_t n = 0;

	TAILQ_FOREACH (t, &g->decided, by_age)
		f[n++] = (struct forecast){.t = t, .leaves_ns = now_ns};
	start_forecast(g, now_ns);
	for (node = hashtab_first(&g->limiters); node; node = hashtab_next(&g->limiters, node)) {
		struct limiter *l = container_of(node, struct limiter, node);
		size_t end = n + order_below(&l->root, f + n);

		for (size_t place = 0; n < end; n++) {
			double amount = f[n].t->draws[f[n].t->lane->home].amount;

			f[n].tag = (double)place++;
			f[n].leaves_ns = suffices_ns(l, amount);
			draw_forecast(l, amount, f[n].leaves_ns);
		}
	}
	return n;
}

static void forecast_everywhere(struct governor *g, struct forecast *f, size_t n, uint64_t now_ns)
{
	start_forecast(g, now_ns);
	for (size_t i = 0; i < n; i++) {
		const struct ticket *t = f[i].t;

		f[i].leaves_ns = at_most_its_wait(g, t, all_suffice_ns(t, now_ns));
		for (size_t j = 0; j < t->n_draws; j++)
			draw_forecast(t->draws[j].limiter, t->draws[j].amount, f[i].leaves_ns);
	}
}

void governor_each_waiting(struct governor *g, uint64_t now_ns,
			   void (*fn)(void *ctx, const struct waiting_view *), void *ctx)
{
	CLEANUP_FREE struct forecast *f = calloc(g->n_waiting + 1, sizeof(*f));
	size_t n = f ? forecast_at_home(g, f, now_ns) : 0;

	if (!n)
		return;
	qsort(f, n, sizeof(*f), by_leaving);
	forecast_everywhere(g, f, n, now_ns);
	qsort(f, n, sizeof(*f), by_leaving);
	for (size_t i = 0; i < n; i++) {
		const struct ticket *t = f[i].t;
		uint64_t leaves_ns = f[i].leaves_ns;

		fn(ctx, &(struct waiting_view){
				.id = t->id,
				.workload = t->workload ? t->workload->name : NULL,
				.priority = t->n_draws ? t->draws[t->primary].class.priority : 1,
				.waiting_ns = now_ns > t->since_ns ? now_ns - t->since_ns : 0,
				.eta_ns = leaves_ns == BUCKET_NEVER ? UINT64_MAX
					  : leaves_ns > now_ns      ? leaves_ns - now_ns
								    : 0,
			});
	}
}
