// Tags, the tree and holds; contest.h has the reasoning. Memory is taken only when a share or a
// lane is made, so deciding cannot fail half-way.
#include "govern/contest.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include "govern/lane.h"
#include "govern/limiter.h"

static double weight_at(enum level level, const struct class *class)
{
	double weight = level == LEVEL_TEAM && class->team ? class->team->weight : 1;

	return weight > 0 ? weight : 1;
}

// The class as far down as `level`.
static struct class class_down_to(const struct class *class, enum level level)
{
	struct class part = {.team = class->team};

	if (level >= LEVEL_WORKLOAD)
		part.workload = class->workload;
	if (level >= LEVEL_FAIRNESS)
		part.fairness = class->fairness;
	if (level >= LEVEL_PRIORITY) {
		part.priority = class->priority;
		part.tier = class->tier;
	}
	return part;
}

static bool is_same(const struct class *a, const struct class *b)
{
	return a->team == b->team && a->workload == b->workload && a->fairness == b->fairness &&
	       a->priority == b->priority && a->tier == b->tier;
}

static uint64_t hash_of(enum level level, const struct class *class)
{
	union {
		double number;
		uint64_t bits;
	} priority = {class->priority};
	uint64_t hash = hash_mix(level, (uintptr_t) class->team);

	if (level >= LEVEL_WORKLOAD)
		hash = hash_mix(hash, (uintptr_t) class->workload);
	if (level >= LEVEL_FAIRNESS)
		hash = hash_mix(hash, class->fairness);
	if (level >= LEVEL_PRIORITY)
		hash = hash_mix(hash, priority.bits + class->tier);
	return hash;
}

void contest_init(struct limiter *l)
{
	l->root = (struct share){.level = LEVEL_ROOT, .weight = 1};
}

static void share_free(struct limiter *l, struct share *share)
{
	for (size_t i = 0; i < l->n_guarantees; i++)
		if (l->guarantees[i].share == share)
			l->guarantees[i].share = NULL;
	share->parent->n_children--;
	hashtab_remove(&l->shares, &share->node);
	heap_free(&share->heap);
	free(share);
}

void contest_free(struct limiter *l)
{
	struct hash_node *node, *next;

	for (node = hashtab_first(&l->shares); node; node = next) {
		struct share *share = container_of(node, struct share, node);

		next = hashtab_next(&l->shares, node);
		heap_free(&share->heap);
		free(share);
	}
	hashtab_free(&l->shares);
	heap_free(&l->root.heap);
}

static struct share *share_new(struct limiter *l, struct share *parent, enum level level,
			       const struct class *class, uint64_t hash)
{
	struct share *share = calloc(1, sizeof(*share));

	if (!share)
		return NULL;
	if (heap_reserve(&parent->heap, parent->n_children + 1) ||
	    hashtab_insert(&l->shares, &share->node, hash)) {
		free(share);
		return NULL;
	}
	share->level = level;
	share->class = class_down_to(class, level);
	share->parent = parent;
	share->weight = weight_at(level, class);
	share->start = parent->vtime;
	parent->n_children++;
	for (size_t i = 0; level == LEVEL_TEAM && i < l->n_guarantees; i++)
		if (l->guarantees[i].team == class->team)
			l->guarantees[i].share = share;
	return share;
}

static struct share *share_find(const struct limiter *l, enum level level,
				const struct class *class, uint64_t hash)
{
	struct hash_node *node = hashtab_find(&l->shares, hash);
	struct class part = class_down_to(class, level);

	for (; node; node = hashtab_find_next(node)) {
		struct share *share = container_of(node, struct share, node);

		if (share->level == level && is_same(&share->class, &part))
			return share;
	}
	return NULL;
}

// A scheduler without a fairness label has no such level.
static enum level level_above(enum level level, const struct class *class)
{
	return level == LEVEL_PRIORITY && !class->fairness ? LEVEL_WORKLOAD : level - 1;
}

void contest_find_guaranteed(struct limiter *l)
{
	for (size_t i = 0; i < l->n_guarantees; i++) {
		struct class class = {.team = l->guarantees[i].team};

		l->guarantees[i].share =
			share_find(l, LEVEL_TEAM, &class, hash_of(LEVEL_TEAM, &class));
	}
}

static struct share *share_at(struct limiter *l, enum level level, const struct class *class)
{
	uint64_t hash = hash_of(level, class);
	struct share *share = share_find(l, level, class, hash), *parent;

	if (share)
		return share;
	parent = level == LEVEL_TEAM ? &l->root : share_at(l, level_above(level, class), class);
	return parent ? share_new(l, parent, level, class, hash) : NULL;
}

void contest_note_tags(const struct limiter *l, const struct class *class, struct contest_tags *ret)
{
	for (enum level level = LEVEL_TEAM; level <= LEVEL_PRIORITY; level++) {
		const struct share *s = share_find(l, level, class, hash_of(level, class));

		ret->start[level] = s ? s->start : NAN;
	}
}

