// Tags, heaps and holds; contest.h has the reasoning. Memory is taken only when a lane is made
// (contest_join), so deciding cannot fail half-way.
#include "govern/contest.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include "govern/lane.h"

static int make_room(void *array, size_t *cap, size_t needed, size_t size)
{
	void **items = array;

	if (needed <= *cap)
		return 0;
	size_t wanted = *cap ? 2 * *cap : 4;
	void *grown = reallocarray(*items, wanted, size);
	if (!grown)
		return -ENOMEM;
	*items = grown;
	*cap = wanted;
	return 0;
}

static int share_of(struct limiter *l, const struct team *team, size_t *ret_share)
{
	for (size_t i = 0; i < l->n_shares; i++) {
		if (l->shares[i].team == team) {
			*ret_share = i;
			return 0;
		}
	}
	int r = make_room(&l->shares, &l->cap_shares, l->n_shares + 1, sizeof(*l->shares));
	if (r)
		return r;
	l->shares[l->n_shares] = (struct share){team, 0};
	*ret_share = l->n_shares++;
	return 0;
}

int contest_join(struct limiter *l, const struct team *team, size_t *ret_share)
{
	int r = make_room(&l->heap, &l->cap_heap, l->n_lanes + 1, sizeof(*l->heap));

	if (!r)
		r = share_of(l, team, ret_share);
	if (!r)
		l->n_lanes++;
	return r;
}

void contest_quit(struct limiter *l)
{
	if (--l->n_lanes)
		return;
	l->n_shares = 0;
	l->vtime = 0;
}

void contest_tag(struct lane *lane)
{
	for (size_t i = 0; i < lane->n_needs; i++) {
		struct need *need = &lane->needs[i];
		struct limiter *l = need->limiter;

		need->start = fmax(l->vtime, l->shares[need->share].finish);
	}
}

void contest_charge(struct limiter *l, size_t share, double start, double amount)
{
	struct share *s = &l->shares[share];

	l->vtime = fmax(l->vtime, start);
	s->finish = fmax(s->finish, start) + amount / weight_of(s->team);
}

void contest_charge_unqueued(struct limiter *l, const struct team *team, double amount)
{
	size_t share;

	// Without memory for the share, one request goes unaccounted.
	if (l->n_lanes && !share_of(l, team, &share))
		contest_charge(l, share, fmax(l->vtime, l->shares[share].finish), amount);
}

static double finish_at(const struct lane *lane, size_t need)
{
	return lane->needs[need].start +
	       lane_first(lane)->draws[need].amount / weight_of(lane->team);
}

static bool comes_before(const struct lane *a, const struct lane *b)
{
	if (a->finish != b->finish)
		return a->finish < b->finish;
	return lane_first(a)->seq < lane_first(b)->seq;
}

static void put(struct limiter *l, size_t index, struct lane *lane)
{
	l->heap[index] = lane;
	lane->heap_index = index;
}

static void sift(struct limiter *l, struct lane *lane, size_t index)
{
	while (index && comes_before(lane, l->heap[(index - 1) / 2])) {
		put(l, index, l->heap[(index - 1) / 2]);
		index = (index - 1) / 2;
	}
	for (;;) {
		size_t child = 2 * index + 1;

		if (child + 1 < l->n_heap && comes_before(l->heap[child + 1], l->heap[child]))
			child++;
		if (child >= l->n_heap || !comes_before(l->heap[child], lane))
			break;
		put(l, index, l->heap[child]);
		index = child;
	}
	put(l, index, lane);
}

void contest_enter(struct governor *g, struct lane *lane, size_t home)
{
	struct limiter *l = lane->needs[home].limiter;

	lane->home = home;
	lane->finish = finish_at(lane, home);
	sift(l, lane, l->n_heap++);
	if (!l->listed)
		TAILQ_INSERT_TAIL(&g->contested, l, contested);
	l->listed = true;
}

void contest_leave(struct lane *lane)
{
	struct limiter *l = lane->needs[lane->home].limiter;
	struct lane *last = l->heap[--l->n_heap];

	// The list of contested limiters is weeded out by governor_run().
	if (last != lane)
		sift(l, last, lane->heap_index);
}

void contest_update(struct lane *lane)
{
	lane->finish = finish_at(lane, lane->home);
	sift(lane->needs[lane->home].limiter, lane, lane->heap_index);
}

struct lane *contest_front(const struct limiter *l)
{
	return l->n_heap ? l->heap[0] : NULL;
}

bool contest_precedes(const struct lane *lane, size_t need, const struct lane *front)
{
	double finish = finish_at(lane, need);

	if (finish != front->finish)
		return finish < front->finish;
	return lane_first(lane)->seq < lane_first(front)->seq;
}

void contest_hold(struct governor *g, struct lane *lane)
{
	for (size_t i = 0; i < lane->n_needs; i++)
		if (lane->needs[i].limiter->holder)
			return;
	for (size_t i = 0; i < lane->n_needs; i++)
		if (!lane->needs[i].limiter->denies)
			lane->needs[i].limiter->holder = lane;
	lane->holds = true;
	TAILQ_INSERT_TAIL(&g->holders, lane, holding);
}

void contest_release(struct governor *g, struct lane *lane)
{
	lane->moves = 0;
	if (!lane->holds)
		return;
	for (size_t i = 0; i < lane->n_needs; i++)
		if (lane->needs[i].limiter->holder == lane)
			lane->needs[i].limiter->holder = NULL;
	lane->holds = false;
	TAILQ_REMOVE(&g->holders, lane, holding);
}
