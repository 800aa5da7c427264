// The arithmetic of one token bucket; bucket.h has the reasoning.
//
// The level is stored as of last_fill_ns and moves only when something is drawn, given back or
// lowered. Looking at it changes nothing, so polling often cannot pile up rounding errors. A clock
// that stands still or steps back fills nothing.
//
// Doubles: a level is off by about 1e-16 of the largest value it has been through. SLACK (1e-10 of
// the capacity, 6 ns of refill) is far above that and far below a token.
#include "govern/bucket.h"

#include <math.h>

#define SLACK 1e-10
#define SECONDS_PER_MINUTE 60.0
#define PEAK_NS (60 * NS_PER_S)
#define FAR_NS 9e18 // longer waits are "never"

void bucket_init(struct bucket *b, double capacity, uint64_t headroom_ns, uint64_t now_ns)
{
	*b = (struct bucket){
		.capacity = capacity,
		.fill_per_s = capacity / SECONDS_PER_MINUTE,
		.level = capacity,
		.last_fill_ns = now_ns,
		.headroom_ns = headroom_ns,
		.peak = capacity,
		.peak_before = capacity,
		.peak_since_ns = now_ns,
	};
}

static double filled(const struct bucket *b, uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? b->fill_per_s * ((double)(to_ns - from_ns) / NS_PER_S) : 0;
}

double bucket_level(const struct bucket *b, uint64_t now_ns)
{
	return fmin(b->capacity, b->level + filled(b, b->last_fill_ns, now_ns));
}

// What must be there for `amount` to go: more than full cannot be waited for.
static double needed(const struct bucket *b, double amount)
{
	return fmin(amount, b->capacity) - b->capacity * SLACK;
}

bool bucket_admits(const struct bucket *b, double amount, uint64_t now_ns)
{
	return b->capacity > 0 && now_ns >= b->shut_until_ns &&
	       bucket_level(b, now_ns) >= needed(b, amount);
}

uint64_t bucket_ready_ns(const struct bucket *b, double amount, uint64_t now_ns)
{
	if (bucket_admits(b, amount, now_ns))
		return now_ns;
	if (b->capacity <= 0 || b->fill_per_s <= 0)
		return BUCKET_NEVER;
	uint64_t from_ns = now_ns > b->last_fill_ns ? now_ns : b->last_fill_ns;
	// Without the slack, so that rounding cannot make it too early.
	double lacking = fmin(amount, b->capacity) - bucket_level(b, from_ns);
	double wait_ns = lacking > 0 ? ceil(lacking / b->fill_per_s * NS_PER_S) : 0;
	if (wait_ns > FAR_NS)
		return BUCKET_NEVER;
	uint64_t ready_ns = lacking > 0 ? from_ns + (uint64_t)wait_ns : now_ns;
	return ready_ns > b->shut_until_ns ? ready_ns : b->shut_until_ns;
}

static void anchor(struct bucket *b, uint64_t now_ns)
{
	b->level = bucket_level(b, now_ns);
	if (now_ns > b->last_fill_ns)
		b->last_fill_ns = now_ns;
}

static void postpone(struct bucket *b, uint64_t now_ns)
{
	if (b->last_fill_ns < now_ns + b->headroom_ns)
		b->last_fill_ns = now_ns + b->headroom_ns;
}

static void note_peak(struct bucket *b, uint64_t now_ns)
{
	if (now_ns > b->peak_since_ns && now_ns - b->peak_since_ns > PEAK_NS) {
		b->peak_before = b->peak;
		b->peak = b->level;
		b->peak_since_ns = now_ns;
	}
	b->peak = fmax(b->peak, b->level);
}

void bucket_draw(struct bucket *b, double amount, uint64_t now_ns)
{
	anchor(b, now_ns);
	note_peak(b, now_ns);
	if (b->level >= b->capacity - filled(b, 0, b->headroom_ns))
		postpone(b, now_ns);
	b->level -= amount;
}

void bucket_refund(struct bucket *b, double amount, uint64_t drawn_ns, uint64_t now_ns)
{
	anchor(b, now_ns);
	note_peak(b, now_ns);
	double missing = fmax(0, amount - filled(b, drawn_ns, now_ns));
	bool is_peak_known = drawn_ns + PEAK_NS >= b->peak_since_ns;
	double highest = is_peak_known ? fmax(b->peak, b->peak_before) : b->capacity;
	missing = fmax(missing, fmin(amount, b->capacity - highest));
	postpone(b, now_ns);
	b->level = fmin(b->capacity, b->level + missing);
	// Without this draw, all levels since would have been higher by no more than it.
	b->peak = fmin(b->capacity, b->peak + amount);
	b->peak_before = fmin(b->capacity, b->peak_before + amount);
}

void bucket_lower_to(struct bucket *b, double level, uint64_t now_ns)
{
	anchor(b, now_ns);
	b->level = fmin(b->level, level);
}

void bucket_shut(struct bucket *b, uint64_t until_ns)
{
	if (until_ns > b->shut_until_ns)
		b->shut_until_ns = until_ns;
}

bool bucket_is_fresh(const struct bucket *b, uint64_t now_ns)
{
	return now_ns >= b->last_fill_ns && bucket_admits(b, b->capacity, now_ns);
}

void bucket_inherit(struct bucket *b, const struct bucket *old, uint64_t now_ns)
{
	b->level = fmin(b->capacity, bucket_level(old, now_ns));
	b->last_fill_ns = now_ns > old->last_fill_ns ? now_ns : old->last_fill_ns;
	b->shut_until_ns = old->shut_until_ns;
	b->peak = b->peak_before = b->capacity;
}
