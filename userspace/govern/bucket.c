// The arithmetic of one token bucket; bucket.h has the reasoning.
//
// The level is stored as of last_fill_ns and moves only when something is drawn, given back or
// corrected. Looking at it changes nothing, so polling often cannot pile up rounding errors. A
// clock that stands still or steps back fills nothing.
//
// Doubles: a level is off by about 1e-16 of the largest value it has been through. SLACK (1e-10 of
// the capacity, 6 ns of a minute's refill) is far above that and far below a token.
#include "govern/bucket.h"

#include <math.h>
#include "govern/calendar.h"

#define SLACK 1e-10
#define FAR_NS 9e18 // longer waits are "never"

static void find_next_window(struct bucket *b, uint64_t now_ns)
{
	const int64_t second = (int64_t)NS_PER_S;

	if (now_ns > (uint64_t)INT64_MAX / 4) { // a forecast, a lifetime ahead
		b->next_ns = BUCKET_NEVER;
		return;
	}
	int64_t wall_ns = (int64_t)now_ns + b->wall_offset_ns;
	int64_t wall_s = wall_ns / second - (wall_ns % second < 0);
	int64_t next_ns = calendar_next_s(b->terms.zone, b->terms.calendar, wall_s) * second -
			  b->wall_offset_ns;

	b->next_ns = next_ns > (int64_t)now_ns ? (uint64_t)next_ns : now_ns + 1;
}

void bucket_init(struct bucket *b, const struct bucket_terms *terms, uint64_t now_ns,
		 int64_t wall_offset_ns)
{
	*b = (struct bucket){
		.terms = *terms,
		.level = terms->capacity,
		.last_fill_ns = now_ns,
		.wall_offset_ns = wall_offset_ns,
		.began_ns = now_ns,
		.next_ns = BUCKET_NEVER,
	};
	if (terms->calendar)
		find_next_window(b, now_ns);
}

static bool is_unlimited(const struct bucket *b)
{
	return isinf(b->terms.capacity);
}

double bucket_fill_per_s(const struct bucket *b)
{
	if (b->terms.calendar || is_unlimited(b))
		return 0;
	return b->terms.fill_amount * NS_PER_S / (double)b->terms.interval_ns;
}

static double filled(const struct bucket *b, uint64_t from_ns, uint64_t to_ns)
{
	if (to_ns <= from_ns || b->terms.calendar || is_unlimited(b))
		return 0;
	if (b->terms.is_stepwise)
		return b->terms.fill_amount * (double)((to_ns - from_ns) / b->terms.interval_ns);
	return b->terms.fill_amount * ((double)(to_ns - from_ns) / (double)b->terms.interval_ns);
}

double bucket_level(const struct bucket *b, uint64_t now_ns)
{
	if (now_ns >= b->next_ns)
		return b->terms.capacity;
	return fmin(b->terms.capacity, b->level + filled(b, b->last_fill_ns, now_ns));
}

// What must be there for `amount` to go: more than full cannot be waited for.
static double needed(const struct bucket *b, double amount)
{
	return fmin(amount, b->terms.capacity) - b->terms.capacity * SLACK;
}

bool bucket_admits(const struct bucket *b, double amount, uint64_t now_ns)
{
	if (now_ns < b->shut_until_ns)
		return false;
	return is_unlimited(b) ||
	       (b->terms.capacity > 0 && bucket_level(b, now_ns) >= needed(b, amount));
}

// When the level has risen by `lacking` from what it is at from_ns, where it is filled up to.
static uint64_t filled_by_ns(const struct bucket *b, double lacking, uint64_t from_ns)
{
	double intervals = lacking / b->terms.fill_amount;
	uint64_t since_ns = from_ns > b->last_fill_ns ? from_ns - b->last_fill_ns : 0;

	if (b->terms.is_stepwise) // a rounding error of the level must not cost a whole step
		intervals = ceil(fmax(intervals - SLACK, SLACK));
	if (intervals * (double)b->terms.interval_ns > FAR_NS)
		return BUCKET_NEVER;
	// Whole steps in whole numbers: a double's ns are off by one beyond a hundred days.
	if (b->terms.is_stepwise)
		return from_ns - since_ns % b->terms.interval_ns +
		       (uint64_t)intervals * b->terms.interval_ns;
	return from_ns + (uint64_t)ceil(intervals * (double)b->terms.interval_ns);
}

