// What people see: the levels, and who waits for how long yet.
//
// The expected time of leaving is found by letting copies of the buckets run ahead, in two passes
// over all n waiting requests, O(n log n):
//   1. at each limiter, as if it were the only one: its waiting requests in order of finish tag,
//      each leaving when the copy suffices;
//   2. in the order that gives, on all limiters at once: each leaves when the last of its limiters
//      suffices, and no earlier than the one before it in its lane.
// For saturated lanes that share all limiters or none, this is what will happen if nothing
// else comes. Lanes that share some limiters are put in a plausible order only: the second
// pass does not play the contest again. What a maximum wait ends is expected at its end if it is
// then admitted, and never if it is denied.
#include "govern/governor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "govern/contest.h"
#include "govern/lane.h"
#include "govern/limiter.h"

static void freep(void *pointer)
{
	free(*(void **)pointer);
}

#define CLEANUP_FREE __attribute__((cleanup(freep)))

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
	size_t bytes = strlen(a) + strlen(separator) + strlen(b) + 1;
	char *text = malloc(bytes);

	if (text)
		snprintf(text, bytes, "%s%s%s", a, separator, b);
	return text;
}

static void show(const struct limiter *l, uint64_t now_ns,
		 void (*fn)(void *ctx, const struct bucket_view *), void *ctx)
{
	CLEANUP_FREE char *team = l->team ? joined("team", " ", l->team->name) : NULL;
	CLEANUP_FREE char *key = l->kind == LIMITER_SHARE
					 ? joined(l->limit->name, *l->key ? "," : "", l->key)
					 : NULL;

	fn(ctx, &(struct bucket_view){
			.policy = team ? team : limiter_denier(l),
			.key = key ? key : l->key,
			.resource = l->resource == RESOURCE_REQUESTS ? "requests" : "tokens",
			.capacity = l->bucket.capacity,
			.level = bucket_level(&l->bucket, now_ns),
			.fill_per_s = l->bucket.fill_per_s,
			.queued = l->queued,
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
			show(l, now_ns, fn, ctx);
	}
	if (!sorted)
		return;
	qsort(sorted, n, sizeof(*sorted), by_name);
	for (size_t i = 0; i < n; i++)
		show(sorted[i], now_ns, fn, ctx);
}

struct forecast {
	const struct ticket *t;
	double finish; // at the limiter where its lane waits
	uint64_t leaves_ns;
};

static const struct limiter *home_of(const struct ticket *t)
{
	return t->lane ? t->lane->needs[t->lane->home].limiter : NULL;
}

static int by_home_and_finish(const void *a, const void *b)
{
	const struct forecast *x = a, *y = b;

	if (home_of(x->t) != home_of(y->t))
		return home_of(x->t) < home_of(y->t) ? -1 : 1;
	if (x->finish != y->finish)
		return x->finish < y->finish ? -1 : 1;
	return x->t->seq < y->t->seq ? -1 : 1;
}

// Within a lane and time, finish tags keep the order of arrival.
static int by_leaving(const void *a, const void *b)
{
	const struct forecast *x = a, *y = b;

	if (x->leaves_ns != y->leaves_ns)
		return x->leaves_ns < y->leaves_ns ? -1 : 1;
	if (x->finish != y->finish)
		return x->finish < y->finish ? -1 : 1;
	return x->t->seq < y->t->seq ? -1 : x->t->seq > y->t->seq;
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

	for (size_t i = 0; i < t->n_draws; i++) {
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

	if (at_ns == BUCKET_NEVER || waits_ns <= g->policy->max_wait_ns)
		return at_ns;
	return g->policy->on_max_wait == MAX_WAIT_ADMIT ? t->since_ns + g->policy->max_wait_ns
							: BUCKET_NEVER;
}

static void forecast_at_home(struct governor *g, struct forecast *f, size_t n, uint64_t now_ns)
{
	start_forecast(g, now_ns);
	for (size_t i = 0; i < n; i++) {
		const struct lane *lane = f[i].t->lane;

		f[i].leaves_ns = now_ns;
		if (!lane)
			continue;
		struct limiter *l = lane->needs[lane->home].limiter;
		double amount = f[i].t->draws[lane->home].amount;
		f[i].leaves_ns = suffices_ns(l, amount);
		draw_forecast(l, amount, f[i].leaves_ns);
	}
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

// All waiting tickets with their finish tags, each lane's in a chain.
static size_t collect(const struct governor *g, struct forecast *f)
{
	const struct hash_node *node;
	const struct ticket *t;
	size_t n = 0;

	TAILQ_FOREACH (t, &g->decided, by_age)
		f[n++] = (struct forecast){.t = t};
	for (node = hashtab_first(&g->lanes); node; node = hashtab_next(&g->lanes, node)) {
		const struct lane *lane = container_of(node, struct lane, node);
		double finish = lane->needs[lane->home].start;

		TAILQ_FOREACH (t, &lane->tickets, in_lane) {
			finish += t->draws[lane->home].amount / weight_of(lane->team);
			f[n++] = (struct forecast){.t = t, .finish = finish};
		}
	}
	return n;
}

static uint64_t from_now(uint64_t at_ns, uint64_t now_ns)
{
	if (at_ns == BUCKET_NEVER)
		return UINT64_MAX;
	return at_ns > now_ns ? at_ns - now_ns : 0;
}

void governor_each_waiting(struct governor *g, uint64_t now_ns,
			   void (*fn)(void *ctx, const struct waiting_view *), void *ctx)
{
	CLEANUP_FREE struct forecast *f = calloc(g->n_waiting + 1, sizeof(*f));
	size_t n = f ? collect(g, f) : 0;

	if (!n)
		return;
	qsort(f, n, sizeof(*f), by_home_and_finish);
	forecast_at_home(g, f, n, now_ns);
	qsort(f, n, sizeof(*f), by_leaving);
	forecast_everywhere(g, f, n, now_ns);
	qsort(f, n, sizeof(*f), by_leaving);
	for (size_t i = 0; i < n; i++) {
		const struct ticket *t = f[i].t;
		const struct ask *ask = t->ask;

		fn(ctx, &(struct waiting_view){
				.id = t->id,
				.team = ask->team ? ask->team->name : "",
				.model = ask->model ? ask->model : "",
				.priority = ask->team ? ask->team->priority : 1,
				.cost_tokens = ask->tokens,
				.waiting_ns = now_ns > t->since_ns ? now_ns - t->since_ns : 0,
				.eta_ns = from_now(f[i].leaves_ns, now_ns),
			});
	}
}
