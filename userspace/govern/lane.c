// Lanes come and go with the requests that wait in them.
#include "govern/lane.h"

#include <errno.h>
#include <stdlib.h>
#include "govern/contest.h"
#include "govern/limiter.h"
#include "govern/ticket.h"

bool ticket_may_pass(const struct ticket *t, uint64_t now_ns)
{
	for (size_t i = 0; i < t->n_needs; i++) {
		const struct limiter *l = t->draws[i].limiter;

		if (l->root.heap.n || l->holder ||
		    !bucket_admits(&l->bucket, t->draws[i].amount, now_ns))
			return false;
	}
	return true;
}

static bool leads(const struct lane *lane, size_t need, uint64_t now_ns)
{
	const struct limiter *l = lane->needs[need].limiter;

	if (l->holder)
		return l->holder == lane;
	return !l->root.heap.n || contest_front(l, now_ns) == lane ||
	       contest_would_lead(lane, need, now_ns);
}

bool lane_leads_everywhere(const struct lane *lane, uint64_t now_ns)
{
	for (size_t i = 0; i < lane->n_needs; i++)
		if (!lane->needs[i].limiter->denies && !leads(lane, i, now_ns))
			return false;
	return true;
}

bool lane_is_blocked(const struct lane *lane, uint64_t now_ns, size_t *ret_home,
		     uint64_t *ret_ready_ns)
{
	const struct ticket *t = lane_first(lane);
	bool is_blocked = false;

	for (size_t i = 0; i < lane->n_needs; i++) {
		const struct limiter *l = lane->needs[i].limiter;

		if (l->denies)
			continue;
		uint64_t ready_ns = bucket_ready_ns(&l->bucket, t->draws[i].amount, now_ns);
		if (l->holder && l->holder != lane)
			ready_ns = BUCKET_NEVER;
		if (ready_ns <= now_ns && leads(lane, i, now_ns))
			continue;
		if (!is_blocked || ready_ns > *ret_ready_ns) {
			*ret_home = i;
			*ret_ready_ns = ready_ns;
		}
		is_blocked = true;
	}
	return is_blocked;
}

static uint64_t hash_of(const struct need *needs, size_t n)
{
	uint64_t hash = n;

	for (size_t i = 0; i < n; i++)
		hash = hash_mix(hash, (uintptr_t)needs[i].leaf);
	return hash;
}

static struct lane *lane_find(const struct governor *g, const struct need *needs, size_t n,
			      uint64_t hash)
{
	struct hash_node *node = hashtab_find(&g->lanes, hash);

	for (; node; node = hashtab_find_next(node)) {
		struct lane *lane = container_of(node, struct lane, node);
		size_t same = 0;

		if (lane->n_needs != n)
			continue;
		while (same < n && lane->needs[same].leaf == needs[same].leaf)
			same++;
		if (same == n)
			return lane;
	}
	return NULL;
}

static void lane_free(struct lane *lane)
{
	for (size_t i = 0; i < lane->n_needs; i++)
		contest_quit(lane->needs[i].limiter, lane->needs[i].leaf);
	free(lane);
}

// `lane` comes with its needs. On failure it is freed.
static int lane_begin(struct governor *g, struct lane *lane, bool returns, uint64_t hash)
{
	size_t n_needs = lane->n_needs;

	TAILQ_INIT(&lane->tickets);
	for (lane->n_needs = 0; lane->n_needs < n_needs; lane->n_needs++)
		if (contest_join(lane->needs[lane->n_needs].leaf, returns))
			break;
	if (lane->n_needs == n_needs && !hashtab_insert(&g->lanes, &lane->node, hash))
		return 0;
	for (size_t i = lane->n_needs; i < n_needs; i++)
		contest_abandon(lane->needs[i].limiter, lane->needs[i].leaf);
	lane_free(lane);
	return -ENOMEM;
}

static void abandon_leaves(const struct lane *lane)
{
	for (size_t i = 0; i < lane->n_needs; i++)
		if (lane->needs[i].leaf)
			contest_abandon(lane->needs[i].limiter, lane->needs[i].leaf);
}

static bool find_leaves(struct lane *lane, const struct ticket *t)
{
	for (size_t i = 0; i < t->n_needs; i++) {
		struct limiter *l = t->draws[i].limiter;

		lane->needs[i] = (struct need){l, contest_leaf(l, &t->draws[i].class)};
		lane->n_needs++;
		if (!lane->needs[i].leaf)
			return false;
	}
	return true;
}

static struct lane *lane_find_or_make(struct governor *g, const struct ticket *t, bool returns)
{
	struct lane *lane = calloc(1, sizeof(*lane) + t->n_needs * sizeof(*lane->needs)), *found;

	if (!lane)
		return NULL;
	if (!find_leaves(lane, t)) {
		abandon_leaves(lane);
		free(lane);
		return NULL;
	}
	uint64_t hash = hash_of(lane->needs, lane->n_needs);
	found = lane_find(g, lane->needs, lane->n_needs, hash);
	if (found) {
		free(lane);
		return found;
	}
	return lane_begin(g, lane, returns, hash) ? NULL : lane;
}

