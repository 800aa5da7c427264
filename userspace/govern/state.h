// What the governor is made of; for govern/ only. One picture of who points to whom:
//
//   governor ──▶ limiters: one token bucket each, for (limit or team, key), and the contest of
//      │            │       the lanes that wait for it: a tree of shares (contest.h)
//      │            ▼
//      ├───────▶ lanes: the waiting requests that stand at the same leaves of the same limiters'
//      │            │   trees, in order of arrival (lane.h)
//      │            ▼
//      └───────▶ tickets: one request each, from governor_submit() until it is settled, and what
//                         it draws from which limiter
//
// Ownership: the governor's tables own limiters, lanes and tickets; a limiter owns its shares. A
// limiter stays while a ticket refers to it (`refs`), a share while a lane or an absence does.
#ifndef SLUICE_GOVERN_STATE_H
#define SLUICE_GOVERN_STATE_H

#include <sys/queue.h>
#include "govern/bucket.h"
#include "govern/governor.h"
#include "govern/hashtab.h"
#include "govern/heap.h"
#include "govern/rules.h"
#include "govern/workloads.h"

// Whose rate a limiter enforces.
enum limiter_kind {
	LIMITER_LIMIT, // a limit of the policy, for one key
	LIMITER_TEAM,  // a team's own ceiling, units a minute
	LIMITER_SHARE, // a team's percentage of one LIMITER_LIMIT
};

// Where a request stands in the tree of a limiter: the class of requests that it belongs to.
struct class
{
	const struct team *team;
	const struct workload *workload; // NULL: those of a scheduler without workloads
	uint64_t fairness; // hash of the fairness label's value; 0: its scheduler has none
	double priority;
	unsigned tier;
};

// The levels of that tree. The root is the limiter's own.
enum level { LEVEL_ROOT, LEVEL_TEAM, LEVEL_WORKLOAD, LEVEL_FAIRNESS, LEVEL_PRIORITY };

struct share {
	struct hash_node node; // in limiter.shares
	enum level level;
	struct class class; // as far down as its level
	struct share *parent;
	size_t n_children, n_lanes; // lanes: that need the limiter, wherever they wait
	size_t n_absent;            // absences that keep it, of a leaf (absence.h)
	double weight;              // in its parent's contest
	double start;               // start tag of its next request
	struct heap_node in_parent; // while a lane below it waits at this limiter
	double vtime;               // of the contest of its children
	struct heap heap;           // of its children; at LEVEL_PRIORITY of lanes, by arrival
	struct lane *head;          // the lane that is first of all below; NULL: none
};

// A team's guaranteed part of a limiter.
struct guarantee {
	const struct team *team;
	struct bucket bucket;
	struct share *share; // at LEVEL_TEAM; NULL: none yet
};

struct limiter {
	struct hash_node node; // in governor.limiters
	enum limiter_kind kind;
	enum resource resource;
	const struct limit *limit; // of the policy; NULL for LIMITER_TEAM
	const struct team *team;   // of the policy; NULL for LIMITER_LIMIT
	char *key;                 // values of the limit's key labels, joined by ","
	bool denies;               // over_limit: deny. Nobody waits for it
	bool is_learnt;            // the provider has told its limit and window
	bool is_changed;           // since the last governor_save()

	struct bucket bucket;
	struct bucket forecast; // a copy that a view lets run ahead, to forecast_ns
	uint64_t forecast_ns;
	double drawn_in_all;         // everything drawn so far
	double drawn;                // less what was refunded
	double arriving;             // of that, what the provider may not have counted yet
	double passed;               // everything admitted so far
	double waiting;              // what the waiting requests want
	size_t refs;                 // tickets that draw from it
	size_t queued;               // of those, waiting
	struct limiter *successor;   // during a reload: the same in the new policy
	bool is_saturated;           // a lane waits for it
	uint64_t saturated_since_ns; // … or since when it has been looked at
	double passed_before;        // … `passed` then

	struct share root; // the contest
	struct hashtab shares;
	struct guarantee *guarantees;
	size_t n_guarantees;
	struct lane *holder;     // nobody else may draw (contest.h)
	struct heap_node by_due; // in governor.due
	bool is_touched;
	TAILQ_ENTRY(limiter) touched; // in governor.touched
};

