// What a decision costs in the governor alone: no I/O, no probes, and a clock that the program
// moves.
//
//   scheduler [--json] [--runs N]
//
// One scheduler with 1,000 workloads, found by a label, one bucket of tokens and one of requests.
// Requests take 50 to 150 tokens. Tokens for one request fill in each ms, and requests a tenth
// faster, so that now the one bucket is short and now the other.
//
//   submit      a request that joins N others
//   admit       governor_next_ns() and governor_run() at the very moment at which one more may go
//   admit many  the same when a thousand may go at once
//   steady      admit one, settle it, submit another in its place
//   longest     of these, the longest that a single governor_run() took, for so long the event loop
//               does nothing else; by the wall clock, so the best of the runs says most
//   free        governor_free(), for each request
//   unqueued    submit and settle while nobody waits
//
// `own queues`: each request has a value of the fairness label of its own, so that as many queues
// contend as requests wait; else the 1,000 workloads do. A structure that takes O(log n) costs at
// most 5/3 as much for 100,000 as for 1,000, in steps; what it costs beyond that is misses of the
// cache.
//
// Times are ns of CPU time, the best and the median of the runs. `make bench-engine` builds and
// runs it.
#include <err.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "govern/governor.h"

#define MS_NS 1000000ULL
#define DAY_NS (86400 * 1000 * MS_NS)

enum { N_WORKLOADS = 1000, N_LABELS = N_BUILTIN_LABELS + 2, MOST_RUNS = 99, AT_ONCE = 1000 };
enum { LABEL_WORKLOAD = N_BUILTIN_LABELS, LABEL_CUSTOMER };
enum { MEASURED = 20000, MOST_DECISIONS = 64 };

struct setting {
	size_t n_waiting, n_workloads;
	bool own_queues;
};

struct world {
	struct setting setting;
	char names[N_WORKLOADS][16];
	char *values[N_WORKLOADS][2];
	struct matcher matchers[N_WORKLOADS];
	struct workload workloads[N_WORKLOADS];
	struct scheduler scheduler;
	struct team team;
	struct limit limits[2];
	struct policy policy;
	char *label_names[N_LABELS];
	struct governor *g;
	uint64_t now_ns, last_id;
	uint64_t longest_ns; // that a governor_run() took
};

// What is measured; one number a run.
enum figure { SUBMIT, ADMIT, ADMIT_MANY, STEADY, LONGEST, FREE, UNQUEUED, N_FIGURES };
static const char *const figure_names[] = {"submit",  "admit", "admit many", "steady",
					   "longest", "free",  "unqueued"};

struct samples {
	double ns[N_FIGURES][MOST_RUNS];
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000 * MS_NS + (uint64_t)t.tv_nsec;
}

static uint64_t cpu_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static uint64_t mix(uint64_t x) // splitmix64
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static void make_workloads(struct world *w)
{
	for (size_t i = 0; i < w->setting.n_workloads; i++) {
		snprintf(w->names[i], sizeof(w->names[i]), "workload-%zu", i);
		w->values[i][0] = w->names[i];
		w->matchers[i] = (struct matcher){
			.kind = MATCHER_IN, .label = LABEL_WORKLOAD, .values = w->values[i]};
		w->workloads[i] = (struct workload){.name = w->names[i],
						    .match = &w->matchers[i],
						    .priority = (double)(1 + i % 10),
						    .tokens = -1,
						    .tier = -1};
	}
	w->scheduler = (struct scheduler){
		.priority_label = LABEL_PRIORITY,
		.tokens_label = NO_LABEL,
		.fairness_label = w->setting.own_queues ? LABEL_CUSTOMER : NO_LABEL,
		.workloads = w->workloads,
		.n_workloads = w->setting.n_workloads,
		.others = {.name = "default", .priority = 1, .tokens = -1, .tier = -1},
	};
}

static struct limit limit_of(struct world *w, enum resource resource, double per_ms)
{
	return (struct limit){
		.name = "bench",
		.file = "scheduler.c",
		.line = 1,
		.resource = resource,
		.capacity = per_ms * AT_ONCE,
		.fill_amount = per_ms * 60000,
		.interval_ns = 60000 * MS_NS,
		.scheduler = &w->scheduler,
	};
}

static void make_policy(struct world *w)
{
	static struct zone_offset utc;
	static struct zone zone = {"UTC", &utc, 1};
	static struct scheduler *schedulers[1];
	static const char *const own_labels[] = {"workload", "customer"};

	for (size_t i = 0; i < N_LABELS; i++)
		w->label_names[i] =
			(char *)(i < N_BUILTIN_LABELS ? "builtin"
						      : own_labels[i - N_BUILTIN_LABELS]);
	schedulers[0] = &w->scheduler;
	w->team = (struct team){.name = "bench", .weight = 1, .priority = 1};
	w->limits[0] = limit_of(w, RESOURCE_TOKENS, 100);
	w->limits[1] = limit_of(w, RESOURCE_REQUESTS, 1.1);
	w->policy = (struct policy){
		.max_wait_ns = 365 * DAY_NS,
		.ageing_ns = 365 * DAY_NS,
		.zone = &zone,
		.teams = &w->team,
		.n_teams = 1,
		.limits = w->limits,
		.n_limits = 2,
		.schedulers = schedulers,
		.n_schedulers = 1,
		.labels = w->label_names,
		.n_labels = N_LABELS,
	};
}

