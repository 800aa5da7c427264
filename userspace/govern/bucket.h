// One token bucket: how much may leave now, and when the next may.
//
//   level  ▲ capacity ───────╮        ╭──  starts full; gains fill_amount in each interval
//          │                 ╰╮      ╭╯
//          │   a draw ──────▶ ╰──────╯◀── postponed for a while when drawn (near) full
//          0 ─────────────────────────────▶ time, ns
//
// Units: capacity, fill_amount, level and amounts in what the limit counts; all times in ns of the
// governor's clock. How it fills:
//   continuously   fill_amount × time / interval, the way of the provider's own buckets
//   stepwise       fill_amount at once at the end of each interval
//   by calendar    full again when a day or month begins; nothing in between
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
// its fill.
//
// delay_initial_fill (Aperture) postpones for as long as the whole capacity takes to fill, once a
// full bucket is drawn from: then no interval sees the capacity twice.
//
// A request larger than the capacity waits for a full bucket and takes it into debt (level < 0),
// so it cannot deadlock. Capacity 0 forbids: nothing is ever admitted. An infinite one (nothing is
// known of the limit yet) admits everything.
#ifndef SLUICE_GOVERN_BUCKET_H
#define SLUICE_GOVERN_BUCKET_H

#include <stdbool.h>
#include <stdint.h>
#include "config/policy.h"
#include "govern/peaks.h"

#define NS_PER_S 1000000000ULL
#define BUCKET_NEVER UINT64_MAX

struct bucket_terms {
	double capacity, fill_amount;
	uint64_t interval_ns;
	bool is_stepwise, delays_fill;
	uint64_t headroom_ns; // how late a charge may reach the provider
	enum calendar calendar;
	const struct zone *zone; // borrowed
};

struct bucket {
	struct bucket_terms terms;
	double level; // at last_fill_ns; bucket_level() says what it is now
	// May lie ahead: the refill is postponed until then. Of a stepwise one: the last step.
	uint64_t last_fill_ns;
	uint64_t shut_until_ns; // nothing is admitted before (a 429's Retry-After)
	uint64_t began_ns;      // what was drawn before cannot be given back any more
	int64_t wall_offset_ns; // of a calendar window, what makes now_ns Unix time …
	uint64_t next_ns;       // … and when the next one begins
	struct peaks peaks;     // since began_ns, or longer
};

// A full bucket. wall_offset_ns makes now_ns Unix time, for calendar windows.
void bucket_init(struct bucket *b, const struct bucket_terms *terms, uint64_t now_ns,
		 int64_t wall_offset_ns);

double bucket_level(const struct bucket *b, uint64_t now_ns);

// What it gains in a second on the average; 0 for calendar windows.
double bucket_fill_per_s(const struct bucket *b);

// Whether `amount` may be drawn now; for an amount above the capacity: whether the bucket is full.
bool bucket_admits(const struct bucket *b, double amount, uint64_t now_ns);

// The first ns at which bucket_admits() holds if nothing else is drawn: now_ns if it holds now,
// BUCKET_NEVER if it never will. Never a ns too early, so who sleeps until then need not spin.
uint64_t bucket_ready_ns(const struct bucket *b, double amount, uint64_t now_ns);

// How long `amount` takes to come back once it is gone; BUCKET_NEVER: it never does.
uint64_t bucket_refill_ns(const struct bucket *b, double amount, uint64_t now_ns);

// Takes `amount`, into debt if need be.
void bucket_draw(struct bucket *b, double amount, uint64_t now_ns);

// Gives back what was drawn at drawn_ns and not used: the level becomes what it would be without
// that part of the draw. That is less than the part if the bucket would have been full in the
// meantime, for then some of its refill would have been lost:
//   min(amount, capacity − the highest level since)
// So no window of time sees more used than capacity + fill × window, and nothing is kept that was
// not used. The refill is postponed by `headroom`, for the draws in flight that might have found
// the bucket near full without this one.
void bucket_refund(struct bucket *b, double amount, uint64_t drawn_ns, uint64_t now_ns);

// The provider has less, or more, than we thought. Never lowers (raises) where the name says so.
void bucket_lower_to(struct bucket *b, double level, uint64_t now_ns);
void bucket_raise_to(struct bucket *b, double level, uint64_t now_ns);

void bucket_shut(struct bucket *b, uint64_t until_ns);

// As new: full and open.
void bucket_reset(struct bucket *b, uint64_t now_ns);

// Another capacity and window (the provider has told them); the level stays, clipped.
void bucket_retune(struct bucket *b, double capacity, uint64_t interval_ns, uint64_t now_ns);

// Full, filling and open: no different from a new one.
bool bucket_is_fresh(const struct bucket *b, uint64_t now_ns);

// `b` takes over the level and the closure of `old`, clipped to its own capacity.
void bucket_inherit(struct bucket *b, const struct bucket *old, uint64_t now_ns);

// The wall clock was set: calendar windows begin at other times.
void bucket_set_wall_offset(struct bucket *b, uint64_t now_ns, int64_t wall_offset_ns);

#endif