void contest_restore_tags(struct limiter *l, const struct class *class,
			  const struct contest_tags *tags)
{
	for (enum level level = LEVEL_TEAM; level <= LEVEL_PRIORITY; level++) {
		struct share *s = share_find(l, level, class, hash_of(level, class));

		if (s && !isnan(tags->start[level]))
			s->start = tags->start[level];
	}
}

// Nobody needs the share: it goes, with those above it that nobody needs, either. Nothing is lost:
// whoever joins starts at the virtual time, and that is never behind what a share was given.
static void release(struct limiter *l, struct share *share)
{
	while (share->parent && !share->n_lanes && !share->n_absent && !share->n_children) {
		struct share *parent = share->parent;

		share_free(l, share);
		share = parent;
	}
	// What nobody else wanted is not held against anyone.
	if (!l->root.n_children)
		l->root.vtime = 0;
}

struct share *contest_leaf(struct limiter *l, const struct class *class)
{
	return share_at(l, LEVEL_PRIORITY, class);
}

int contest_join(struct share *leaf, bool returns)
{
	if (heap_reserve(&leaf->heap, leaf->n_lanes + 1))
		return -ENOMEM;
	for (struct share *s = leaf; s->parent; s = s->parent)
		if (!s->n_lanes++ && !returns)
			s->start = s->parent->vtime;
	return 0;
}

void contest_quit(struct limiter *l, struct share *leaf)
{
	for (struct share *s = leaf; s->parent; s = s->parent)
		s->n_lanes--;
	release(l, leaf);
}

void contest_abandon(struct limiter *l, struct share *leaf)
{
	release(l, leaf);
}

void contest_pin(struct share *leaf)
{
	leaf->n_absent++;
}

void contest_unpin(struct limiter *l, struct share *leaf)
{
	leaf->n_absent--;
	release(l, leaf);
}

void contest_charge(struct share *leaf, double amount)
{
	for (struct share *s = leaf; s->parent; s = s->parent) {
		if (!s->n_lanes)
			s->start = s->parent->vtime;
		s->start += amount / (s->weight * leaf->class.priority);
		s->parent->vtime = fmax(s->parent->vtime, s->start);
	}
}

// What the lane that is first below a share draws here.
static double amount_of(const struct lane *head)
{
	return lane_first(head)->draws[head->home].amount;
}

static double length_of(const struct share *s, const struct class *class, double amount)
{
	return amount / (s->weight * class->priority);
}

// The start tag under which a share would enter its parent's contest.
static double entry_start(const struct share *s, double length)
{
	return fmax(s->start, s->parent->vtime - length);
}

static struct lane *first_below(const struct share *s)
{
	const struct heap_entry *first = heap_first(&s->heap);

	if (!first)
		return NULL;
	if (s->level == LEVEL_PRIORITY)
		return container_of(first->node, struct lane, in_leaf);
	return container_of(first->node, struct share, in_parent)->head;
}

// Tags and orders from the leaf up, after something in it or its tags has changed.
static void refresh(struct share *leaf)
{
	struct share *s;

	for (s = leaf; s->parent; s = s->parent) {
		s->head = first_below(s);
		if (!s->head) {
			heap_remove(&s->parent->heap, &s->in_parent);
			continue;
		}
		const struct class *class = &s->head->needs[s->head->home].leaf->class;
		double length = length_of(s, class, amount_of(s->head));

		if (!s->in_parent.place)
			s->start = entry_start(s, length);
		heap_put(&s->parent->heap, &s->in_parent,
			 &(struct heap_order){.key = s->start + length,
					      .seq = lane_first(s->head)->seq,
					      .tier = class->tier});
	}
	s->head = first_below(s);
}

void contest_charge_unqueued(struct limiter *l, const struct class *class, double amount)
{
	// Without memory for the share, one request goes unaccounted.
	struct share *leaf = l->root.n_children ? contest_leaf(l, class) : NULL;

	if (!leaf)
		return;
	contest_charge(leaf, amount);
	refresh(leaf);
	release(l, leaf);
}

// The lane's first ticket, or what its leaves have been given, has changed.
static void refresh_all(const struct lane *lane)
{
	for (size_t i = 0; i < lane->n_needs; i++)
		if (i == lane->home || lane->needs[i].limiter->root.heap.n)
			refresh(lane->needs[i].leaf);
}

void contest_enter(struct governor *g, struct lane *lane, size_t home)
{
	lane->home = home;
	contest_update(g, lane);
}

void contest_leave(struct governor *g, struct lane *lane)
{
	const struct need *home = &lane->needs[lane->home];

	heap_remove(&home->leaf->heap, &lane->in_leaf);
	refresh_all(lane);
	limiter_touch(g, home->limiter);
}

