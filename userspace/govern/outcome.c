// What becomes of an admitted request: it never left (refund), it costs something else (amend), the
// provider has said what remains (learn), it is over (settle).
//
// Correcting towards the provider. A response's headers tell what remained when the request was
// charged, but may be read seconds later, when both buckets have filled and more has been drawn.
// Lowering our level to a stale number would throw away the refill of those seconds, with every
// response, and the limit could never be used in full. So the number is brought up to date first:
//
//   estimate = remaining + fill × time since admission − what we have drawn since it arrived
//   level    = min(level, estimate)
//
// Requests overtake each other on their way, so what was drawn less than `headroom` after it may be
// in the number already: it counts as drawn since only from then on. (Counting it at once took 1 to
// 2 % of a minute's limit off a burst of hundreds.)
//
// If we alone use the bucket and our costs are right, the estimate is never below our level
// (bucket.h) and nothing happens. What others draw, or what we took for cheaper than it was, shows
// as a difference, once: later responses find the level already lowered.
//
// The level is raised only as far as is certain: nothing that the provider may not have counted yet
// is in the number, and its refill may have begun as late as `headroom` after admission.
//
//   certain = remaining + fill × (time since admission − headroom) − what we have drawn that it
//             need not contain: all since, and all that was on its way then
//
// So what we took for dearer than it was comes back, too. What we have refunded since does not
// count against what we have drawn there: that number may never have held it.
//
// Only limits that count what the provider counts learn (`mirrors`). One that is not of a single
// model may sum up several of the provider's limits; where the provider's limit is known to be
// smaller, the estimate is raised by the difference, so that one model's use is not taken for the
// whole. "limit-requests" may be a day's: a number is used only where its window is the limit's.
#include "govern/governor.h"

#include <math.h>
#include <string.h>
#include "govern/limiter.h"
#include "govern/ticket.h"
#include "govern/views.h"

#define MINUTE_S 60.0
#define DAY_S 86400.0
#define MINUTE_OR_DAY_S 2277.0 // their geometric mean
#define QUOTA_SHUT_NS (3600 * NS_PER_S)

// The ticket, if it is admitted.
static struct ticket *find_admitted(const struct governor *g, uint64_t id)
{
	struct ticket *t = ticket_find(g, id);

	return t && t->state == TICKET_ADMITTED ? t : NULL;
}

void governor_refund(struct governor *g, uint64_t id, uint64_t now_ns)
{
	struct ticket *t = find_admitted(g, id);

	if (!t)
		return;
	for (size_t i = 0; i < t->n_draws; i++)
		ticket_redraw(g, t, i, 0, now_ns);
	ticket_free(g, t);
}

void governor_amend(struct governor *g, uint64_t id, const double amounts[N_RESOURCES],
		    uint64_t now_ns)
{
	struct ticket *t = find_admitted(g, id);

	for (size_t i = 0; t && i < t->n_draws; i++)
		if (!t->draws[i].is_fixed)
			ticket_redraw(g, t, i, amounts[t->draws[i].limiter->resource], now_ns);
}

void governor_settle(struct governor *g, uint64_t id, const double used[N_RESOURCES],
		     uint64_t now_ns)
{
	struct ticket *t = find_admitted(g, id);

	if (!t) {
		governor_withdraw(g, id, false, now_ns);
		return;
	}
	for (size_t i = 0; used && i < t->n_draws; i++) {
		enum resource resource = t->draws[i].limiter->resource;

		if (is_settled_by_usage(resource) && !t->draws[i].is_fixed)
			ticket_redraw(g, t, i, used[resource], now_ns);
	}
	ticket_free(g, t);
}

static uint64_t after(uint64_t now_ns, uint64_t wait_ns)
{
	return wait_ns < BUCKET_NEVER - now_ns ? now_ns + wait_ns : BUCKET_NEVER;
}

// The provider's window, from reset = used / (limit / window). 0: it cannot be told.
static double told_window_s(const struct told *told)
{
	double used = told->limit - told->remaining, window_s;

	if (told->limit <= 0 || told->remaining < 0 || used <= 0 || told->reset_s <= 0)
		return 0;
	window_s = told->reset_s * told->limit / used;
	return window_s < MINUTE_OR_DAY_S ? MINUTE_S : DAY_S;
}

// Whether it speaks of a window like the limiter's. One that does not say which is a minute's.
static bool is_meant(const struct limiter *l, double window_s)
{
	double own_s = (double)l->bucket.terms.interval_ns / NS_PER_S;

	if (!window_s)
		window_s = MINUTE_S;
	return (own_s < MINUTE_OR_DAY_S) == (window_s < MINUTE_OR_DAY_S);
}