static struct world *world_new(const struct setting *setting)
{
	struct world *w = calloc(1, sizeof(*w));

	if (!w)
		err(1, "world");
	w->setting = *setting;
	make_workloads(w);
	make_policy(w);
	w->now_ns = DAY_NS;
	w->g = governor_new(&w->policy, w->now_ns, 0);
	if (!w->g)
		errx(1, "governor_new: no memory");
	return w;
}

// Returns ns for each request that it still knows of, waiting or admitted.
static double world_free(struct world *w)
{
	size_t n = w->setting.n_waiting;
	uint64_t began_ns = cpu_ns();

	governor_free(w->g);
	free(w);
	return n ? (double)(cpu_ns() - began_ns) / (double)n : 0;
}

static enum verdict submit(struct world *w, double tokens, double requests)
{
	const char *labels[N_LABELS] = {[LABEL_PROVIDER] = "openai", [LABEL_MODEL] = "gpt-4"};
	struct ask ask = {.id = ++w->last_id, .labels = labels, .team = &w->team};
	struct decision decision;
	char customer[24];
	int error;

	labels[LABEL_WORKLOAD] = w->names[mix(ask.id) % w->setting.n_workloads];
	snprintf(customer, sizeof(customer), "%" PRIu64, ask.id);
	labels[LABEL_CUSTOMER] = customer;
	ask.amounts[RESOURCE_TOKENS] = tokens;
	ask.amounts[RESOURCE_REQUESTS] = requests;
	error = governor_submit(w->g, &ask, w->now_ns, &decision);
	if (error)
		errx(1, "governor_submit: %s", strerror(-error));
	return decision.verdict;
}

static enum verdict submit_any(struct world *w)
{
	return submit(w, (double)(50 + mix(~w->last_id) % 101), 1);
}

// Empties both buckets, then lets `n` requests wait. Returns ns for each of the last MEASURED.
static double fill_queue(struct world *w)
{
	size_t n = w->setting.n_waiting, n_measured = n < MEASURED ? n : MEASURED;
	uint64_t began_ns = 0;

	if (submit(w, w->limits[0].capacity, w->limits[1].capacity) != VERDICT_ADMITTED)
		errx(1, "the first request was not admitted");
	governor_settle(w->g, w->last_id, NULL, w->now_ns);
	for (size_t i = 0; i < n; i++) {
		if (i == n - n_measured)
			began_ns = cpu_ns();
		if (submit_any(w) != VERDICT_QUEUED)
			errx(1, "a request did not have to wait");
	}
	if (governor_waiting(w->g) != n)
		errx(1, "%zu wait instead of %zu", governor_waiting(w->g), n);
	return (double)(cpu_ns() - began_ns) / (double)n_measured;
}

// Lets go what may go now. If `replaces`, each that went is settled and another put in its place.
static size_t run_now(struct world *w, bool replaces)
{
	struct decision decisions[MOST_DECISIONS];
	size_t n, sum = 0;

	do {
		uint64_t began_ns = clock_ns(CLOCK_MONOTONIC), taken_ns;

		n = governor_run(w->g, w->now_ns, decisions, MOST_DECISIONS);
		taken_ns = clock_ns(CLOCK_MONOTONIC) - began_ns;
		w->longest_ns = taken_ns > w->longest_ns ? taken_ns : w->longest_ns;
		for (size_t i = 0; i < n; i++) {
			if (decisions[i].verdict != VERDICT_ADMITTED)
				errx(1, "request %" PRIu64 " was not admitted", decisions[i].id);
			if (!replaces)
				continue;
			governor_settle(w->g, decisions[i].id, NULL, w->now_ns);
			submit_any(w);
		}
		sum += n;
	} while (n == MOST_DECISIONS);
	return sum;
}

// ns for each of `most` admissions, each at its own time.
static double admit_one_by_one(struct world *w, size_t most, bool replaces)
{
	uint64_t began_ns = cpu_ns();
	size_t n = 0;

	while (n < most) {
		uint64_t next_ns = governor_next_ns(w->g, w->now_ns);

		if (next_ns == UINT64_MAX)
			errx(1, "nothing will ever be admitted");
		w->now_ns = next_ns;
		n += run_now(w, replaces);
	}
	return (double)(cpu_ns() - began_ns) / (double)n;
}

// ns for each admission when as much time has passed as fills the buckets.
static double admit_many(struct world *w)
{
	uint64_t began_ns;
	size_t n;

	w->now_ns += AT_ONCE * MS_NS;
	began_ns = cpu_ns();
	n = run_now(w, false);
	if (!n)
		errx(1, "nothing was admitted in a second");
	return (double)(cpu_ns() - began_ns) / (double)n;
}

