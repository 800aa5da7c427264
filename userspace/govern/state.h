// What the governor is made of; for govern/ only. One picture of who points to whom:
//
//   governor ──▶ limiters: one token bucket each, for (limit or team, key, resource), and the
//      │            │       contest of the lanes that wait for it (contest.h)
//      │            ▼
//      ├───────▶ lanes: the waiting requests of one team that need the same limiters, in order of
//      │            │   arrival (lane.h)
//      │            ▼
//      └───────▶ tickets: one request each, from governor_submit() until it is settled, and what
//                         it draws from which limiter
//
// Ownership: the governor's tables own limiters, lanes and tickets. A limiter stays while a ticket
// refers to it (`refs`).
#ifndef SLUICE_GOVERN_STATE_H
#define SLUICE_GOVERN_STATE_H

#include <sys/queue.h>
#include "govern/bucket.h"
#include "govern/governor.h"
#include "govern/hashtab.h"

enum resource { RESOURCE_REQUESTS, RESOURCE_TOKENS, N_RESOURCES };

// Whose rate a limiter enforces.
enum limiter_kind {
	LIMITER_LIMIT, // a limit of the policy, for one key
	LIMITER_TEAM,  // a team's own ceiling, units a minute
	LIMITER_SHARE, // a team's percentage of one LIMITER_LIMIT
};

// How much virtual time a team has used up at one limiter.
struct share {
	const struct team *team;
	double finish;
};

struct limiter {
	struct hash_node node; // in governor.limiters
	enum limiter_kind kind;
	enum resource resource;
	const struct limit *limit; // of the policy; NULL for LIMITER_TEAM
	const struct team *team;   // of the policy; NULL for LIMITER_LIMIT
	char *key;                 // values of the limit's key labels, joined by ","
	bool denies;               // over_limit: deny. Nobody waits for it
	bool mirrors;              // counts what the provider counts: learns from its headers
	bool per_model;            // of one model, as the provider's own limits are

	struct bucket bucket;
	struct bucket forecast; // a copy that a view lets run ahead, to forecast_ns
	uint64_t forecast_ns;
	double drawn;              // everything drawn so far, less what was refunded
	size_t refs;               // tickets that draw from it
	size_t queued;             // of those, waiting
	struct limiter *successor; // during a reload: the same in the new policy

	// The contest; virtual times in units of the bucket divided by weight × priority.
	double vtime;
	struct share *shares;
	size_t n_shares, cap_shares;
	struct lane **heap; // by (finish, seq) of the lanes that wait for this limiter
	size_t n_heap, cap_heap;
	size_t n_lanes;      // lanes that need it, wherever they wait
	struct lane *holder; // nobody else may draw (contest.h)
	bool listed;
	TAILQ_ENTRY(limiter) contested; // in governor.contested while anyone waits for it
};

// What one request takes from one limiter.
struct draw {
	struct limiter *limiter;
	double amount;
	double drawn_after; // limiter->drawn when the provider must have counted this draw
};

enum ticket_state {
	TICKET_WAITING,  // in its lane
	TICKET_DECIDED,  // by a reload: the next governor_run() says so
	TICKET_ADMITTED, // has drawn, and may still be refunded or corrected
};

struct ticket {
	struct hash_node node; // in governor.tickets, by id
	uint64_t id;
	uint64_t seq; // order of arrival
	uint64_t since_ns, admitted_ns;
	enum ticket_state state;
	struct ask *ask;       // owned copy, to be matched afresh by a reload; NULL once admitted
	const char *denied_by; // TICKET_DECIDED: NULL if admitted
	struct lane *lane;
	TAILQ_ENTRY(ticket) in_lane;
	TAILQ_ENTRY(ticket) by_age; // in governor.waiting or governor.decided
	bool is_arriving;           // in governor.arriving
	TAILQ_ENTRY(ticket) by_arrival;
	size_t n_draws;
	struct draw draws[];
};

TAILQ_HEAD(ticket_list, ticket);
TAILQ_HEAD(lane_list, lane);
TAILQ_HEAD(limiter_list, limiter);

struct need {
	struct limiter *limiter;
	size_t share; // index of the team's share there
	double start; // start tag of the lane's first ticket
};

struct lane {
	struct hash_node node; // in governor.lanes, by team and limiters
	const struct team *team;
	struct ticket_list tickets; // never empty
	size_t home;                // index of the need whose limiter it waits for
	size_t heap_index;          // in that limiter's heap
	double finish;              // finish tag of the first ticket, at home
	unsigned int moves;         // how often the first ticket has changed homes
	bool holds;                 // all its limiters are held for it
	TAILQ_ENTRY(lane) holding;  // in governor.holders
	size_t n_needs;
	struct need needs[]; // the draws of each of its tickets, in the same order
};

struct governor {
	const struct policy *policy;
	struct hashtab tickets, lanes, limiters;
	struct ticket_list waiting; // oldest first: all have the same max_wait_ns
	struct ticket_list decided;
	struct ticket_list arriving; // admitted less than `headroom` ago, oldest first
	struct limiter_list contested;
	struct lane_list holders;
	size_t n_waiting;
	uint64_t seq;
	uint64_t due_ns; // cached governor_next_ns(), while due_is_known
	bool due_is_known;
	size_t collect_at;    // collect idle limiters when there are so many
	struct draw *scratch; // room for the draws of any request
};

static inline double weight_of(const struct team *team)
{
	double weight = team ? team->weight * team->priority : 1;

	return weight > 0 ? weight : 1;
}

#endif
