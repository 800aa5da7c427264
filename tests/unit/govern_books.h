// What a property test knows of the world that it plays: the random policy, two governors, every
// request, and for each limiter a book of what was really used, kept beside the engine's own
// arithmetic. Each admission is checked against the book.
#ifndef SLUICE_TESTS_GOVERN_BOOKS_H
#define SLUICE_TESTS_GOVERN_BOOKS_H

#include <time.h>
#include "govern/ticket.h"
#include "govern_random.h"

enum { EVENTS = 70, BOOKS = 128, MOST_DRAWS = N_RESOURCES + 2 * RANDOM_LIMITS };

static int run_number; // for failures

#define CHECK(condition, ...)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			print_error("run %d: %s: ", run_number, #condition);                       \
			fail_msg(__VA_ARGS__);                                                     \
		}                                                                                  \
	} while (0)

// What was drawn from one limiter.
struct use {
	uint64_t at, id;
	double amount;
};

struct book {
	enum limiter_kind kind;
	enum resource resource;
	char limit[8], team[8], key[64];
	uint64_t interval_ns; // of the limit
	struct bucket_terms allowed;
	uint64_t shut_until;
	unsigned generation; // of limiters: one that a reload removes does not come back as it was
	double drawn;
	struct use uses[4 * EVENTS];
	size_t n_uses;
};

struct request {
	struct random_ask ask;
	enum { UNKNOWN, WAITING, ADMITTED, GONE } state;
	size_t n_draws;
	struct {
		struct book *book;
		unsigned generation;
		double amount;
		bool is_fixed;
	} draws[MOST_DRAWS];
};

struct world {
	struct random_policy policies[2], *p;
	struct governor *g, *twin; // only g is looked at
	uint64_t now, wall_offset;
	struct request requests[EVENTS + 2]; // by id
	uint64_t last_id;
	struct book books[BOOKS];
	size_t n_books;
	size_t n_reloads;
};

static void begin(struct world *w)
{
	memset(w, 0, offsetof(struct world, books));
	w->n_books = w->n_reloads = 0;
	w->p = &w->policies[0];
	random_policy(w->p);
	w->now = below(1000) * S + below(S);
	w->wall_offset = 1790000000 * S + below(400 * DAY);
	w->g = governor_new(&w->p->policy, w->now, (int64_t)w->wall_offset);
	w->twin = governor_new(&w->p->policy, w->now, (int64_t)w->wall_offset);
	CHECK(w->g && w->twin, "no memory");
}

// What the policy allows, by its own words.
static struct bucket_terms allowance(const struct world *w, const struct limiter *l)
{
	struct bucket_terms terms = l->bucket.terms;
	const struct rate *rate = NULL;

	if (l->team)
		rate = l->resource == RESOURCE_REQUESTS ? &l->team->rpm : &l->team->tpm;
	if (l->kind == LIMITER_TEAM) {
		terms = (struct bucket_terms){.interval_ns = 60 * S};
		terms.capacity = terms.fill_amount = rate->value;
		return terms;
	}
	if (l->limit->is_auto) // what the provider has said
		return terms;
	terms.capacity = l->limit->capacity;
	terms.fill_amount = l->limit->fill_amount;
	for (size_t i = 0; i < l->limit->n_tier_rows; i++) {
		const struct tier_row *row = &l->limit->tier_rows[i];

		if (!strcmp(l->key + strlen(l->key) - strlen(row->model), row->model))
			terms.capacity = terms.fill_amount =
				l->resource == RESOURCE_REQUESTS ? row->rpm
				: l->resource == RESOURCE_TOKENS ? row->tpm
								 : row->ipm;
	}
	terms.interval_ns = l->limit->interval_ns;
	terms.is_stepwise = l->limit->is_stepwise;
	terms.calendar = l->limit->calendar;
	if (l->kind == LIMITER_SHARE) {
		terms.capacity *= rate->value / 100;
		terms.fill_amount *= rate->value / 100;
	}
	(void)w;
	return terms;
}

static bool is_same(const struct bucket_terms *a, const struct bucket_terms *b)
{
	return a->capacity == b->capacity && a->fill_amount == b->fill_amount &&
	       a->interval_ns == b->interval_ns && a->is_stepwise == b->is_stepwise &&
	       a->calendar == b->calendar;
}

static bool is_about(const struct book *book, const struct limiter *l)
{
	return book->kind == l->kind && book->resource == l->resource &&
	       !strcmp(book->limit, l->limit ? l->limit->name : "") &&
	       !strcmp(book->team, l->team ? l->team->name : "") && !strcmp(book->key, l->key) &&
	       book->interval_ns == (l->limit ? l->limit->interval_ns : 60 * S);
}

static struct book *book_of(struct world *w, const struct limiter *l)
{
	struct bucket_terms allowed = allowance(w, l);
	struct book *book;

