// Tickets hold references to their limiters, so that what they drew can be given back.
#include "govern/ticket.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "govern/limiter.h"

// By which draw the effect of priorities is told: tokens, if any.
static size_t primary_of(const struct draw *draws, size_t n_draws)
{
	for (size_t i = 0; i < n_draws; i++)
		if (draws[i].limiter->resource == RESOURCE_TOKENS &&
		    draws[i].limiter->kind == LIMITER_LIMIT)
			return i;
	for (size_t i = 0; i < n_draws; i++)
		if (draws[i].limiter->kind == LIMITER_LIMIT)
			return i;
	return 0;
}

struct ticket *ticket_new(struct governor *g, uint64_t id, const struct draw *draws, size_t n_draws)
{
	struct ticket *t = calloc(1, sizeof(*t) + n_draws * sizeof(*draws));

	if (!t || hashtab_insert(&g->tickets, &t->node, hash_mix(0, id))) {
		free(t);
		return NULL;
	}
	t->id = id;
	t->n_draws = t->n_needs = n_draws;
	if (n_draws)
		memcpy(t->draws, draws, n_draws * sizeof(*draws));
	for (size_t i = 0; i < n_draws; i++)
		t->draws[i].limiter->refs++;
	t->primary = primary_of(draws, n_draws);
	if (n_draws) {
		const struct limiter *l = draws[t->primary].limiter;

		t->ahead = l->waiting;
		t->passed_then = l->passed;
	}
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

uint64_t ticket_deadline_ns(const struct ticket *t)
{
	return t->timeout_ns < UINT64_MAX - t->since_ns ? t->since_ns + t->timeout_ns : UINT64_MAX;
}

static void arrive(struct governor *g, struct ticket *t)
{
	for (size_t i = 0; i < t->n_draws; i++) {
		struct draw *draw = &t->draws[i];

		draw->drawn_after = draw->limiter->drawn;
		draw->limiter->arriving -= draw->amount;
	}
	if (!t->is_detained)
		TAILQ_REMOVE(&g->arriving, t, by_arrival);
	t->is_arriving = t->is_detained = false;
}

void tickets_arrive(struct governor *g, uint64_t now_ns)
{
	struct ticket *t;

	while ((t = TAILQ_FIRST(&g->arriving)) && now_ns > t->left_ns &&
	       now_ns - t->left_ns >= g->policy->headroom_ns)
		arrive(g, t);
}

static void count(struct governor *g, const struct draw *draw)
{
	struct limit_stats *stats;

	if (draw->limiter->kind != LIMITER_LIMIT || draw->amount <= 0)
		return;
	stats = &g->stats[draw->limiter->limit - g->policy->limits];
	stats->accepted += draw->amount;
	stats->n_accepted++;
}

void ticket_draw(struct governor *g, struct ticket *t, uint64_t now_ns)
{
	tickets_arrive(g, now_ns);
	if (t->n_draws) {
		const struct limiter *l = t->draws[t->primary].limiter;

		t->moved = t->ahead - (l->passed - t->passed_then);
	}
	for (size_t i = 0; i < t->n_draws; i++) {
		struct draw *draw = &t->draws[i];

		draw->drawn_before =
			draw->limiter->drawn_in_all - draw->limiter->arriving + draw->amount;
		limiter_draw(draw->limiter, draw->class.team, draw->amount, now_ns);
		draw->limiter->arriving += draw->amount;
		count(g, draw);
	}
	t->admitted_ns = t->left_ns = now_ns;
	t->is_arriving = true;
	TAILQ_INSERT_TAIL(&g->arriving, t, by_arrival);
	t->state = TICKET_ADMITTED;
}

void ticket_detain(struct governor *g, struct ticket *t)
{
	if (!t->is_arriving || t->is_detained)
		return;
	TAILQ_REMOVE(&g->arriving, t, by_arrival);
	t->is_detained = true;
}

// What others have drawn in the meantime may have been counted before it.
void ticket_leave(struct governor *g, struct ticket *t, uint64_t now_ns)
{
	if (!t->is_detained)
		return;
	t->is_detained = false;
	t->left_ns = now_ns;
	TAILQ_INSERT_TAIL(&g->arriving, t, by_arrival);
	for (size_t i = 0; i < t->n_draws; i++) {
		struct draw *draw = &t->draws[i];
		struct limiter *l = draw->limiter;

		draw->drawn_before = l->drawn_in_all - l->arriving + draw->amount;
		// If the provider's bucket was full all the while, it has not filled.
		if (l->kind == LIMITER_LIMIT && l->limit->mirrors)
			bucket_lower_to(&l->bucket, l->bucket.terms.capacity - l->arriving, now_ns);
	}
}

void ticket_redraw(struct governor *g, struct ticket *t, size_t i, double amount, uint64_t now_ns)
{
	struct draw *draw = &t->draws[i];
	struct limiter *l = draw->limiter;
	double more = amount - draw->amount;

	limiter_redraw(l, draw->class.team, more, t->admitted_ns, now_ns);
	if (more < 0 && l->root.heap.n)
		limiter_touch(g, l);
	draw->amount = amount;
	draw->drawn_after += more;
	draw->drawn_before += fmax(more, 0);
	l->drawn_in_all += fmax(more, 0);
	l->drawn += more;
	if (t->is_arriving)
		l->arriving += more;
	l->is_changed = true;
}

const char *ticket_denied_by(struct governor *g, const struct ticket *t, uint64_t now_ns)
{
	for (size_t i = 0; i < t->n_needs; i++) {
		const struct limiter *l = t->draws[i].limiter;

		if (!l->denies || bucket_admits(&l->bucket, t->draws[i].amount, now_ns))
			continue;
		if (l->kind == LIMITER_LIMIT)
			g->stats[l->limit - g->policy->limits].n_denied++;
		return limiter_denier(l);
	}
	return NULL;
}

void ticket_free(struct governor *g, struct ticket *t)
{
	for (size_t i = 0; i < t->n_draws; i++)
		t->draws[i].limiter->refs--;
	if (t->is_arriving)
		arrive(g, t);
	hashtab_remove(&g->tickets, &t->node);
	free(t);
}
