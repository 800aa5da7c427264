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

// What a request asks for, and the labels by which limits find it. The strings are borrowed for
// the call. team may be NULL: no team matched (such requests share the team name "").
struct ask {
	uint64_t id; // chosen by the caller, unique among requests not yet settled
	const char *provider, *model, *endpoint, *api_key, *organization, *project, *user;
	const struct team *team; // of the policy that the governor runs
	double requests;         // normally 1
	double tokens;           // cost at admission, tokens
};

enum verdict { VERDICT_QUEUED, VERDICT_ADMITTED, VERDICT_DENIED, VERDICT_TIMED_OUT };

struct decision {
	uint64_t id;
	enum verdict verdict; // never VERDICT_QUEUED
	uint64_t waited_ns;
	const char *policy; // the limit or team that denied it; NULL otherwise. Valid until the
			    // next reload
};

struct governor;

// Borrows the policy, which must outlive the governor or its next governor_reload().
struct governor *governor_new(const struct policy *policy, uint64_t now_ns);
void governor_free(struct governor *g);

// Takes a request. VERDICT_ADMITTED: it may leave now, and has drawn from its buckets.
// VERDICT_DENIED: *ret_policy names why (as in struct decision); else it is NULL. VERDICT_QUEUED:
// governor_run() will say. -ENOMEM, or -EEXIST if the id is in use: not taken (let it pass).
int governor_submit(struct governor *g, const struct ask *ask, uint64_t now_ns,
		    enum verdict *ret_verdict, const char **ret_policy);

// Decides what can be decided at now_ns; fills at most `max` decisions and returns how many.
// Call again while it returns `max`.
size_t governor_run(struct governor *g, uint64_t now_ns, struct decision *out, size_t max);

// When governor_run() may next have something to do; UINT64_MAX: not before another event.
uint64_t governor_next_ns(const struct governor *g, uint64_t now_ns);

// A waiting request is gone (its program closed the connection): forget it.
void governor_withdraw(struct governor *g, uint64_t id, uint64_t now_ns);

// An admitted request never left: give back what it drew, as far as it is not refilled already
// (bucket.h), and forget it.
void governor_refund(struct governor *g, uint64_t id, uint64_t now_ns);

// An admitted request turns out to cost `tokens`: it was decided on before all of it was known.
// Draws the difference, into debt if need be, or gives it back.
void governor_amend(struct governor *g, uint64_t id, double tokens, uint64_t now_ns);

// What the provider said of an admitted request, when its response's headers have been read.
// limit_*, remaining_*: < 0 if unknown. Levels are only ever lowered towards `remaining`, brought
// up to date by what has been filled and drawn since the request left: headers may come seconds
// late and are blind to requests in flight (outcome.c). shut_ns: a 429's Retry-After, UINT64_MAX
// for ever; 0 if none. It shuts what is_429_on_* names, or both. Calling it twice is harmless.
struct outcome {
	double limit_requests, remaining_requests;
	double limit_tokens, remaining_tokens;
	uint64_t shut_ns;
	bool is_429_on_tokens, is_429_on_requests;
};
void governor_learn(struct governor *g, uint64_t id, const struct outcome *outcome,
		    uint64_t now_ns);

// The request is over: nothing more will be said of it. One that still waits is withdrawn.
void governor_settle(struct governor *g, uint64_t id, uint64_t now_ns);

// A new policy takes over. Buckets with the same limit name, key and resource keep their level
// (clipped to the new capacity); waiting requests are matched afresh and keep their age. Requests
// must be found a team of the new policy: `team_of(ctx, id)` returns it.
typedef const struct team *(*team_of_fn)(void *ctx, uint64_t id);
int governor_reload(struct governor *g, const struct policy *policy, team_of_fn team_of, void *ctx,
		    uint64_t now_ns);

// Views, for what people see. Strings are valid during the call.
struct bucket_view {
	const char *policy;   // limit or team name
	const char *key;      // "gpt-4,3f2a…" or ""
	const char *resource; // "requests" or "tokens"
	double capacity, level, fill_per_s;
	size_t queued;
};
struct waiting_view {
	uint64_t id;
	const char *team, *model;
	double priority, cost_tokens;
	uint64_t waiting_ns,
		eta_ns; // eta: from now, until it is expected to leave; UINT64_MAX: unknown
};
void governor_each_bucket(struct governor *g, uint64_t now_ns,
			  void (*fn)(void *ctx, const struct bucket_view *), void *ctx);
// In the order in which they will leave.
void governor_each_waiting(struct governor *g, uint64_t now_ns,
			   void (*fn)(void *ctx, const struct waiting_view *), void *ctx);
size_t governor_waiting(const struct governor *g);

#endif
