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
// as a difference, once: later responses find the level already lowered. Headers are blind to
// requests in flight, which makes the estimate too high, never too low; it is never used to raise.
//
// Only limiters that count what the provider counts learn: those keyed by key, organization,
// project, model, provider or nothing. One that is not of a single model may sum up several of the
// provider's limits; where the provider's limit is known to be smaller, the estimate is raised by
// the difference, so that one model's use is not taken for the whole.
#include "govern/governor.h"

#include <math.h>
#include "govern/ticket.h"

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
	ticket_undraw(t, now_ns);
	ticket_free(g, t);
	g->due_is_known = false;
}

void governor_settle(struct governor *g, uint64_t id, uint64_t now_ns)
{
	struct ticket *t = find_admitted(g, id);

	if (t)
		ticket_free(g, t);
	else
		governor_withdraw(g, id, now_ns);
}

void governor_amend(struct governor *g, uint64_t id, double tokens, uint64_t now_ns)
{
	struct ticket *t = find_admitted(g, id);

	for (size_t i = 0; t && i < t->n_draws; i++) {
		struct draw *draw = &t->draws[i];
		struct limiter *l = draw->limiter;
		double more = tokens - draw->amount;

		if (l->resource != RESOURCE_TOKENS)
			continue;
		if (more > 0)
			bucket_draw(&l->bucket, more, now_ns);
		else
			bucket_refund(&l->bucket, -more, t->admitted_ns, now_ns);
		draw->amount = tokens;
		draw->drawn_after += more;
		l->drawn += more;
	}
	g->due_is_known = false;
}

static uint64_t after(uint64_t now_ns, uint64_t wait_ns)
{
	return wait_ns < BUCKET_NEVER - now_ns ? now_ns + wait_ns : BUCKET_NEVER;
}

static void correct(const struct ticket *t, const struct draw *draw, double limit, double remaining,
		    uint64_t now_ns)
{
	struct limiter *l = draw->limiter;
	double drawn_since = t->is_arriving ? 0 : l->drawn - draw->drawn_after;
	double age_s = now_ns > t->admitted_ns ? (double)(now_ns - t->admitted_ns) / NS_PER_S : 0;
	double estimate = remaining + l->bucket.fill_per_s * age_s - drawn_since;

	if (!l->per_model && limit > 0)
		estimate += fmax(0, l->bucket.capacity - limit);
	bucket_lower_to(&l->bucket, estimate, now_ns);
}

void governor_learn(struct governor *g, uint64_t id, const struct outcome *o, uint64_t now_ns)
{
	struct ticket *t = find_admitted(g, id);
	bool is_429_on_any = o->is_429_on_tokens || o->is_429_on_requests;

	tickets_arrive(g, now_ns);
	for (size_t i = 0; t && i < t->n_draws; i++) {
		struct draw *draw = &t->draws[i];
		struct limiter *l = draw->limiter;
		bool is_tokens = l->resource == RESOURCE_TOKENS;
		double remaining = is_tokens ? o->remaining_tokens : o->remaining_requests;
		bool is_429 = is_tokens ? o->is_429_on_tokens : o->is_429_on_requests;

		if (!l->mirrors)
			continue;
		if (remaining >= 0)
			correct(t, draw, is_tokens ? o->limit_tokens : o->limit_requests, remaining,
				now_ns);
		if (o->shut_ns && (is_429 || !is_429_on_any))
			bucket_shut(&l->bucket, after(now_ns, o->shut_ns));
	}
	g->due_is_known = false;
}
