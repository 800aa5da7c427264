// One token bucket: how much may leave now, and when the next may.
//
//   level  ▲ capacity ───────╮        ╭──  starts full; fills continuously at fill_per_s
//          │                 ╰╮      ╭╯
//          │   a draw ──────▶ ╰──────╯◀── postponed for `headroom_ns` when drawn near full
//          0 ─────────────────────────────▶ time, ns
//
// Units: capacity, level and amounts in requests or tokens; fill_per_s in the same per second; all
// times in ns of the governor's clock.
//
// Why a draw near full postpones the refill. OpenAI charges a request when it arrives there, up to
// `headroom` later than we drew it. While its bucket is full it cannot fill, ours already does, so
// ours would run ahead by fill × delay, for good, and a saturated run would end in a 429. Therefore
// a draw made while level > capacity − fill × headroom sets last_fill = max(last_fill, now +
// headroom). Let S be the provider's level, L ours and I what we drew and it has not charged yet.
// Then S − I ≥ L at all times, if it charges what we draw:
//   - while S < capacity, S fills as fast as L at least;
//   - when S is clipped at capacity, all of I was drawn within the last `headroom`. If the first of
//     those draws was made near full, L has not filled since and is at most capacity − I. If not, L
//     was at most capacity − fill × headroom before it, has gained at most fill × headroom since
//     and lost I: again L ≤ capacity − I.
// So what is drawn while L suffices finds S sufficient on arrival. In any window of length w at
// most capacity + fill × w is drawn (plus debts, below). The price: `headroom` of refill when a
// bucket leaves full. A saturated bucket does not come near full, so its sustained rate is all of
// fill_per_s.
//
// A request larger than the capacity waits for a full bucket and takes it into debt (level < 0),
// so it cannot deadlock. Capacity 0 forbids: nothing is ever admitted.
#ifndef SLUICE_GOVERN_BUCKET_H
#define SLUICE_GOVERN_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#define NS_PER_S 1000000000ULL
#define BUCKET_NEVER UINT64_MAX

struct bucket {
	double capacity;
	double fill_per_s;
	double level;           // at last_fill_ns; bucket_level() says what it is now
	uint64_t last_fill_ns;  // may lie ahead: the refill is postponed until then
	uint64_t headroom_ns;   // how late a charge may reach the provider
	uint64_t shut_until_ns; // nothing is admitted before (a 429's Retry-After)
	// The highest levels that draws have found since peak_since_ns, and in the minute or more
	// before that.
	double peak, peak_before;
	uint64_t peak_since_ns;
};

// A full bucket that holds one minute's worth: fill_per_s = capacity / 60.
void bucket_init(struct bucket *b, double capacity, uint64_t headroom_ns, uint64_t now_ns);

double bucket_level(const struct bucket *b, uint64_t now_ns);

// Whether `amount` may be drawn now; for an amount above the capacity: whether the bucket is full.
bool bucket_admits(const struct bucket *b, double amount, uint64_t now_ns);

// The first ns at which bucket_admits() holds if nothing else is drawn: now_ns if it holds now,
// BUCKET_NEVER if it never will. Never a ns too early, so who sleeps until then need not spin.
uint64_t bucket_ready_ns(const struct bucket *b, double amount, uint64_t now_ns);

// Takes `amount`, into debt if need be.
void bucket_draw(struct bucket *b, double amount, uint64_t now_ns);

// Gives back what was drawn at drawn_ns and never left, as far as it is still missing. What has
// been refilled since is not: had the request never been drawn, the bucket would have been full and
// that refill lost. What is missing for sure is the larger of
//   amount − fill × time since, and
//   min(amount, capacity − the highest level since).
// The refill is postponed by `headroom`, for the draws in flight that might have found the bucket
// near full without this one.
void bucket_refund(struct bucket *b, double amount, uint64_t drawn_ns, uint64_t now_ns);

// The provider has less than we thought. Never raises the level.
void bucket_lower_to(struct bucket *b, double level, uint64_t now_ns);

void bucket_shut(struct bucket *b, uint64_t until_ns);

// Full, filling and open: no different from a new one.
bool bucket_is_fresh(const struct bucket *b, uint64_t now_ns);

// `b` takes over the level and the closure of `old`, clipped to its own capacity.
void bucket_inherit(struct bucket *b, const struct bucket *old, uint64_t now_ns);

#endif
