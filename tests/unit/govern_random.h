// Random policies and requests for the governor's property tests; the same for the same seed.
//
// All that a policy can say is in them, small enough to be contended: a few teams, schedulers and
// limits, and a dozen requests of about the size of a bucket.
#ifndef SLUICE_TESTS_GOVERN_RANDOM_H
#define SLUICE_TESTS_GOVERN_RANDOM_H

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "govern/bucket.h"
#include "govern/governor.h"
#include "govern/hashtab.h"

#define S NS_PER_S
#define DAY (86400 * S)

enum { RANDOM_TEAMS = 4, RANDOM_LIMITS = 4, RANDOM_SCHEDULERS = 2, RANDOM_WORKLOADS = 3 };

// Labels of the policy beside the built-in ones.
enum {
	LABEL_X_USER = N_BUILTIN_LABELS,
	LABEL_X_SIZE,
	LABEL_X_URGENCY,
	N_RANDOM_LABELS,
};

struct random_policy {
	struct policy policy;
	struct team teams[RANDOM_TEAMS];
	struct limit limits[RANDOM_LIMITS];
	size_t keys[RANDOM_LIMITS][2];
	struct selector selectors[RANDOM_LIMITS][2];
	struct scheduler schedulers[RANDOM_SCHEDULERS], *scheduler_list[RANDOM_SCHEDULERS];
	struct workload workloads[RANDOM_SCHEDULERS][RANDOM_WORKLOADS];
	char *labels[N_RANDOM_LABELS];
	struct zone zone;
	struct zone_offset offset;
};

// One that is asked; the texts last as long as it does.
struct random_ask {
	struct ask ask;
	const char *labels[N_RANDOM_LABELS];
	char size[24], urgency[24];
	size_t team; // RANDOM_TEAMS: none
};

static uint64_t seed;

static inline uint64_t below(uint64_t n)
{
	seed = hash_mix(seed, 1);
	return seed % n;
}

static inline bool one_in(uint64_t n)
{
	return !below(n);
}

static char *const random_models[] = {"m1", "m2", "m3", NULL};
static char *const random_users[] = {"u1", "u2", "u3", NULL};
static char *random_globs[][2] = {{"m1", NULL}, {"m*", NULL}, {"m[23]", NULL}};
static struct matcher random_matchers[] = {
	{.kind = MATCHER_GLOB, .label = LABEL_MODEL, .values = random_globs[0]},
	{.kind = MATCHER_GLOB, .label = LABEL_MODEL, .values = random_globs[1]},
	{.kind = MATCHER_GLOB, .label = LABEL_MODEL, .values = random_globs[2]},
	{.kind = MATCHER_EXISTS, .label = LABEL_X_USER},
	{.kind = MATCHER_IN, .label = LABEL_X_USER, .values = (char *[]){"u1", NULL}},
};
static const struct tier_row random_tier[] = {{"m1", 30, 3000, 10}, {"m2", 5, -1, 5}};

static inline struct matcher *random_matcher(void)
{
	return &random_matchers[below(sizeof(random_matchers) / sizeof(*random_matchers))];
}

// What one typical request takes of a resource.
static inline double unit_of(enum resource resource)
{
	if (resource == RESOURCE_REQUESTS || resource == RESOURCE_IMAGES)
		return 1;
	return resource == RESOURCE_COST ? 0.01 : 100;
}

static inline struct workload random_workload(char *name)
{
	static const double priorities[] = {1, 1, 10, 100, 0.5};
	struct workload workload = {.name = name, .tokens = -1, .tier = -1};

	workload.priority = priorities[below(5)];
	if (one_in(8))
		workload.tokens = (double)below(300);
	if (one_in(4))
		workload.tier = (int)below(4) - 1;
	if (one_in(6))
		workload.queue_timeout_ns = (1 + below(100)) * S;
	return workload;
}

static inline void random_scheduler(struct random_policy *p, size_t i)
{
	static char *const names[] = {"w1", "w2", "w3"};
	static const size_t urgency[] = {LABEL_PRIORITY, LABEL_X_URGENCY, NO_LABEL};
	static const size_t sizes[] = {NO_LABEL, NO_LABEL, LABEL_X_SIZE, LABEL_ESTIMATED_TOKENS};
	struct scheduler *s = &p->schedulers[i];

	*s = (struct scheduler){
		.priority_label = urgency[below(3)],
		.tokens_label = sizes[below(4)],
		.fairness_label = one_in(2) ? LABEL_X_USER : NO_LABEL,
		.workloads = p->workloads[i],
		.n_workloads = below(RANDOM_WORKLOADS + 1),
		.others = random_workload("default"),
	};
	for (size_t w = 0; w < s->n_workloads; w++) {
		p->workloads[i][w] = random_workload(names[w]);
		p->workloads[i][w].match = random_matcher();
	}
	p->scheduler_list[i] = s;
}

