// Tickets hold references to their limiters, so that what they drew can be given back.
#include "govern/ticket.h"

#include <stdlib.h>
#include <string.h>
#include "govern/limiter.h"

struct ticket *ticket_new(struct governor *g, uint64_t id, const struct draw *draws, size_t n_draws)
{
	struct ticket *t = calloc(1, sizeof(*t) + n_draws * sizeof(*draws));

	if (!t || hashtab_insert(&g->tickets, &t->node, hash_mix(0, id))) {
		free(t);
		return NULL;
	}
	t->id = id;
	t->n_draws = n_draws;
	memcpy(t->draws, draws, n_draws * sizeof(*draws));
	for (size_t i = 0; i < n_draws; i++)
		t->draws[i].limiter->refs++;
	return t;
}

struct ticket *ticket_find(const struct governor *g, uint64_t id)
{
	struct hash_node *node = hashtab_find(&g->tickets, hash_mix(0, id));

	for (; node; node = hashtab_find_next(node)) {
		struct ticket *t = container_of(node, struct ticket, node);

		if (t->id == id)
			return t;
	}
	return NULL;
}

static void arrive(struct governor *g, struct ticket *t)
{
	for (size_t i = 0; i < t->n_draws; i++)
		t->draws[i].drawn_after = t->draws[i].limiter->drawn;
	TAILQ_REMOVE(&g->arriving, t, by_arrival);
	t->is_arriving = false;
}

void tickets_arrive(struct governor *g, uint64_t now_ns)
{
	struct ticket *t;

	while ((t = TAILQ_FIRST(&g->arriving)) && now_ns > t->admitted_ns &&
	       now_ns - t->admitted_ns >= g->policy->headroom_ns)
		arrive(g, t);
}

void ticket_draw(struct governor *g, struct ticket *t, uint64_t now_ns)
{
	tickets_arrive(g, now_ns);
	for (size_t i = 0; i < t->n_draws; i++) {
		struct draw *draw = &t->draws[i];

		bucket_draw(&draw->limiter->bucket, draw->amount, now_ns);
		draw->limiter->drawn += draw->amount;
	}
	t->admitted_ns = now_ns;
	t->is_arriving = true;
	TAILQ_INSERT_TAIL(&g->arriving, t, by_arrival);
	t->state = TICKET_ADMITTED;
	free(t->ask);
	t->ask = NULL;
}

void ticket_undraw(struct ticket *t, uint64_t now_ns)
{
	for (size_t i = 0; i < t->n_draws; i++) {
		struct draw *draw = &t->draws[i];

		bucket_refund(&draw->limiter->bucket, draw->amount, t->admitted_ns, now_ns);
		draw->limiter->drawn -= draw->amount;
	}
}

const char *ticket_denied_by(const struct ticket *t, uint64_t now_ns)
{
	for (size_t i = 0; i < t->n_draws; i++) {
		const struct limiter *l = t->draws[i].limiter;

		if (l->denies && !bucket_admits(&l->bucket, t->draws[i].amount, now_ns))
			return limiter_denier(l);
	}
	return NULL;
}

void ticket_free(struct governor *g, struct ticket *t)
{
	for (size_t i = 0; i < t->n_draws; i++)
		t->draws[i].limiter->refs--;
	if (t->is_arriving)
		TAILQ_REMOVE(&g->arriving, t, by_arrival);
	hashtab_remove(&g->tickets, &t->node);
	free(t->ask);
	free(t);
}