// What one request takes from one limiter.
struct draw {
	struct limiter *limiter;
	double amount;
	struct class class;
	bool is_fixed;       // by a label or the workload, not by the resource
	double drawn_after;  // limiter->drawn when the provider must have counted this draw …
	double drawn_before; // … and drawn_in_all when it may have counted it, with this one
};

enum ticket_state {
	TICKET_WAITING,  // in its lane
	TICKET_DECIDED,  // by a reload: the next governor_run() says so
	TICKET_ADMITTED, // has drawn, and may still be refunded or corrected
};

struct ticket {
	struct hash_node node; // in governor.tickets, by id
	uint64_t id;
	uint64_t seq;                            // order of arrival
	uint64_t since_ns, admitted_ns, left_ns; // left: admitted, and not detained any more
	uint64_t timeout_ns;                     // how long it may wait; UINT64_MAX: for ever
	uint64_t retry_key;                      // 0: none
	enum ticket_state state;
	const char *denied_by; // TICKET_DECIDED: NULL if admitted
	const struct workload *workload;
	unsigned promotions;              // by ageing
	uint64_t promote_ns;              // when it counts one tier higher
	size_t primary;                   // the draw by which `moved` is told
	double ahead, passed_then, moved; // at that one
	struct lane *lane;
	TAILQ_ENTRY(ticket) in_lane;
	struct heap_node by_deadline;  // in governor.deadlines, while it waits
	struct heap_node by_promotion; // in governor.ageing, while it waits
	TAILQ_ENTRY(ticket) by_age;    // in governor.decided
	bool is_arriving;              // the provider may not have counted it yet …
	bool is_detained;              // … and it has not left; else it is in governor.arriving
	TAILQ_ENTRY(ticket) by_arrival;
	size_t n_draws;
	// Of those, the ones that it may have to wait for: the first. Of the others it asks nothing
	// as far as is known, and they wait to be settled.
	size_t n_needs;
	struct draw draws[];
};

struct need {
	struct limiter *limiter;
	struct share *leaf;
};

// The place of a request that lost its connection while it waited.
struct absence {
	struct hash_node node; // in governor.absences, by retry_key
	uint64_t retry_key, seq, since_ns, until_ns;
	TAILQ_ENTRY(absence) by_end;
	size_t n_needs;
	struct need needs[]; // whose leaves, and so tags, are kept for it
};

TAILQ_HEAD(ticket_list, ticket);
TAILQ_HEAD(lane_list, lane);
TAILQ_HEAD(limiter_list, limiter);
TAILQ_HEAD(absence_list, absence);

struct lane {
	struct hash_node node;      // in governor.lanes, by its leaves
	struct ticket_list tickets; // never empty
	size_t home;                // index of the need whose limiter it waits for
	struct heap_node in_leaf;   // of that limiter's tree
	bool holds;                 // all its limiters are held for it …
	uint64_t hold_most_ns;      // … unless that takes longer than this from now
	TAILQ_ENTRY(lane) holding;  // in governor.holders
	size_t n_needs;
	struct need needs[]; // the draws of each of its tickets, in the same order
};

struct limit_stats {
	double offered, accepted;
	uint64_t n_offered, n_accepted, n_denied, n_without_key;
	double saturated_accepted, saturated_filled;
	uint64_t saturated_ns;
};

struct governor {
	const struct policy *policy;
	int64_t wall_offset_ns;
	struct rules rules;
	struct workloads workloads;
	struct hashtab tickets, lanes, limiters, absences;
	struct heap deadlines; // of waiting tickets
	struct heap ageing;    // of those in a tier above 0, by when they count one higher
	struct ticket_list decided;
	struct ticket_list arriving; // admitted less than `headroom` ago, oldest first
	struct absence_list absent;  // by until_ns
	struct heap due; // limiters that somebody waits for, by when that is worth a look
	struct limiter_list touched; // those to be looked at in any case
	struct lane_list holders;
	size_t n_waiting;
	uint64_t seq;
	size_t collect_at;    // collect idle limiters when there are so many
	struct draw *scratch; // room for the draws of any request, …
	struct draw *silent;  // … and for those of amount 0, until they are put behind the others
	struct limit_stats *stats; // by limit
};

#define CLASS_WEIGHT_MIN 1e-3
#define CLASS_WEIGHT_MAX 1e6

#endif