static inline struct rate random_rate(enum resource resource, bool is_limited)
{
	double percent = (double)(1 + below(100)), amount = unit_of(resource) * percent;

	if (!one_in(3))
		return (struct rate){RATE_ABSENT, 0};
	if (is_limited && one_in(2))
		return (struct rate){RATE_PERCENT, percent};
	return (struct rate){RATE_PER_MINUTE, amount};
}

static inline bool limits_resource(const struct random_policy *p, enum resource resource)
{
	for (size_t i = 0; i < p->policy.n_limits; i++)
		if (p->limits[i].resource == resource)
			return true;
	return false;
}

static inline void random_team(struct random_policy *p, size_t i)
{
	static char *const names[] = {"a", "b", "c", "d"};
	static const double weights[] = {1, 1, 2, 4, 9}, priorities[] = {1, 1, 1, 10, 0.1};

	p->teams[i] = (struct team){
		.name = names[i],
		.weight = weights[below(5)],
		.priority = priorities[below(5)],
		.guarantee = one_in(3) ? (double)below(100.0 / RANDOM_TEAMS) : 0,
		.tier = one_in(4) ? (unsigned)below(3) : 0,
		.deny = one_in(40),
		.rpm = random_rate(RESOURCE_REQUESTS, limits_resource(p, RESOURCE_REQUESTS)),
		.tpm = random_rate(RESOURCE_TOKENS, limits_resource(p, RESOURCE_TOKENS)),
	};
}

// Full, it holds a few typical requests; some hold less than one.
static inline void random_bucket(struct limit *l)
{
	static const uint64_t intervals[] = {S, 10 * S, 60 * S, 60 * S, 3600 * S, DAY};
	static const double fills[] = {1, 1, 1, 0.25, 3};

	l->interval_ns = intervals[below(6)];
	l->capacity = unit_of(l->resource) * (double)(1 + below(40)) * (one_in(8) ? 0.3 : 1);
	l->fill_amount = l->capacity * fills[below(5)];
	l->is_stepwise = one_in(5);
	l->delays_fill = one_in(6);
	if (one_in(8)) {
		l->calendar = one_in(2) ? CALENDAR_DAY : CALENDAR_MONTH;
		l->interval_ns = l->calendar == CALENDAR_DAY ? DAY : 30 * DAY;
		l->fill_amount = l->capacity;
		l->is_stepwise = l->delays_fill = false;
	}
	if (one_in(30))
		l->fill_amount = 0;
	if (one_in(60))
		l->capacity = l->fill_amount = 0;
}

static inline void random_selectors(struct random_policy *p, struct limit *l, size_t i)
{
	l->selectors = p->selectors[i];
	l->n_selectors = one_in(2) ? 1 + below(2) : 0;
	for (size_t s = 0; s < l->n_selectors; s++) {
		p->selectors[i][s] = (struct selector){.match = random_matcher()};
		if (one_in(3))
			p->selectors[i][s].control_point = one_in(2) ? "openai" : "*";
	}
}

static inline void random_limit(struct random_policy *p, size_t i)
{
	static char *const names[] = {"w", "x", "y", "z"};
	static const enum resource resources[] = {
		RESOURCE_REQUESTS,     RESOURCE_REQUESTS,      RESOURCE_TOKENS,
		RESOURCE_TOKENS,       RESOURCE_TOKENS,        RESOURCE_IMAGES,
		RESOURCE_TOTAL_TOKENS, RESOURCE_OUTPUT_TOKENS, RESOURCE_COST};
	static const size_t labels[] = {LABEL_MODEL, LABEL_TEAM, LABEL_API_KEY, LABEL_X_USER};
	struct limit *l = &p->limits[i];

	*l = (struct limit){
		.name = names[i],
		.file = "random.yaml",
		.line = (int)i + 1,
		.resource = resources[below(9)],
		.keys = p->keys[i],
		.n_keys = one_in(2) ? below(3) : 0,
		.passes_without_key = one_in(2),
		.scheduler = p->scheduler_list[below(p->policy.n_schedulers)],
		.over_limit = one_in(6) ? OVER_LIMIT_DENY : OVER_LIMIT_QUEUE,
	};
	random_bucket(l);
	random_selectors(p, l, i);
	for (size_t k = 0; k < l->n_keys; k++)
		l->keys[k] = labels[below(4)];
	l->mirrors = l->resource <= RESOURCE_IMAGES && one_in(2);
	l->is_per_model = one_in(2);
	if (l->resource <= RESOURCE_IMAGES && !l->calendar && l->capacity > 0 && one_in(12)) {
		l->tier = 1;
		l->tier_rows = random_tier;
		l->n_tier_rows = 2;
	} else if (l->mirrors && l->resource != RESOURCE_IMAGES && one_in(12)) {
		l->is_auto = true;
		l->is_per_model = false; // so that no lie of a header raises a level
		l->is_stepwise = l->delays_fill = false;
		l->calendar = CALENDAR_NONE;
		l->interval_ns = 60 * S;
		l->capacity = l->fill_amount = INFINITY;
	}
}

