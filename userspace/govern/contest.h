// The contest for one limiter: in which order waiting lanes get what it lets through.
//
// Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) over teams, served in order of
// finish tags. At each limiter:
//
//   start  = max(limiter's virtual time, the team's last finish here)   when a request becomes the
//                                                                        first of its lane
//   finish = start + amount / (weight × priority)     amount: what it draws here
//   virtual time = the largest start tag admitted
//
// Smallest finish first, ties by arrival. So contending teams share what this limiter lets through
// (tokens of a tpm, requests of an rpm) by weight × priority, and a later request of a heavier
// team overtakes all that has not left yet. Tags are fixed when a request becomes the first of its
// lane, so the virtual time overtakes whoever waits: nobody starves. When nobody waits any more,
// tags start over: capacity that nobody else wanted is not held against a team.
//
// Requests need several limiters, lanes share some of them, and each limiter is a contest of its
// own: a fast model's virtual time tells nothing about a slow one's. Each lane waits at one
// limiter, its home: the one which, of those that lack something for its first request, will be
// ready last. There it is in a heap. The first of a heap claims that limiter: nobody with a larger
// finish tag draws from it, so small requests cannot starve a large one. It claims no others: what
// a request cannot use yet must not stand idle. When home is ready and another limiter is not, the
// lane moves there, with the tag that it has had there all along.
//
// Moving to and fro, a large request might find one limiter drained each time the other is ready.
// After MOST_MOVES moves it is held for: nobody else draws from any of its limiters until it has
// gone, at most the time that the slowest of them takes to fill. Holds are taken on all limiters of
// a lane or none, so two holders cannot wait for each other.
#ifndef SLUICE_GOVERN_CONTEST_H
#define SLUICE_GOVERN_CONTEST_H

#include "govern/state.h"

#define MOST_MOVES 8

// A new lane of this team will need `l`: makes room, so that nothing later can fail. -ENOMEM.
int contest_join(struct limiter *l, const struct team *team, size_t *ret_share);
void contest_quit(struct limiter *l);

// The lane's first ticket has changed because the one before it was admitted: fixes its tags.
void contest_tag(struct lane *lane);

// Accounts for a draw. `start` is the start tag there.
void contest_charge(struct limiter *l, size_t share, double start, double amount);

// The same for a request that did not have to wait, while others wait.
void contest_charge_unqueued(struct limiter *l, const struct team *team, double amount);

// The lane waits for its need number `home`; leaves it; or its first ticket has changed.
void contest_enter(struct governor *g, struct lane *lane, size_t home);
void contest_leave(struct lane *lane);
void contest_update(struct lane *lane);

// The lane that claims `l`, or NULL.
struct lane *contest_front(const struct limiter *l);

// Whether `lane` would go before `front`, which waits for lane's need number `need`.
bool contest_precedes(const struct lane *lane, size_t need, const struct lane *front);

// Holds all limiters for the lane, unless one of them is held already.
void contest_hold(struct governor *g, struct lane *lane);
void contest_release(struct governor *g, struct lane *lane);

#endif
