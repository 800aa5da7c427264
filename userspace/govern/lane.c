// Lanes come and go with the requests that wait in them.
#include "govern/lane.h"

#include <errno.h>
#include <stdlib.h>
#include "govern/contest.h"
#include "govern/demand.h"

bool ticket_may_pass(const struct ticket *t, uint64_t now_ns)
{
	for (size_t i = 0; i < t->n_draws; i++) {
		const struct limiter *l = t->draws[i].limiter;

		if (l->n_heap || l->holder ||
		    !bucket_admits(&l->bucket, t->draws[i].amount, now_ns))
			return false;
	}
	return true;
}

bool lane_is_blocked(const struct lane *lane, uint64_t now_ns, size_t *ret_home,
		     uint64_t *ret_ready_ns)
{
	const struct ticket *t = lane_first(lane);
	bool is_blocked = false;

	for (size_t i = 0; i < lane->n_needs; i++) {
		const struct limiter *l = lane->needs[i].limiter;
		const struct lane *front = contest_front(l);
		uint64_t ready_ns = bucket_ready_ns(&l->bucket, t->draws[i].amount, now_ns);

		if (l->denies)
			continue;
		if (l->holder && l->holder != lane)
			ready_ns = BUCKET_NEVER;
		bool is_claimed =
			front && front != lane && !lane->holds && !contest_precedes(lane, i, front);
		if (ready_ns <= now_ns && !is_claimed)
			continue;
		if (!is_blocked || ready_ns > *ret_ready_ns) {
			*ret_home = i;
			*ret_ready_ns = ready_ns;
		}
		is_blocked = true;
	}
	return is_blocked;
}

static struct lane *lane_find(const struct governor *g, const struct ticket *t,
			      const struct team *team, uint64_t hash)
{
	struct hash_node *node = hashtab_find(&g->lanes, hash);

	for (; node; node = hashtab_find_next(node)) {
		struct lane *lane = container_of(node, struct lane, node);
		size_t same = 0;

		if (lane->team != team || lane->n_needs != t->n_draws)
			continue;
		while (same < t->n_draws && lane->needs[same].limiter == t->draws[same].limiter)
			same++;
		if (same == t->n_draws)
			return lane;
	}
	return NULL;
}

static void lane_free(struct lane *lane)
{
	for (size_t i = 0; i < lane->n_needs; i++)
		contest_quit(lane->needs[i].limiter);
	free(lane);
}

static int join_all(struct lane *lane, const struct ticket *t)
{
	for (; lane->n_needs < t->n_draws; lane->n_needs++) {
		struct need *need = &lane->needs[lane->n_needs];

		need->limiter = t->draws[lane->n_needs].limiter;
		if (contest_join(need->limiter, lane->team, &need->share))
			return -ENOMEM;
	}
	return 0;
}

static struct lane *lane_new(struct governor *g, const struct ticket *t, const struct team *team,
			     uint64_t hash)
{
	struct lane *lane = calloc(1, sizeof(*lane) + t->n_draws * sizeof(*lane->needs));

	if (!lane)
		return NULL;
	lane->team = team;
	TAILQ_INIT(&lane->tickets);
	if (join_all(lane, t) || hashtab_insert(&g->lanes, &lane->node, hash)) {
		lane_free(lane);
		return NULL;
	}
	contest_tag(lane);
	return lane;
}

// Where a new lane waits although nothing blocks it: until the next governor_run() looks at it.
static size_t any_home(const struct lane *lane)
{
	size_t i = 0;

	while (lane->needs[i].limiter->denies)
		i++;
	return i;
}

static struct lane *lane_find_or_make(struct governor *g, const struct ticket *t,
				      const struct team *team)
{
	uint64_t hash = (uintptr_t)team;

	for (size_t i = 0; i < t->n_draws; i++)
		hash = hash_mix(hash, (uintptr_t)t->draws[i].limiter);
	struct lane *lane = lane_find(g, t, team, hash);
	return lane ? lane : lane_new(g, t, team, hash);
}

int lane_enqueue(struct governor *g, struct ticket *t, const struct ask *ask, uint64_t now_ns)
{
	struct ask *copy = ask_copy(ask);
	struct lane *lane = copy ? lane_find_or_make(g, t, ask->team) : NULL;
	uint64_t ready_ns;
	size_t home;

	if (!lane) {
		free(copy);
		return -ENOMEM;
	}
	t->ask = copy;
	t->lane = lane;
	t->state = TICKET_WAITING;
	TAILQ_INSERT_TAIL(&lane->tickets, t, in_lane);
	for (size_t i = 0; i < t->n_draws; i++)
		t->draws[i].limiter->queued++;
	if (t == lane_first(lane)) {
		if (!lane_is_blocked(lane, now_ns, &home, &ready_ns))
			home = any_home(lane);
		contest_enter(g, lane, home);
	}
	TAILQ_INSERT_TAIL(&g->waiting, t, by_age);
	g->n_waiting++;
	g->due_is_known = false;
	return 0;
}

// The lane's first ticket leaves.
static void next_in_lane(struct governor *g, struct lane *lane, bool is_drawn)
{
	struct ticket *t = lane_first(lane);

	contest_release(g, lane);
	// A heap compares lanes by their first tickets: the lane leaves it before it is empty.
	if (!TAILQ_NEXT(t, in_lane)) {
		contest_leave(lane);
		hashtab_remove(&g->lanes, &lane->node);
		lane_free(lane);
		return;
	}
	TAILQ_REMOVE(&lane->tickets, t, in_lane);
	if (is_drawn)
		contest_tag(lane);
	contest_update(lane);
}

void lane_remove(struct governor *g, struct ticket *t, bool is_drawn)
{
	struct lane *lane = t->lane;

	for (size_t i = 0; i < t->n_draws; i++) {
		const struct need *need = &lane->needs[i];

		need->limiter->queued--;
		if (is_drawn)
			contest_charge(need->limiter, need->share, need->start, t->draws[i].amount);
	}
	if (t == lane_first(lane))
		next_in_lane(g, lane, is_drawn);
	else
		TAILQ_REMOVE(&lane->tickets, t, in_lane);
	t->lane = NULL;
	TAILQ_REMOVE(&g->waiting, t, by_age);
	g->n_waiting--;
	g->due_is_known = false;
}
