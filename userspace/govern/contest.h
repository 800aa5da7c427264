// The contest for one limiter: in which order waiting lanes get what it lets through.
//
// Hierarchical self-clocked fair queueing (Golestani, INFOCOM 1994; one contest at each node of a
// tree, as in Bennett and Zhang, SIGCOMM 1996):
//
//   root ── teams (by weight) ── workloads ── fairness keys ── priorities ── lanes (by arrival)
//
//   start  = virtual time of the contest when it joins; once it has been served, its last finish
//   finish = start + amount / (weight × priority)    amount: what its first request draws here
//   virtual time = the largest finish tag served
//
// Smallest (tier, finish) first, ties by arrival. A team's requests count by its weight, and a
// request of priority p costs every share above it 1/p of its amount. So contending teams share
// what this limiter lets through (tokens of a tpm, requests of an rpm) by weight, the workloads of
// a team what it gets, and so on down; and a later, more urgent request overtakes all that has not
// left yet, in its own team and everywhere else.
//
// Nobody starves. The first request of a share has the finish tag F. Whoever joins later starts at
// the virtual time or after it, and each that is served moves the virtual time to its own finish;
// once that has passed F, the request is first. So before it at most
//
//   W × amount / (weight × priority) + (a largest request of each contender)
//
// is served, where W is the sum of weight × priority of all that contend, and the same again for
// each request before it in its own share. Tiers above 0 are outdone by lower ones without end;
// there ageing lifts a request by a tier each `ageing`.
//
// Requests need several limiters, lanes share some of them, and each limiter is a contest of its
// own: a fast model's virtual time tells nothing about a slow one's. Each lane waits at one
// limiter, its home: the one which, of those that lack something for its first request, will be
// ready last. The first lane of a limiter claims it: nobody who would come later draws from it, so
// small requests cannot starve a large one. It claims no others: what a request cannot use yet must
// not stand idle. When home is ready and another limiter is not, the lane moves there. A share
// whose lanes have been elsewhere keeps its start tag, but is at best the next one when it is back.
//
// Moving to and fro, a large request might find one limiter drained each time the other is ready.
// So if it comes first everywhere, and would have to leave a home that is ready, it is held for:
// nobody else draws from any of its limiters until it has gone. But only if that takes no longer
// than its home would to fill again: a second of a minute's limit is not worth hours of a day's,
// and the other way round it is. Holding is then what costs least. Without, it waits at the slower
// limiter, whose refill takes longer than that wait, so that then the faster one is waited for with
// both held: each move that is not a hold is to a slower limiter. A hold ends when it would take
// longer after all, and there is none while a 429 shuts a limiter, or at a calendar window, which
// does not fill. Holds are taken on all limiters of a lane or none, so two holders
// cannot wait for each other.
//
// A team's guarantee (percent) is a bucket of its own beside the limiter's, which fills at that
// part of its rate. While it suffices for the team's first request, the team comes before all that
// have no such claim. What is borrowed from others does not put it into debt.
#ifndef SLUICE_GOVERN_CONTEST_H
#define SLUICE_GOVERN_CONTEST_H

#include "govern/state.h"

void contest_init(struct limiter *l);
void contest_free(struct limiter *l);

// The leaf for requests of this class; NULL: no memory. It stays while a lane has joined it or it
// is pinned; if neither is to be, abandon it.
struct share *contest_leaf(struct limiter *l, const struct class *class);
void contest_abandon(struct limiter *l, struct share *leaf);

// A new lane will wait here or elsewhere and need this leaf: makes room, so that nothing later can
// fail. `returns`: its request was here before, and the leaf's tags still hold. -ENOMEM.
int contest_join(struct share *leaf, bool returns);
void contest_quit(struct limiter *l, struct share *leaf);

// Keeps the leaf and its tags for a request that may return.
void contest_pin(struct share *leaf);
void contest_unpin(struct limiter *l, struct share *leaf);

// The start tags of the shares of a class, for who looks at what a request would meet and must
// leave no trace of that.
struct contest_tags {
	double start[LEVEL_PRIORITY + 1]; // NAN: there is no such share
};
void contest_note_tags(const struct limiter *l, const struct class *class,
		       struct contest_tags *ret);
void contest_restore_tags(struct limiter *l, const struct class *class,
			  const struct contest_tags *tags);

// Guarantees have been added while lanes wait: finds their teams' shares.
void contest_find_guaranteed(struct limiter *l);

// Accounts for a draw by a request of that leaf.
void contest_charge(struct share *leaf, double amount);

// The same for a request that did not have to wait, while others need the limiter.
void contest_charge_unqueued(struct limiter *l, const struct class *class, double amount);

// The lane waits for its need number `home`; leaves it; or its first ticket has changed.
void contest_enter(struct governor *g, struct lane *lane, size_t home);
void contest_leave(struct governor *g, struct lane *lane);
void contest_update(struct governor *g, struct lane *lane);

// The lane that claims `l`, or NULL.
struct lane *contest_front(const struct limiter *l, uint64_t now_ns);

// Whether `lane` would be the first if it waited for its need number `need`.
bool contest_would_lead(const struct lane *lane, size_t need, uint64_t now_ns);

// When its front may go, or another may become the front and go; BUCKET_NEVER: not before
// something else happens.
uint64_t contest_due_ns(const struct limiter *l, uint64_t now_ns);

// Holds all limiters for the lane, unless one of them is held already, as long as it may go within
// `most_ns`.
void contest_hold(struct governor *g, struct lane *lane, uint64_t most_ns);
void contest_release(struct governor *g, struct lane *lane);

#endif