// Where a new lane waits although nothing blocks it: until the next governor_run() looks at it.
static size_t any_home(const struct lane *lane)
{
	size_t i = 0;

	while (lane->needs[i].limiter->denies)
		i++;
	return i;
}

static void put_in_order(struct lane *lane, struct ticket *t)
{
	struct ticket *last = TAILQ_LAST(&lane->tickets, ticket_list), *later;

	if (!last || last->seq < t->seq) {
		TAILQ_INSERT_TAIL(&lane->tickets, t, in_lane);
		return;
	}
	later = TAILQ_FIRST(&lane->tickets);
	while (later->seq < t->seq)
		later = TAILQ_NEXT(later, in_lane);
	TAILQ_INSERT_BEFORE(later, t, in_lane);
}

// Which of a lane's needs keeps it, or any.
static size_t home_of(const struct lane *lane, uint64_t now_ns)
{
	uint64_t ready_ns;
	size_t home;

	return lane_is_blocked(lane, now_ns, &home, &ready_ns) ? home : any_home(lane);
}

static void join_lane(struct governor *g, struct lane *lane, struct ticket *t, uint64_t now_ns)
{
	t->lane = lane;
	put_in_order(lane, t);
	if (t != lane_first(lane))
		return;
	if (TAILQ_NEXT(t, in_lane))
		contest_update(g, lane);
	else
		contest_enter(g, lane, home_of(lane, now_ns));
}

// Counted from when it first came: also of one that was here before, or that a new policy has put
// into its tier again.
static void await_promotion(struct governor *g, struct ticket *t)
{
	bool is_ageing = false;

	for (size_t i = 0; i < t->n_needs; i++)
		is_ageing |= t->draws[i].class.tier > 0;
	if (!is_ageing) {
		heap_remove(&g->ageing, &t->by_promotion);
		return;
	}
	t->promote_ns = t->since_ns + (t->promotions + 1) * g->policy->ageing_ns;
	heap_put(&g->ageing, &t->by_promotion,
		 &(struct heap_order){.key = (double)t->promote_ns, .seq = t->seq});
}

int lane_enqueue(struct governor *g, struct ticket *t, bool returns, uint64_t now_ns)
{
	struct lane *lane;

	if (heap_reserve(&g->deadlines, g->n_waiting + 1) ||
	    heap_reserve(&g->ageing, g->n_waiting + 1))
		return -ENOMEM;
	lane = lane_find_or_make(g, t, returns);
	if (!lane)
		return -ENOMEM;
	t->state = TICKET_WAITING;
	for (size_t i = 0; i < t->n_needs; i++)
		limiter_await(t->draws[i].limiter, t->draws[i].amount);
	join_lane(g, lane, t, now_ns);
	await_promotion(g, t);
	// Of those that end together, the one that came first.
	if (ticket_deadline_ns(t) != UINT64_MAX)
		heap_put(&g->deadlines, &t->by_deadline,
			 &(struct heap_order){.key = (double)ticket_deadline_ns(t), .seq = t->seq});
	g->n_waiting++;
	return 0;
}

// Takes the ticket out of its lane. `is_drawn`: its leaves have been charged for it already.
static void leave_lane(struct governor *g, struct ticket *t, bool is_drawn)
{
	struct lane *lane = t->lane;

	t->lane = NULL;
	if (t != lane_first(lane)) {
		TAILQ_REMOVE(&lane->tickets, t, in_lane);
		if (is_drawn)
			contest_update(g, lane);
		return;
	}
	contest_release(g, lane);
	if (TAILQ_NEXT(t, in_lane)) {
		TAILQ_REMOVE(&lane->tickets, t, in_lane);
		contest_update(g, lane);
		return;
	}
	// Shares are tagged by their lanes' first tickets: the lane leaves before it is empty.
	contest_leave(g, lane);
	hashtab_remove(&g->lanes, &lane->node);
	lane_free(lane);
}

void lane_remove(struct governor *g, struct ticket *t, bool is_drawn)
{
	for (size_t i = 0; i < t->n_needs; i++) {
		struct limiter *l = t->draws[i].limiter;

		limiter_unawait(l, t->draws[i].amount);
		if (!is_drawn)
			continue;
		contest_charge(t->lane->needs[i].leaf, t->draws[i].amount);
		if (l->root.heap.n) // another may be its first now
			limiter_touch(g, l);
	}
	leave_lane(g, t, is_drawn);
	heap_remove(&g->deadlines, &t->by_deadline);
	heap_remove(&g->ageing, &t->by_promotion);
	g->n_waiting--;
}

void lane_promote(struct governor *g, struct ticket *t, uint64_t now_ns)
{
	struct lane *lane;

	for (size_t i = 0; i < t->n_needs; i++)
		t->draws[i].class.tier -= t->draws[i].class.tier > 0;
	t->promotions++;
	lane = lane_find_or_make(g, t, false);
	if (lane && lane != t->lane) {
		leave_lane(g, t, false);
		join_lane(g, lane, t, now_ns);
	} // without memory it stays where it is
	await_promotion(g, t);
}