static inline void random_policy(struct random_policy *p)
{
	static const uint64_t waits[] = {UINT64_MAX, UINT64_MAX, 600 * S, 30 * S};

	memset(p, 0, sizeof(*p));
	p->offset.offset_s = (int32_t)below(27) * 3600 - 12 * 3600;
	p->zone = (struct zone){.name = "here", .offsets = &p->offset, .n_offsets = 1};
	p->policy = (struct policy){
		.mode = MODE_ENFORCE,
		.max_wait_ns = waits[below(4)],
		.on_max_wait = one_in(3) ? MAX_WAIT_ADMIT : MAX_WAIT_DENY,
		.headroom_ns = one_in(2) ? S / 4 : 0,
		.ageing_ns = (1 + below(60)) * S,
		.zone = &p->zone,
		.teams = p->teams,
		.n_teams = 1 + below(RANDOM_TEAMS),
		.limits = p->limits,
		.n_limits = 1 + below(RANDOM_LIMITS),
		.schedulers = p->scheduler_list,
		.n_schedulers = 1 + below(RANDOM_SCHEDULERS),
		.labels = p->labels,
		.n_labels = N_RANDOM_LABELS,
	};
	for (size_t i = 0; i < N_RANDOM_LABELS; i++)
		p->labels[i] = "label";
	for (size_t i = 0; i < p->policy.n_schedulers; i++)
		random_scheduler(p, i);
	for (size_t i = 0; i < p->policy.n_limits; i++)
		random_limit(p, i);
	for (size_t i = 0; i < p->policy.n_teams; i++)
		random_team(p, i);
}

// What somebody edits before a reload.
static inline void change_policy(struct random_policy *p)
{
	for (size_t i = 0; i < p->policy.n_limits; i++) {
		struct limit *l = &p->limits[i];
		double factor = one_in(2) ? 2 : 0.5;

		if (l->tier || one_in(2))
			continue;
		l->capacity *= factor;
		l->fill_amount *= factor;
	}
	for (size_t i = 0; i < p->policy.n_teams; i++)
		if (one_in(3))
			random_team(p, i);
	if (p->policy.n_limits > 1 && one_in(3))
		p->policy.n_limits--;
	if (one_in(4))
		p->policy.headroom_ns = S / 4 - p->policy.headroom_ns;
}

static inline void random_amounts(double amounts[N_RESOURCES])
{
	double tokens = (double)(1 + below(one_in(10) ? 3000 : 300));

	amounts[RESOURCE_REQUESTS] = 1;
	amounts[RESOURCE_TOKENS] = tokens;
	amounts[RESOURCE_IMAGES] = one_in(3) ? (double)(1 + below(3)) : 0;
	amounts[RESOURCE_INPUT_TOKENS] = floor(tokens / 3);
	amounts[RESOURCE_OUTPUT_TOKENS] = tokens;
	amounts[RESOURCE_TOTAL_TOKENS] = floor(tokens / 3) + tokens;
	amounts[RESOURCE_COST] = tokens / 7e3;
}

static inline void random_ask(struct random_ask *a, const struct random_policy *p, uint64_t id)
{
	static char *const urgencies[] = {"1", "0", "7", "1000", "-3", "soon", "0.5"};

	memset(a, 0, sizeof(*a));
	a->ask.id = id;
	a->ask.retry_key = one_in(2) ? 1 + below(4) : 0;
	random_amounts(a->ask.amounts);
	a->team = one_in(8) ? RANDOM_TEAMS : below(p->policy.n_teams);
	a->labels[LABEL_PROVIDER] = "openai";
	a->labels[LABEL_MODEL] = random_models[below(one_in(20) ? 4 : 3)];
	a->labels[LABEL_X_USER] = random_users[below(4)];
	a->labels[LABEL_API_KEY] = one_in(2) ? "k1" : "k2";
	snprintf(a->urgency, sizeof(a->urgency), "%s", urgencies[below(7)]);
	snprintf(a->size, sizeof(a->size), "%d", (int)below(500));
	a->labels[LABEL_PRIORITY] = one_in(2) ? a->urgency : NULL;
	a->labels[LABEL_X_URGENCY] = one_in(2) ? a->urgency : NULL;
	a->labels[LABEL_X_SIZE] = one_in(3) ? a->size : NULL;
	a->labels[LABEL_QUEUE_TIMEOUT] = one_in(20) ? "20s" : NULL;
}

// The same request under this policy.
static inline struct ask ask_under(struct random_ask *a, const struct random_policy *p)
{
	a->ask.team = a->team < p->policy.n_teams ? &p->teams[a->team] : NULL;
	a->labels[LABEL_TEAM] = a->ask.team ? a->ask.team->name : NULL;
	a->ask.labels = a->labels;
	return a->ask;
}

#endif
