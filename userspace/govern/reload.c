// A new policy takes over while requests wait.
//
// The successor is built beside the running governor and replaces it only when complete, so a lack
// of memory leaves the old one as it was. Limiters are carried over by the names of their limit and
// team, resource and key, with level, closure and what is needed to refund and to learn. Waiting
// requests are matched afresh in order of arrival and keep their age; the contest starts anew, with
// equal tags for all. What needs no waiting any more, or may not pass at all, is reported by the
// next governor_run().
#include "govern/governor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "govern/demand.h"
#include "govern/lane.h"
#include "govern/limiter.h"
#include "govern/ticket.h"

static void governor_freep(struct governor **g)
{
	governor_free(*g);
}

static void freep(struct draw **draws)
{
	free(*draws);
}

static const struct limit *limit_named(const struct policy *policy, const struct limit *old)
{
	for (size_t i = 0; old && i < policy->n_limits; i++)
		if (!strcmp(policy->limits[i].name, old->name))
			return &policy->limits[i];
	return NULL;
}

static const struct team *team_named(const struct policy *policy, const struct team *old)
{
	for (size_t i = 0; old && i < policy->n_teams; i++)
		if (!strcmp(policy->teams[i].name, old->name))
			return &policy->teams[i];
	return NULL;
}

static int carry_limiter(struct governor *next, struct limiter *old, uint64_t now_ns)
{
	struct limiter_id id = {old->kind, old->resource, limit_named(next->policy, old->limit),
				team_named(next->policy, old->team), old->key};

	old->successor = NULL;
	if (!id.limit != !old->limit || !id.team != !old->team || limiter_capacity(&id) <= 0)
		return 0;
	old->successor = limiter_get(next, &id, now_ns);
	if (!old->successor)
		return -ENOMEM;
	bucket_inherit(&old->successor->bucket, &old->bucket, now_ns);
	old->successor->drawn = old->drawn;
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
		draws[n_draws++].limiter = old->draws[i].limiter->successor;
	}
	t = ticket_new(next, old->id, draws, n_draws);
	if (!t)
		return -ENOMEM;
	t->seq = old->seq;
	t->since_ns = old->since_ns;
	t->admitted_ns = old->admitted_ns;
	t->state = TICKET_ADMITTED;
	return 0;
}

static bool must_contend(const struct ticket *t)
{
	for (size_t i = 0; i < t->n_draws; i++)
		if (!t->draws[i].limiter->denies)
			return true;
	return false;
}

// For the next governor_run() to report.
static int decide(struct governor *next, struct ticket *t, const struct ask *ask,
		  const char *denied_by)
{
	t->ask = ask_copy(ask);
	if (!t->ask)
		return -ENOMEM; // t is freed with `next`
	t->state = TICKET_DECIDED;
	t->denied_by = denied_by;
	TAILQ_INSERT_TAIL(&next->decided, t, by_age);
	next->n_waiting++;
	return 0;
}

static int carry_waiting(struct governor *next, const struct ticket *old, const struct team *team,
			 uint64_t now_ns)
{
	struct ask ask = *old->ask;
	const char *denied_by;
	size_t n_draws;
	struct ticket *t;

	ask.team = team;
	int r = demand_of(next, &ask, now_ns, &n_draws, &denied_by);
	if (r)
		return r;
	t = ticket_new(next, old->id, next->scratch, denied_by ? 0 : n_draws);
	if (!t)
		return -ENOMEM;
	t->seq = old->seq;
	t->since_ns = old->since_ns;
	return must_contend(t) ? lane_enqueue(next, t, &ask, now_ns)
			       : decide(next, t, &ask, denied_by);
}

// Takes the first, by arrival, of two lists in order of arrival.
static const struct ticket *earlier(const struct ticket *a, const struct ticket *b)
{
	return !b || (a && a->seq < b->seq) ? a : b;
}

static int carry_all_waiting(struct governor *next, const struct governor *g, team_of_fn team_of,
			     void *ctx, uint64_t now_ns)
{
	const struct ticket *waiting = TAILQ_FIRST(&g->waiting);
	const struct ticket *decided = TAILQ_FIRST(&g->decided), *t;
	int r = 0;

	while (!r && (t = earlier(waiting, decided))) {
		r = carry_waiting(next, t, team_of(ctx, t->id), now_ns);
		if (t == waiting)
			waiting = TAILQ_NEXT(waiting, by_age);
		else
			decided = TAILQ_NEXT(decided, by_age);
	}
	return r;
}

static int carry_tables(struct governor *next, const struct governor *g, uint64_t now_ns)
{
	const struct hash_node *node;
	int r = 0;

	for (node = hashtab_first(&g->limiters); node && !r;
	     node = hashtab_next(&g->limiters, node))
		r = carry_limiter(next, container_of(node, struct limiter, node), now_ns);
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

static void swap(struct governor *a, struct governor *b)
{
	struct governor was = *a;

	*a = *b;
	*b = was;
	LIST_MOVED(&a->waiting, by_age);
	LIST_MOVED(&a->decided, by_age);
	LIST_MOVED(&a->arriving, by_arrival);
	LIST_MOVED(&a->contested, contested);
	LIST_MOVED(&a->holders, holding);
}

int governor_reload(struct governor *g, const struct policy *policy, team_of_fn team_of, void *ctx,
		    uint64_t now_ns)
{
	__attribute__((cleanup(governor_freep))) struct governor *next =
		governor_new(policy, now_ns);
	int r;

	tickets_arrive(g, UINT64_MAX); // their policy's headroom is gone
	r = next ? carry_tables(next, g, now_ns) : -ENOMEM;

	if (!r)
		r = carry_all_waiting(next, g, team_of, ctx, now_ns);
	if (r)
		return r;
	next->seq = g->seq;
	swap(g, next);
	return 0;
}