void contest_update(struct governor *g, struct lane *lane)
{
	const struct need *home = &lane->needs[lane->home];

	heap_put(&home->leaf->heap, &lane->in_leaf,
		 &(struct heap_order){.seq = lane_first(lane)->seq});
	refresh_all(lane);
	limiter_touch(g, home->limiter);
}

// The first of the teams whose guarantee suffices; NULL: none.
static const struct share *guaranteed_front(const struct limiter *l, uint64_t now_ns)
{
	const struct share *first = NULL;

	for (size_t i = 0; i < l->n_guarantees; i++) {
		const struct share *s = l->guarantees[i].share;

		if (!s || !s->head ||
		    !bucket_admits(&l->guarantees[i].bucket, amount_of(s->head), now_ns))
			continue;
		if (!first || heap_comes_before(heap_order_of(&l->root.heap, &s->in_parent),
						heap_order_of(&l->root.heap, &first->in_parent)))
			first = s;
	}
	return first;
}

struct lane *contest_front(const struct limiter *l, uint64_t now_ns)
{
	const struct share *guaranteed = guaranteed_front(l, now_ns);

	return guaranteed ? guaranteed->head : l->root.head;
}

static bool is_guaranteed(const struct limiter *l, const struct team *team, double amount,
			  uint64_t now_ns)
{
	for (size_t i = 0; i < l->n_guarantees; i++)
		if (l->guarantees[i].team == team)
			return bucket_admits(&l->guarantees[i].bucket, amount, now_ns);
	return false;
}

bool contest_would_lead(const struct lane *lane, size_t need, uint64_t now_ns)
{
	const struct share *leaf = lane->needs[need].leaf, *s, *rival = NULL;
	const struct limiter *l = lane->needs[need].limiter;
	const struct ticket *t = lane_first(lane);
	struct heap_order order = {.seq = t->seq, .tier = leaf->class.tier};
	const struct heap_entry *first = heap_first(&leaf->heap);

	if (first && first->node != &lane->in_leaf && first->order.seq < t->seq)
		return false;
	for (s = leaf; s->parent; s = s->parent) {
		double length = length_of(s, &leaf->class, t->draws[need].amount);

		first = heap_first(&s->parent->heap);
		if (s->level == LEVEL_TEAM && (rival = guaranteed_front(l, now_ns)))
			first = &l->root.heap.entries[rival->in_parent.place - 1];
		if (s->level == LEVEL_TEAM &&
		    is_guaranteed(l, leaf->class.team, t->draws[need].amount, now_ns) != !!rival)
			return !rival;
		order.key = (s->in_parent.place ? s->start : entry_start(s, length)) + length;
		if (first && first->node != &s->in_parent &&
		    heap_comes_before(&first->order, &order))
			return false;
	}
	return true;
}

uint64_t contest_due_ns(const struct limiter *l, uint64_t now_ns)
{
	const struct lane *front = l->holder ? NULL : contest_front(l, now_ns);
	uint64_t due_ns;

	if (!front)
		return BUCKET_NEVER;
	due_ns = bucket_ready_ns(&l->bucket, amount_of(front), now_ns);
	for (size_t i = 0; i < l->n_guarantees; i++) {
		const struct share *s = l->guarantees[i].share;

		if (!s || !s->head)
			continue;
		double amount = amount_of(s->head);
		uint64_t own_ns = bucket_ready_ns(&l->guarantees[i].bucket, amount, now_ns);
		uint64_t ready_ns = bucket_ready_ns(&l->bucket, amount, now_ns);

		if (own_ns <= now_ns) // it is the front, or behind another that has a guarantee
			continue;
		ready_ns = own_ns > ready_ns ? own_ns : ready_ns;
		due_ns = ready_ns < due_ns ? ready_ns : due_ns;
	}
	return due_ns;
}

void contest_hold(struct governor *g, struct lane *lane, uint64_t most_ns)
{
	for (size_t i = 0; i < lane->n_needs; i++)
		if (lane->needs[i].limiter->holder)
			return;
	for (size_t i = 0; i < lane->n_needs; i++)
		if (!lane->needs[i].limiter->denies)
			lane->needs[i].limiter->holder = lane;
	lane->holds = true;
	lane->hold_most_ns = most_ns;
	TAILQ_INSERT_TAIL(&g->holders, lane, holding);
}

void contest_release(struct governor *g, struct lane *lane)
{
	if (!lane->holds)
		return;
	for (size_t i = 0; i < lane->n_needs; i++) {
		if (lane->needs[i].limiter->holder != lane)
			continue;
		lane->needs[i].limiter->holder = NULL;
		limiter_touch(g, lane->needs[i].limiter);
	}
	lane->holds = false;
	TAILQ_REMOVE(&g->holders, lane, holding);
}