// An `auto` limit takes over what the provider says of its limit.
static void learn_limit(struct governor *g, struct limiter *l, const struct told *told,
			uint64_t now_ns)
{
	double window_s = told_window_s(told);

	if (told->limit <= 0)
		return;
	if (!window_s) // as far as is known by now
		window_s = l->is_learnt ? (double)l->bucket.terms.interval_ns / NS_PER_S : MINUTE_S;
	uint64_t interval_ns = (uint64_t)(window_s * NS_PER_S);
	if (l->is_learnt && l->bucket.terms.capacity == told->limit &&
	    l->bucket.terms.interval_ns == interval_ns)
		return;
	limiter_learn(g, l, told->limit, interval_ns, now_ns);
}

static void correct(struct governor *g, const struct ticket *t, const struct draw *draw,
		    const struct told *told, uint64_t now_ns)
{
	struct limiter *l = draw->limiter;
	double fill_per_s = bucket_fill_per_s(&l->bucket);
	double headroom_s = (double)g->policy->headroom_ns / NS_PER_S;
	double drawn_since = t->is_arriving ? 0 : fmax(0, l->drawn - draw->drawn_after);
	double age_s = now_ns > t->left_ns ? (double)(now_ns - t->left_ns) / NS_PER_S : 0;
	double estimate = told->remaining + fill_per_s * age_s - drawn_since;
	double certain = told->remaining + fill_per_s * fmax(0, age_s - headroom_s) -
			 (l->drawn_in_all - draw->drawn_before);

	if (!l->limit->is_per_model && told->limit > 0)
		estimate += fmax(0, l->bucket.terms.capacity - told->limit);
	bucket_lower_to(&l->bucket, estimate, now_ns);
	if (l->limit->is_per_model && told->limit == l->bucket.terms.capacity)
		bucket_raise_to(&l->bucket, certain, now_ns);
	l->is_changed = true;
}

static const struct told *told_of(const struct outcome *o, enum resource resource)
{
	if (resource == RESOURCE_REQUESTS)
		return &o->requests;
	return resource == RESOURCE_IMAGES ? &o->images : &o->tokens;
}

static void learn(struct governor *g, struct ticket *t, const struct draw *draw,
		  const struct outcome *o, bool is_429_on_any, uint64_t now_ns)
{
	struct limiter *l = draw->limiter;
	const struct told *told = told_of(o, l->resource);

	if (l->limit->is_auto)
		learn_limit(g, l, told, now_ns);
	if (told->remaining >= 0 && !isinf(l->bucket.terms.capacity) &&
	    is_meant(l, told_window_s(told)))
		correct(g, t, draw, told, now_ns);
	if (o->shut_ns && (o->is_429_on[l->resource] || !is_429_on_any))
		bucket_shut(&l->bucket, after(now_ns, o->shut_ns));
	if (o->quota_is_exhausted)
		bucket_shut(&l->bucket, after(now_ns, QUOTA_SHUT_NS));
	l->is_changed |= o->shut_ns || o->quota_is_exhausted;
	if (l->root.heap.n)
		limiter_touch(g, l);
}

void governor_learn(struct governor *g, uint64_t id, const struct outcome *o, uint64_t now_ns)
{
	struct ticket *t = find_admitted(g, id);
	bool is_429_on_any = false;

	tickets_arrive(g, now_ns);
	for (enum resource resource = 0; resource < N_RESOURCES; resource++)
		is_429_on_any |= o->is_429_on[resource];
	for (size_t i = 0; t && i < t->n_draws; i++) {
		const struct limiter *l = t->draws[i].limiter;

		if (l->kind == LIMITER_LIMIT && l->limit->mirrors)
			learn(g, t, &t->draws[i], o, is_429_on_any, now_ns);
	}
}

struct wanted {
	const char *policy, *key;
	bool is_meant;
};

static void compare(void *ctx, const struct bucket_view *view)
{
	struct wanted *wanted = ctx;

	wanted->is_meant = (!wanted->policy || !strcmp(wanted->policy, view->policy)) &&
			   (!wanted->key || !strcmp(wanted->key, view->key));
}

// Both by the names that people are shown, and by those of the policy.
static bool is_wanted(const struct limiter *l, const char *policy, const char *key, uint64_t now_ns)
{
	struct wanted wanted = {policy, key, false};
	const char *team = l->team ? l->team->name : NULL;

	limiter_show(l, now_ns, compare, &wanted);
	return wanted.is_meant || ((!policy || !strcmp(policy, limiter_denier(l)) ||
				    (team && !strcmp(policy, team))) &&
				   (!key || !strcmp(key, l->key)));
}

size_t governor_reset(struct governor *g, const char *policy, const char *key, uint64_t now_ns)
{
	struct hash_node *node;
	size_t n = 0;

	for (node = hashtab_first(&g->limiters); node; node = hashtab_next(&g->limiters, node)) {
		struct limiter *l = container_of(node, struct limiter, node);

		if (!is_wanted(l, policy, key, now_ns))
			continue;
		bucket_reset(&l->bucket, now_ns);
		for (size_t i = 0; i < l->n_guarantees; i++)
			bucket_reset(&l->guarantees[i].bucket, now_ns);
		l->is_changed = true;
		if (l->root.heap.n)
			limiter_touch(g, l);
		n++;
	}
	return n;
}