uint64_t bucket_ready_ns(const struct bucket *b, double amount, uint64_t now_ns)
{
	uint64_t ready_ns = now_ns;

	if (bucket_admits(b, amount, now_ns))
		return now_ns;
	if (b->terms.capacity <= 0)
		return BUCKET_NEVER;
	// A refill that is postponed; windows are not.
	uint64_t from_ns = now_ns > b->last_fill_ns || b->terms.calendar ? now_ns : b->last_fill_ns;
	// Without the slack, so that rounding cannot make it too early.
	double lacking =
		is_unlimited(b) ? 0 : fmin(amount, b->terms.capacity) - bucket_level(b, from_ns);
	if (lacking > 0 && b->terms.calendar)
		ready_ns = b->next_ns;
	else if (lacking > 0 && b->terms.fill_amount <= 0)
		return BUCKET_NEVER;
	else if (lacking > 0)
		ready_ns = filled_by_ns(b, lacking, from_ns);
	return ready_ns > b->shut_until_ns ? ready_ns : b->shut_until_ns;
}

// A new day or month.
static void begin_window(struct bucket *b, uint64_t now_ns)
{
	b->level = b->terms.capacity;
	b->began_ns = b->next_ns;
	find_next_window(b, now_ns);
}

static void anchor(struct bucket *b, uint64_t now_ns)
{
	uint64_t last_ns = b->last_fill_ns;

	if (now_ns >= b->next_ns)
		begin_window(b, now_ns);
	b->level = bucket_level(b, now_ns);
	if (now_ns <= last_ns)
		return;
	b->last_fill_ns = now_ns;
	// A full bucket has nothing to wait for: its next interval begins when it is drawn from.
	if (b->terms.is_stepwise && b->level < b->terms.capacity)
		b->last_fill_ns -= (now_ns - last_ns) % b->terms.interval_ns;
}

uint64_t bucket_refill_ns(const struct bucket *b, double amount, uint64_t now_ns)
{
	double intervals = fmin(amount, b->terms.capacity) / b->terms.fill_amount;
	double refill_ns = intervals * (double)b->terms.interval_ns;
	struct bucket is = *b;

	if (!b->terms.calendar)
		return refill_ns < FAR_NS ? (uint64_t)refill_ns : BUCKET_NEVER;
	anchor(&is, now_ns);
	return is.next_ns - now_ns;
}

// No refill before `until_ns`, or, if it comes in steps, no step.
static void postpone(struct bucket *b, uint64_t until_ns)
{
	if (b->terms.is_stepwise)
		until_ns = until_ns > b->terms.interval_ns ? until_ns - b->terms.interval_ns : 0;
	if (b->last_fill_ns < until_ns)
		b->last_fill_ns = until_ns;
}

// How long the whole capacity takes to fill.
static uint64_t fill_ns(const struct bucket *b)
{
	double ns = b->terms.capacity / b->terms.fill_amount * (double)b->terms.interval_ns;

	return ns < FAR_NS ? (uint64_t)ns : (uint64_t)FAR_NS;
}

static void postpone_after_draw(struct bucket *b, uint64_t now_ns)
{
	double headroom_amount = b->terms.fill_amount *
				 ((double)b->terms.headroom_ns / (double)b->terms.interval_ns);

	if (b->terms.calendar || b->terms.fill_amount <= 0)
		return;
	if (b->terms.delays_fill && b->level >= b->terms.capacity * (1 - SLACK))
		postpone(b, now_ns + fill_ns(b));
	if (b->terms.headroom_ns && b->level >= b->terms.capacity - headroom_amount)
		postpone(b, now_ns + b->terms.headroom_ns);
}

void bucket_draw(struct bucket *b, double amount, uint64_t now_ns)
{
	if (is_unlimited(b))
		return;
	anchor(b, now_ns);
	peaks_note(&b->peaks, now_ns, b->level);
	postpone_after_draw(b, now_ns);
	b->level -= amount;
}

