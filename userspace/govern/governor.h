// The governor: who may go, who waits, in which order. Pure: no I/O, no globals, and the clock
// comes in as `now_ns` (any monotonic clock, the same for all calls).
//
//   submit ─▶ lane (all waiting requests that need the same buckets) ─▶ admitted ─▶ settled
//                 │ ordered by virtual finish time                          │
//                 └─ withdrawn, timed out, denied: nothing was drawn        └─ or refunded
#ifndef SLUICE_GOVERN_GOVERNOR_H
#define SLUICE_GOVERN_GOVERNOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "config/policy.h"

// What a request asks for, and the labels by which limits find it. Everything is borrowed for the
// call.
struct ask {
	uint64_t id; // chosen by the caller, unique among requests not yet settled
	// By the policy's label numbers (policy->n_labels of them); NULL: it has no such label.
	// Rules are not applied yet: the governor does that.
	const char *const *labels;
	const struct team *team; // of the policy that the governor runs; NULL: none matched
	// What it is expected to take, by enum resource. For those settled by usage: an estimate.
	double amounts[N_RESOURCES];
	// Equal for a request and its retry (process, endpoint, body); 0: not known.
	uint64_t retry_key;
};

enum verdict { VERDICT_QUEUED, VERDICT_ADMITTED, VERDICT_DENIED, VERDICT_TIMED_OUT };

struct decision {
	uint64_t id;
	enum verdict verdict; // never VERDICT_QUEUED
	uint64_t waited_ns;
	const char *policy;   // the limit or team that denied it; NULL otherwise. Valid until the
			      // next reload
	const char *workload; // of the first limit that matched; NULL: none did. As long valid
	// How much priority moved it against first-in-first-out, in tokens of that limit: queued
	// ahead when it came, less admitted since. Above 0: it was moved forward.
	double moved;
};

struct governor;

// Borrows the policy, which must outlive the governor or its next governor_reload(). wall_offset_ns
// is what makes the governor's clock Unix time (for calendar windows).
struct governor *governor_new(const struct policy *policy, uint64_t now_ns, int64_t wall_offset_ns);
void governor_free(struct governor *g);

// The wall clock was set.
void governor_set_wall_offset(struct governor *g, int64_t wall_offset_ns, uint64_t now_ns);

// Takes a request. VERDICT_ADMITTED: it may leave now, and has drawn from its buckets.
// VERDICT_DENIED: ret->policy names why. VERDICT_QUEUED: governor_run() will say. -ENOMEM, or
// -EEXIST if the id is in use: not taken (let it pass).
int governor_submit(struct governor *g, const struct ask *ask, uint64_t now_ns,
		    struct decision *ret);

// Decides what can be decided at now_ns; fills at most `max` decisions and returns how many.
// Call again while it returns `max`.
size_t governor_run(struct governor *g, uint64_t now_ns, struct decision *out, size_t max);

// When governor_run() may next have something to do; UINT64_MAX: not before another event.
uint64_t governor_next_ns(const struct governor *g, uint64_t now_ns);

// A waiting request is gone (its program closed the connection): forget it. If `may_return`, its
// place is kept for a minute for a request with the same retry_key.
void governor_withdraw(struct governor *g, uint64_t id, bool may_return, uint64_t now_ns);

// A waiting request leaves now, whatever its limits say (its connection cannot be kept back any
// longer, or what it asks for has been used already): it draws, into debt if need be, and is
// admitted. -ENOENT: it does not wait.
int governor_let_go(struct governor *g, uint64_t id, uint64_t now_ns);

// An admitted request stands behind, or with, one that must wait, and has not left yet (pipelined,
// or a stream of HTTP/2): what responses say of the provider's level is without it until it leaves.
void governor_detain(struct governor *g, uint64_t id);
void governor_leave(struct governor *g, uint64_t id, uint64_t now_ns);

// An admitted request never left: give back what it drew, as far as it is not refilled already
// (bucket.h), and forget it.
void governor_refund(struct governor *g, uint64_t id, uint64_t now_ns);

// An admitted request turns out to cost something else: it was decided on before all of it was
// known. Draws the difference, into debt if need be, or gives it back.
void governor_amend(struct governor *g, uint64_t id, const double amounts[N_RESOURCES],
		    uint64_t now_ns);

// One of the provider's own limits, as a response's headers tell it. < 0: not told.
struct told {
	double limit, remaining;
	double reset_s; // until it is full again
};

// What the provider said of an admitted request, when its response's headers have been read (and
// again when its body has been: calling it twice is harmless). Levels are only ever lowered
// towards `remaining`, brought up to date by what has been filled and drawn since the request
// left: headers may come seconds late and are blind to requests in flight (outcome.c).
struct outcome {
	struct told requests, tokens, images;
	// A 429's: how long to wait, UINT64_MAX for ever; 0 if none. It shuts what is_429_on names,
	// or all.
	uint64_t shut_ns;
	bool is_429_on[N_RESOURCES];
	// insufficient_quota and its like: shut for an hour, or until governor_reset().
	bool quota_is_exhausted;
};
void governor_learn(struct governor *g, uint64_t id, const struct outcome *outcome,
		    uint64_t now_ns);