static void measure_queue(const struct setting *setting, struct samples *samples, int run)
{
	struct world *w = world_new(setting);
	size_t few = setting->n_waiting / 4 < MEASURED ? setting->n_waiting / 4 : MEASURED;

	samples->ns[SUBMIT][run] = fill_queue(w);
	samples->ns[STEADY][run] = admit_one_by_one(w, MEASURED, true);
	if (governor_waiting(w->g) != setting->n_waiting)
		errx(1, "the queue did not keep its length");
	samples->ns[LONGEST][run] = (double)w->longest_ns;
	samples->ns[ADMIT][run] = admit_one_by_one(w, few, false);
	samples->ns[ADMIT_MANY][run] = admit_many(w);
	samples->ns[FREE][run] = world_free(w);
}

static void measure_unqueued(const struct setting *setting, struct samples *samples, int run)
{
	struct world *w = world_new(setting);
	uint64_t began_ns = cpu_ns();

	for (int i = 0; i < MEASURED; i++) {
		w->now_ns += 2 * MS_NS;
		if (submit_any(w) != VERDICT_ADMITTED)
			errx(1, "a request had to wait");
		governor_settle(w->g, w->last_id, NULL, w->now_ns);
	}
	samples->ns[UNQUEUED][run] = (double)(cpu_ns() - began_ns) / MEASURED;
	world_free(w);
}

struct result {
	struct setting setting;
	double best[N_FIGURES], median[N_FIGURES]; // ns; 0: not measured
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct result measure(struct setting setting, int n_runs)
{
	struct result result = {.setting = setting};
	struct samples *samples = calloc(1, sizeof(*samples));

	if (!samples)
		err(1, "samples");
	for (int run = 0; run < n_runs; run++)
		(setting.n_waiting ? measure_queue : measure_unqueued)(&setting, samples, run);
	for (int i = 0; i < N_FIGURES; i++) {
		qsort(samples->ns[i], (size_t)n_runs, sizeof(double), compare);
		result.best[i] = samples->ns[i][0];
		result.median[i] = samples->ns[i][n_runs / 2];
	}
	free(samples);
	return result;
}

static void print_lines(const struct result *r)
{
	for (int i = 0; i < N_FIGURES; i++)
		if (r->best[i] > 0)
			printf("  %-10s %7zu waiting, %4zu workloads%-12s best %9.0f ns   median "
			       "%7.0f ns   %9.0f /s\n",
			       figure_names[i], r->setting.n_waiting, r->setting.n_workloads,
			       r->setting.own_queues ? ", own queues" : "", r->best[i],
			       r->median[i], 1e9 / r->median[i]);
}

static void print_growth(const struct result *few, const struct result *many)
{
	printf("  growth from %zu to %zu waiting%s:", few->setting.n_waiting,
	       many->setting.n_waiting, few->setting.own_queues ? ", own queues" : "");
	for (int i = 0; i < UNQUEUED; i++)
		printf(" %s ×%.2f%s", figure_names[i], many->median[i] / few->median[i],
		       i + 1 < UNQUEUED ? "," : "\n");
}

static void print_json(const struct result *results, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		const struct result *r = &results[k];
		const char *separator = "";

		printf("%s{\"waiting\": %zu, \"workloads\": %zu, \"own_queues\": %s, \"ns\": {",
		       k ? ",\n " : "[", r->setting.n_waiting, r->setting.n_workloads,
		       r->setting.own_queues ? "true" : "false");
		for (int i = 0; i < N_FIGURES; i++) {
			if (r->best[i] <= 0)
				continue;
			printf("%s\"%s\": {\"best\": %.0f, \"median\": %.0f}", separator,
			       figure_names[i], r->best[i], r->median[i]);
			separator = ", ";
		}
		printf("}}");
	}
	printf("]\n");
}

int main(int argc, char **argv)
{
	static const struct setting settings[] = {
		{0, 10, false},
		{0, N_WORKLOADS, false},
		{1000, N_WORKLOADS, false},
		{10000, N_WORKLOADS, false},
		{100000, N_WORKLOADS, false},
		{1000, N_WORKLOADS, true},
		{10000, N_WORKLOADS, true},
		{100000, N_WORKLOADS, true},
	};
	enum { N_SETTINGS = sizeof(settings) / sizeof(*settings) };
	struct result results[N_SETTINGS];
	bool wants_json = false;
	int n_runs = 5;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			wants_json = true;
		else if (!strcmp(argv[i], "--runs") && i + 1 < argc)
			n_runs = atoi(argv[++i]);
		else
			n_runs = 0;
		if (n_runs < 1 || n_runs > MOST_RUNS)
			errx(2, "usage: scheduler [--json] [--runs 1..%d]", MOST_RUNS);
	}
	for (size_t i = 0; i < N_SETTINGS; i++) {
		results[i] = measure(settings[i], n_runs);
		if (!wants_json)
			print_lines(&results[i]);
		if (!wants_json && i >= 3 && settings[i].n_waiting > 1000)
			print_growth(&results[i < 5 ? 2 : 5], &results[i]);
	}
	if (wants_json)
		print_json(results, N_SETTINGS);
	return 0;
}