void bucket_refund(struct bucket *b, double amount, uint64_t drawn_ns, uint64_t now_ns)
{
	if (is_unlimited(b))
		return;
	anchor(b, now_ns);
	if (drawn_ns < b->began_ns)
		return; // of a window that is over, or forgiven by a reset
	double room = b->terms.capacity - peaks_since(&b->peaks, drawn_ns, b->level);
	double missing = fmin(amount, fmax(room, 0));
	if (b->terms.headroom_ns)
		postpone(b, now_ns + b->terms.headroom_ns);
	peaks_raise(&b->peaks, drawn_ns, missing);
	b->level += missing;
}

void bucket_lower_to(struct bucket *b, double level, uint64_t now_ns)
{
	anchor(b, now_ns);
	peaks_note(&b->peaks, now_ns, b->level);
	b->level = fmin(b->level, level);
}

void bucket_raise_to(struct bucket *b, double level, uint64_t now_ns)
{
	anchor(b, now_ns);
	b->level = fmin(b->terms.capacity, fmax(b->level, level));
}

void bucket_shut(struct bucket *b, uint64_t until_ns)
{
	if (until_ns > b->shut_until_ns)
		b->shut_until_ns = until_ns;
}

// Of what has been drawn up to now, nothing is missing any more that could be given back.
static void forgive(struct bucket *b, uint64_t now_ns)
{
	b->began_ns = now_ns + 1;
}

void bucket_reset(struct bucket *b, uint64_t now_ns)
{
	struct bucket_terms terms = b->terms;

	bucket_init(b, &terms, now_ns, b->wall_offset_ns);
	forgive(b, now_ns);
}

void bucket_retune(struct bucket *b, double capacity, uint64_t interval_ns, uint64_t now_ns)
{
	anchor(b, now_ns);
	b->terms.capacity = b->terms.fill_amount = capacity;
	b->terms.interval_ns = interval_ns;
	b->level = fmin(b->level, capacity);
	b->peaks.n = 0;
	forgive(b, now_ns);
}

bool bucket_is_fresh(const struct bucket *b, uint64_t now_ns)
{
	return now_ns >= b->last_fill_ns && bucket_admits(b, b->terms.capacity, now_ns);
}

// Whether what is missing in `old`, which fills in that way, is missing in `b` as well.
static bool keeps_missing(const struct bucket *b, const struct bucket *old)
{
	const struct bucket_terms *x = &b->terms, *y = &old->terms;

	return !is_unlimited(old) && x->capacity >= y->capacity && x->calendar == y->calendar &&
	       x->is_stepwise == y->is_stepwise &&
	       (x->calendar ||
		(x->fill_amount == y->fill_amount && x->interval_ns == y->interval_ns));
}

void bucket_inherit(struct bucket *b, const struct bucket *old, uint64_t now_ns)
{
	struct bucket was = *old;

	anchor(&was, now_ns);
	if (bucket_is_fresh(&was, now_ns)) // no different from a new one
		return;
	b->shut_until_ns = was.shut_until_ns;
	forgive(b, now_ns);
	if (is_unlimited(&was))
		return;
	if (keeps_missing(b, &was))
		b->began_ns = was.began_ns;
	b->level = fmin(b->terms.capacity, was.level);
	if (b->terms.is_stepwise == was.terms.is_stepwise || was.last_fill_ns > now_ns)
		b->last_fill_ns = was.last_fill_ns;
	b->peaks = was.peaks; // each as far below the capacity as it was
	peaks_raise(&b->peaks, 0, fmax(b->terms.capacity - was.terms.capacity, 0));
}

void bucket_set_wall_offset(struct bucket *b, uint64_t now_ns, int64_t wall_offset_ns)
{
	if (!b->terms.calendar)
		return;
	anchor(b, now_ns);
	int64_t ends_ns = (int64_t)b->next_ns + b->wall_offset_ns; // Unix time
	b->wall_offset_ns = wall_offset_ns;
	if ((int64_t)now_ns + wall_offset_ns >= ends_ns) {
		b->next_ns = now_ns;
		begin_window(b, now_ns);
	}
	find_next_window(b, now_ns);
}