// The request is over: nothing more will be said of it. One that still waits is withdrawn.
// `used`: what it took of the resources that are settled by usage (input, output, total tokens and
// cost; the others are ignored); NULL: what was reserved stands.
void governor_settle(struct governor *g, uint64_t id, const double used[N_RESOURCES],
		     uint64_t now_ns);

// A new policy takes over. Buckets of the same limit, key, resource and interval keep their level
// (clipped to the new capacity); waiting requests are matched afresh and keep their age.
// `ask_of(ctx, id, ret)` fills in their labels by the new policy's numbers (ret->id is set
// already); false: the request is gone.
typedef bool (*ask_of_fn)(void *ctx, uint64_t id, struct ask *ret);
int governor_reload(struct governor *g, const struct policy *policy, ask_of_fn ask_of, void *ctx,
		    uint64_t now_ns);

// Opens and fills buckets, as if nothing had been drawn and no 429 been seen: those of the limit
// `policy`, or, if that is a team's name, the team's ceilings and shares; with exactly this `key`.
// Both may be as a bucket_view shows them. NULL: any. Returns how many.
size_t governor_reset(struct governor *g, const char *policy, const char *key, uint64_t now_ns);

// Views, for what people see. Strings are valid during the call.
struct bucket_view {
	const char *policy; // limit or team name
	const char *key;    // "gpt-4,3f2a…" or ""
	enum resource resource;
	double capacity, level, fill_per_s;
	uint64_t interval_ns;
	uint64_t shut_ns; // from now; 0: open. UINT64_MAX: for ever
	size_t queued;
	bool is_learnt; // capacity and window are the provider's own words
};
struct waiting_view {
	uint64_t id;
	const char *workload;
	double priority;
	uint64_t waiting_ns;
	uint64_t eta_ns; // from now, until it is expected to leave; UINT64_MAX: unknown
};
void governor_each_bucket(struct governor *g, uint64_t now_ns,
			  void (*fn)(void *ctx, const struct bucket_view *), void *ctx);
// In the order in which they will leave.
void governor_each_waiting(struct governor *g, uint64_t now_ns,
			   void (*fn)(void *ctx, const struct waiting_view *), void *ctx);
size_t governor_waiting(const struct governor *g);

// What each limit has let through since the governor began, over all its keys.
struct limit_view {
	const struct limit *limit;
	double offered, accepted; // in the limit's units
	uint64_t n_offered, n_accepted, n_denied;
	uint64_t n_without_key; // passed, for they lacked a label of its key
	// While requests waited for it: accepted then, and what filled in that time.
	double saturated_accepted, saturated_filled;
	uint64_t saturated_ns;
};
void governor_each_limit(struct governor *g, uint64_t now_ns,
			 void (*fn)(void *ctx, const struct limit_view *), void *ctx);

// Why a request waits, or what one would meet: one line for each limit that matches.
struct need_view {
	struct bucket_view bucket;
	const char *workload;
	double amount, priority;
	unsigned tier;
	bool is_team; // a team's own ceiling
	enum need_state {
		NEED_ADMITS,
		NEED_SHORT,   // too few tokens
		NEED_SHUT,    // a 429, or exhausted quota
		NEED_CLAIMED, // others come first
		NEED_DENIES,  // over_limit: deny, and too few tokens
		NEED_FORBIDS, // nothing may ever pass
		NEED_NO_KEY,  // the request lacks a label of the key: not limited
	} state;
	uint64_t ready_ns; // from now; UINT64_MAX: unknown
};
struct explanation {
	enum verdict verdict;  // VERDICT_ADMITTED: it could leave now
	const char *denied_by; // VERDICT_DENIED
	uint64_t waiting_ns, eta_ns;
};
// Of a request that waits. -ENOENT: none of that id does.
int governor_explain(struct governor *g, uint64_t id, uint64_t now_ns,
		     void (*fn)(void *ctx, const struct need_view *), void *ctx,
		     struct explanation *ret);
// Of one that is only asked about: nothing is drawn. -ENOMEM.
int governor_check(struct governor *g, const struct ask *ask, uint64_t now_ns,
		   void (*fn)(void *ctx, const struct need_view *), void *ctx,
		   struct explanation *ret);

// What survives a restart. Times are Unix time, so that they hold across boots.
struct bucket_state {
	const char *limit, *team; // of the two, those that it is of; "" for none
	const char *key;
	enum resource resource;
	uint64_t interval_ns; // of the limit; with limit, team, key and resource it is the identity
	double level;         // at at_s
	double at_s;          // until when it has been filled
	double shut_until_s;  // 0: open; INFINITY: for ever
	double learnt_capacity, learnt_interval_s; // of an `auto` limit; 0: nothing learnt
};
// Calls fn for each bucket that has changed since the last call (all: for every one).
void governor_save(struct governor *g, bool all, uint64_t now_ns,
		   void (*fn)(void *ctx, const struct bucket_state *), void *ctx);
// Makes the bucket what it was, filled by the time that has passed. -ENOENT: the policy has no such
// limit any more. -ENOMEM.
int governor_restore(struct governor *g, const struct bucket_state *state, uint64_t now_ns);

#endif
