// A new policy takes over while requests wait.
//
// The successor is built beside the running governor and replaces it only when complete, so a lack
// of memory leaves the old one as it was. Limiters are carried over by the names of their limit and
// team, resource, interval and key, with level, closure and what is needed to refund and to learn.
// Waiting requests are matched afresh in order of arrival and keep their age; the contest starts
// anew, with equal tags for all. What needs no waiting any more, or may not pass at all, is
// reported by the next governor_run().
#include "govern/governor.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "govern/absence.h"
#include "govern/demand.h"
#include "govern/lane.h"
#include "govern/limiter.h"
#include "govern/ticket.h"

static void governor_freep(struct governor **g)
{
	governor_free(*g);
}

static void freep(void *pointer)
{
	free(*(void **)pointer);
}

static const struct limit *limit_like(const struct policy *policy, const struct limit *old)
{
	for (size_t i = 0; old && i < policy->n_limits; i++) {
		const struct limit *limit = &policy->limits[i];

		if (!strcmp(limit->name, old->name) && limit->resource == old->resource &&
		    limit->interval_ns == old->interval_ns)
			return limit;
	}
	return NULL;
}

static void carry_guarantees(struct limiter *l, const struct limiter *old, uint64_t now_ns)
{
	for (size_t i = 0; i < l->n_guarantees; i++)
		for (size_t j = 0; j < old->n_guarantees; j++)
			if (!strcmp(l->guarantees[i].team->name, old->guarantees[j].team->name))
				bucket_inherit(&l->guarantees[i].bucket, &old->guarantees[j].bucket,
					       now_ns);
}

static int carry_limiter(struct governor *next, struct limiter *old, uint64_t now_ns)
{
	struct limiter_id id = {
		.kind = old->kind,
		.resource = old->resource,
		.limit = limit_like(next->policy, old->limit),
		.team = old->team ? policy_find_team(next->policy, old->team->name) : NULL,
		.key = old->key,
		.capacity = -1,
	};
	struct limiter *l;

	old->successor = NULL;
	if (!id.limit != !old->limit || !id.team != !old->team)
		return 0;
	if (id.limit && id.limit->tier)
		id.capacity = limiter_tier_capacity(id.limit, old->key);
	if (id.limit && id.limit->tier && id.capacity < 0)
		return 0;
	if (limiter_terms(next, &id).capacity <= 0)
		return 0;
	l = old->successor = limiter_get(next, &id, now_ns);
	if (!l)
		return -ENOMEM;
	if (old->is_learnt && id.limit->is_auto)
		limiter_learn(next, l, old->bucket.terms.capacity, old->bucket.terms.interval_ns,
			      now_ns);
	bucket_inherit(&l->bucket, &old->bucket, now_ns);
	carry_guarantees(l, old, now_ns);
	l->drawn_in_all = old->drawn_in_all;
	l->drawn = old->drawn;
	l->is_changed = true;
	return 0;
}

static int carry_admitted(struct governor *next, const struct ticket *old)
{
	__attribute__((cleanup(freep))) struct draw *draws =
		calloc(old->n_draws + 1, sizeof(*draws));
	struct ticket *t;
	size_t n_draws = 0;

	if (!draws)
		return -ENOMEM;
	for (size_t i = 0; i < old->n_draws; i++) {
		if (!old->draws[i].limiter->successor)
			continue;
		draws[n_draws] = old->draws[i];
		draws[n_draws].class = (struct class){0};
		if (old->is_detained) // as tickets_arrive() does it for the others
			draws[n_draws].drawn_after = old->draws[i].limiter->drawn;
		draws[n_draws++].limiter = old->draws[i].limiter->successor;
	}
	t = ticket_new(next, old->id, draws, n_draws);
	if (!t)
		return -ENOMEM;
	t->seq = old->seq;
	t->since_ns = old->since_ns;
	t->admitted_ns = old->admitted_ns;
	t->left_ns = old->left_ns;
	t->state = TICKET_ADMITTED;
	return 0;
}

static bool must_contend(const struct ticket *t)
{
	for (size_t i = 0; i < t->n_needs; i++)
		if (!t->draws[i].limiter->denies)
			return true;
	return false;
}

// For the next governor_run() to report.
static void decide(struct governor *next, struct ticket *t, const char *denied_by)
{
	t->state = TICKET_DECIDED;
	t->denied_by = denied_by;
	TAILQ_INSERT_TAIL(&next->decided, t, by_age);
	next->n_waiting++;
}

static int carry_waiting(struct governor *next, const struct ticket *old, const struct ask *ask,
			 uint64_t now_ns)
{
	struct demand demand;
	struct ticket *t;
	int r = demand_of(next, ask, false, NULL, now_ns, &demand);

	if (r)
		return r;
	t = ticket_new(next, old->id, next->scratch,
		       demand.denied_by ? 0 : demand.n_draws + demand.n_silent);
	if (!t)
		return -ENOMEM;
	t->n_needs = demand.denied_by ? 0 : demand.n_draws;
	t->seq = old->seq;
	t->since_ns = old->since_ns;
	t->timeout_ns = demand.timeout_ns;
	t->retry_key = old->retry_key;
	t->workload = demand.workload;
	if (must_contend(t))
		return lane_enqueue(next, t, false, now_ns);
	decide(next, t, demand.denied_by);
	return 0;
}