	for (book = w->books; book < w->books + w->n_books; book++)
		if (is_about(book, l))
			break;
	if (book == w->books + w->n_books) {
		CHECK(w->n_books++ < BOOKS, "the test has too few books");
		memset(book, 0, sizeof(*book));
		book->kind = l->kind;
		book->resource = l->resource;
		snprintf(book->limit, sizeof(book->limit), "%s", l->limit ? l->limit->name : "");
		snprintf(book->team, sizeof(book->team), "%s", l->team ? l->team->name : "");
		snprintf(book->key, sizeof(book->key), "%s", l->key);
		book->interval_ns = l->limit ? l->limit->interval_ns : 60 * S;
	}
	if (!is_same(&book->allowed, &allowed)) // windows begin anew
		book->n_uses = 0;
	book->allowed = allowed;
	return book;
}

// The number of the day or month in which `ns` falls, where the policy's clock is.
static int64_t window_of(const struct world *w, enum calendar calendar, uint64_t ns)
{
	time_t local = (time_t)((ns + w->wall_offset) / S) + w->p->offset.offset_s;
	struct tm tm;

	gmtime_r(&local, &tm);
	return calendar == CALENDAR_DAY ? local / 86400 : tm.tm_year * 12 + tm.tm_mon;
}

static double filled_in(const struct bucket_terms *terms, uint64_t window_ns)
{
	double intervals = (double)window_ns / (double)terms->interval_ns;

	return terms->fill_amount * (terms->is_stepwise ? ceil(intervals) : intervals);
}

// The last use was an admission that was waited for: all windows that end now.
static void check_windows(const struct world *w, const struct book *book)
{
	const struct bucket_terms *allowed = &book->allowed;
	double debt = fmax(0, book->uses[book->n_uses - 1].amount - allowed->capacity), sum = 0;

	if (book->uses[book->n_uses - 1].amount <= 0) // it asked for nothing
		return;
	CHECK(w->now >= book->shut_until, "%s admits while a 429 shuts it", book->limit);
	if (isinf(allowed->capacity)) // nothing is known yet
		return;
	for (size_t i = book->n_uses; i--;) {
		const struct use *use = &book->uses[i];
		double bound = allowed->capacity + debt;

		if (allowed->calendar && window_of(w, allowed->calendar, use->at) !=
						 window_of(w, allowed->calendar, w->now))
			break;
		if (!allowed->calendar)
			bound += filled_in(allowed, w->now - use->at);
		sum += use->amount;
		CHECK(sum <= bound + 1e-6 * (1 + allowed->capacity),
		      "%s %s key '%s': %f used in %f s, %f allowed (capacity %f, fill %f in %f s)",
		      book->limit, book->team, book->key, sum, (double)(w->now - use->at) / S,
		      bound, allowed->capacity, allowed->fill_amount,
		      (double)allowed->interval_ns / S);
	}
}

static void note_use(struct world *w, struct book *book, uint64_t id, double amount)
{
	CHECK(book->n_uses < sizeof(book->uses) / sizeof(*book->uses), "the book is full");
	book->uses[book->n_uses++] = (struct use){w->now, id, amount};
	book->drawn += amount;
}

// It is admitted. Whether it had to suffice: not if it was let go for having waited too long.
static void note_admitted(struct world *w, uint64_t id, uint64_t waited_ns)
{
	const struct ticket *t = ticket_find(w->g, id);
	bool is_forced = w->p->policy.on_max_wait == MAX_WAIT_ADMIT && waited_ns >= t->timeout_ns;
	struct request *r = &w->requests[id];

	r->state = ADMITTED;
	r->n_draws = t->n_draws;
	for (size_t i = 0; i < t->n_draws; i++) {
		struct book *book = book_of(w, t->draws[i].limiter);

		r->draws[i].book = book;
		r->draws[i].generation = book->generation;
		r->draws[i].amount = t->draws[i].amount;
		r->draws[i].is_fixed = t->draws[i].is_fixed;
		note_use(w, book, id, t->draws[i].amount);
		if (!is_forced || t->draws[i].limiter->denies)
			check_windows(w, book);
	}
}

// What it really used turns out to be `amount`: what came last is given back first.
static void change_use(struct world *w, uint64_t id, size_t draw, double amount)
{
	struct request *r = &w->requests[id];
	struct book *book = r->draws[draw].book;
	double more = amount - r->draws[draw].amount;

	r->draws[draw].amount = amount;
	if (r->draws[draw].generation != book->generation)
		return;
	if (more > 0) {
		note_use(w, book, id, more);
		return;
	}
	book->drawn += more;
	for (size_t i = book->n_uses; i-- && more < 0;) {
		struct use *use = &book->uses[i];
		double back = use->id == id ? fmin(use->amount, -more) : 0;

		use->amount -= back;
		more += back;
	}
}

#endif