static int by_seq(const void *a, const void *b)
{
	const struct ticket *x = *(const struct ticket *const *)a;
	const struct ticket *y = *(const struct ticket *const *)b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static int carry_all_waiting(struct governor *next, const struct governor *g, ask_of_fn ask_of,
			     void *ctx, uint64_t now_ns)
{
	__attribute__((cleanup(freep))) const struct ticket **waiting =
		calloc(g->n_waiting + 1, sizeof(*waiting));
	const struct hash_node *node;
	size_t n = 0;
	int r = 0;

	if (!waiting)
		return -ENOMEM;
	for (node = hashtab_first(&g->tickets); node; node = hashtab_next(&g->tickets, node)) {
		const struct ticket *t = container_of(node, struct ticket, node);

		if (t->state != TICKET_ADMITTED)
			waiting[n++] = t;
	}
	qsort(waiting, n, sizeof(*waiting), by_seq);
	for (size_t i = 0; i < n && !r; i++) {
		struct ask ask = {.id = waiting[i]->id};

		if (ask_of(ctx, ask.id, &ask))
			r = carry_waiting(next, waiting[i], &ask, now_ns);
	}
	return r;
}

// `shares`: those of a part of another limiter, which must be there before.
static int carry_limiters(struct governor *next, const struct governor *g, bool shares,
			  uint64_t now_ns)
{
	struct hash_node *node;
	int r = 0;

	for (node = hashtab_first(&g->limiters); node && !r;
	     node = hashtab_next(&g->limiters, node)) {
		struct limiter *l = container_of(node, struct limiter, node);

		if ((l->kind == LIMITER_SHARE) == shares)
			r = carry_limiter(next, l, now_ns);
	}
	return r;
}

static int carry_tables(struct governor *next, const struct governor *g, uint64_t now_ns)
{
	const struct hash_node *node;
	int r = carry_limiters(next, g, false, now_ns);

	if (!r)
		r = carry_limiters(next, g, true, now_ns);
	for (node = hashtab_first(&g->tickets); node && !r;
	     node = hashtab_next(&g->tickets, node)) {
		const struct ticket *t = container_of(node, struct ticket, node);

		if (t->state == TICKET_ADMITTED)
			r = carry_admitted(next, t);
	}
	return r;
}

// A list's first and last members point back into its head, which has been moved.
#define LIST_MOVED(head, field)                                                                    \
	do {                                                                                       \
		if (TAILQ_EMPTY(head))                                                             \
			TAILQ_INIT(head);                                                          \
		else                                                                               \
			TAILQ_FIRST(head)->field.tqe_prev = &TAILQ_FIRST(head);                    \
	} while (0)

static void lists_moved(struct governor *g)
{
	LIST_MOVED(&g->decided, by_age);
	LIST_MOVED(&g->arriving, by_arrival);
	LIST_MOVED(&g->absent, by_end);
	LIST_MOVED(&g->touched, touched);
	LIST_MOVED(&g->holders, holding);
	LIST_MOVED(&g->rules.by_use, by_use);
}

static void swap(struct governor *a, struct governor *b)
{
	struct governor was = *a;

	*a = *b;
	*b = was;
	lists_moved(a);
	lists_moved(b);
}

static void carry_stats(struct governor *next, struct governor *g, uint64_t now_ns)
{
	struct hash_node *node;

	for (node = hashtab_first(&g->limiters); node; node = hashtab_next(&g->limiters, node))
		limiter_count_saturated(g, container_of(node, struct limiter, node), now_ns);
	for (size_t i = 0; i < g->policy->n_limits; i++) {
		const struct limit *limit = limit_like(next->policy, &g->policy->limits[i]);

		if (limit)
			next->stats[limit - next->policy->limits] = g->stats[i];
	}
}

// What does not depend on the policy.
static void carry_rest(struct governor *next, struct governor *g)
{
	struct hashtab none = next->absences;

	absences_unpin(g);
	next->seq = g->seq;
	next->absences = g->absences;
	g->absences = none;
	TAILQ_CONCAT(&next->absent, &g->absent, by_end);
}

int governor_reload(struct governor *g, const struct policy *policy, ask_of_fn ask_of, void *ctx,
		    uint64_t now_ns)
{
	__attribute__((cleanup(governor_freep))) struct governor *next =
		governor_new(policy, now_ns, g->wall_offset_ns);
	int r;

	tickets_arrive(g, UINT64_MAX); // their policy's headroom is gone
	r = next ? carry_tables(next, g, now_ns) : -ENOMEM;
	if (r)
		return r;
	rules_carry(&next->rules, &g->rules); // what waits is matched by its place in its sequence
	r = carry_all_waiting(next, g, ask_of, ctx, now_ns);
	if (r) {
		rules_carry(&g->rules, &next->rules);
		return r;
	}
	carry_stats(next, g, now_ns);
	carry_rest(next, g);
	swap(g, next);
	return 0;
}
