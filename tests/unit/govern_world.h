// A small world for the governor's tests: a policy built in code, one governor, and requests made
// of (label, value) pairs.
//
//	struct world *w = world_new();
//	struct limit *l = world_limit(w, "gpt", RESOURCE_TOKENS, 60, "gpt-4*"); // 60 a minute
//	world_key(l, LABEL_API_KEY);
//	world_begin(w, 0); // the policy is complete: the governor begins
//	assert_int_equal(submit(w, ASK(w, 1, 10, {LABEL_MODEL, "gpt-4o"}), 0), VERDICT_ADMITTED);
//	world_free(w);
//
// Defaults: no headroom, waits without end, no teams, the native scheduler without workloads (its
// priority is LABEL_PRIORITY, its amount the estimate). Texts are borrowed; all else belongs to the
// world, and pointers into it stay valid. Include after cmocka.h.
#ifndef SLUICE_TESTS_GOVERN_WORLD_H
#define SLUICE_TESTS_GOVERN_WORLD_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "govern/bucket.h"
#include "govern/governor.h"

#define S NS_PER_S
#define MS (NS_PER_S / 1000)
#define MINUTE (60 * S)
#define HOUR (3600 * S)
#define DAY (24 * HOUR)

enum {
	WORLD_LIMITS = 16,
	WORLD_TEAMS = 16,
	WORLD_RULES = 16,
	WORLD_WORKLOADS = 16, // of each scheduler
	WORLD_SCHEDULERS = 4,
	WORLD_LABELS = N_BUILTIN_LABELS + 16,
	WORLD_MATCHERS = 64,
	WORLD_KEYS = 8,  // labels of one limit's key
	WORLD_ASKS = 16, // requests whose labels hold at the same time
};

struct world {
	struct policy policy;
	struct governor *g;
	struct decision last; // of the last submit()
	struct limit limits[WORLD_LIMITS];
	size_t keys[WORLD_LIMITS][WORLD_KEYS];
	struct selector selectors[WORLD_LIMITS];
	struct team teams[WORLD_TEAMS];
	struct rule rules[WORLD_RULES];
	struct scheduler schedulers[WORLD_SCHEDULERS], *scheduler_list[WORLD_SCHEDULERS];
	struct workload workloads[WORLD_SCHEDULERS][WORLD_WORKLOADS];
	struct matcher matchers[WORLD_MATCHERS];
	char *values[WORLD_MATCHERS][2];
	size_t n_matchers;
	char *labels[WORLD_LABELS];
	const char *asked[WORLD_ASKS][WORLD_LABELS];
	size_t n_asked;
};

// Another scheduler beside the native one, policy.schedulers[0].
static inline struct scheduler *world_scheduler(struct world *w)
{
	size_t i = w->policy.n_schedulers++;

	assert_true(i < WORLD_SCHEDULERS);
	w->schedulers[i] = (struct scheduler){
		.priority_label = LABEL_PRIORITY,
		.tokens_label = NO_LABEL,
		.fairness_label = NO_LABEL,
		.workloads = w->workloads[i],
		.others = {.name = "default", .priority = 1, .tokens = -1, .tier = -1},
	};
	return w->scheduler_list[i] = &w->schedulers[i];
}

// A label that the policy names beside the built-in ones.
static inline size_t world_label(struct world *w, char *name)
{
	assert_true(w->policy.n_labels < WORLD_LABELS);
	w->labels[w->policy.n_labels] = name;
	return w->policy.n_labels++;
}

static inline struct world *world_new(void)
{
	static char *const builtin[N_BUILTIN_LABELS] = {
		"provider",      "endpoint",     "model",
		"api_key",       "organization", "project",
		"stream",        "max_tokens",   "estimated_tokens",
		"team",          "cgroup",       "unit",
		"uid",           "user",         "pid",
		"comm",          "exe",          "container",
		"protocol",      "opaque",       "priority",
		"queue_timeout",
	};
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->policy = (struct policy){
		.mode = MODE_ENFORCE,
		.max_wait_ns = UINT64_MAX,
		.ageing_ns = MINUTE,
		.teams = w->teams,
		.limits = w->limits,
		.rules = w->rules,
		.schedulers = w->scheduler_list,
		.labels = w->labels,
	};
	for (size_t i = 0; i < N_BUILTIN_LABELS; i++)
		world_label(w, builtin[i]);
	world_scheduler(w);
	return w;
}

static inline void world_free(struct world *w)
{
	governor_free(w->g);
	free(w);
}

// The policy is complete. Its clock is Unix time.
static inline void world_begin(struct world *w, uint64_t now_ns)
{
	w->g = governor_new(&w->policy, now_ns, 0);
	assert_non_null(w->g);
}

static inline struct matcher *world_matcher(struct world *w, enum matcher_kind kind, size_t label,
					    char *value)
{
	size_t i = w->n_matchers++;

	assert_true(i < WORLD_MATCHERS);
	w->values[i][0] = value;
	w->matchers[i] = (struct matcher){.kind = kind, .label = label, .values = w->values[i]};
	return &w->matchers[i];
}

static inline struct matcher *world_glob(struct world *w, size_t label, char *glob)
{
	return world_matcher(w, MATCHER_GLOB, label, glob);
}

static inline struct matcher *world_equals(struct world *w, size_t label, char *value)
{
	return world_matcher(w, MATCHER_IN, label, value);
}

// `amount` units a minute, of models that match the glob (NULL: of all requests). It learns from
// headers if it counts what the provider counts, as a limit of a file does.
static inline struct limit *world_limit(struct world *w, char *name, enum resource resource,
					double amount, char *model)
{
	size_t i = w->policy.n_limits++;
	struct limit *l = &w->limits[i];

	assert_true(i < WORLD_LIMITS);
	*l = (struct limit){
		.name = name,
		.file = "test.yaml",
		.line = (int)i + 1,
		.resource = resource,
		.capacity = amount,
		.fill_amount = amount,
		.interval_ns = MINUTE,
		.keys = w->keys[i],
		.scheduler = &w->schedulers[0],
		.mirrors = resource <= RESOURCE_IMAGES,
		.is_per_model = model && !strpbrk(model, "*?["),
	};
	if (model) {
		w->selectors[i].match = world_glob(w, LABEL_MODEL, model);
		l->selectors = &w->selectors[i];
		l->n_selectors = 1;
	}
	return l;
}

// Adds a label to the limit's key. By what the provider does not know, it counts less than that.
static inline void world_key(struct limit *l, size_t label)
{
	assert_true(l->n_keys < WORLD_KEYS);
	l->keys[l->n_keys++] = label;
	l->is_per_model |= label == LABEL_MODEL;
	l->mirrors &= label <= LABEL_PROJECT;
}

static inline struct team *world_team(struct world *w, char *name, double weight)
{
	size_t i = w->policy.n_teams++;

	assert_true(i < WORLD_TEAMS);
	w->teams[i] = (struct team){.name = name, .weight = weight, .priority = 1};
	return &w->teams[i];
}

// One more workload of a scheduler of this world. match NULL: all requests.
static inline struct workload *world_workload(struct scheduler *s, char *name,
					      struct matcher *match, double priority)
{
	struct workload *workload = &s->workloads[s->n_workloads++];

	assert_true(s->n_workloads <= WORLD_WORKLOADS);
	*workload = (struct workload){
		.name = name, .match = match, .priority = priority, .tokens = -1, .tier = -1};
	return workload;
}

// A rule that does nothing yet but name what it sets.
static inline struct rule *world_rule(struct world *w, size_t label)
{
	struct rule *rule = &w->rules[w->policy.n_rules++];

	assert_true(w->policy.n_rules <= WORLD_RULES);
	*rule = (struct rule){.label = label, .from = NO_LABEL, .for_each = NO_LABEL};
	return rule;
}

struct labelled {
	size_t label;
	const char *value;
};

// What a request is asked for: one request, and so many tokens of each kind that has tokens. The
// labels hold for WORLD_ASKS further ones.
static inline struct ask world_ask(struct world *w, uint64_t id, double tokens,
				   const struct labelled *labels, size_t n_labels)
{
	const char **asked = w->asked[w->n_asked++ % WORLD_ASKS];
	struct ask ask = {.id = id, .labels = asked};

	memset(asked, 0, sizeof(w->asked[0]));
	for (size_t i = 0; i < n_labels; i++)
		if (labels[i].label != NO_LABEL)
			asked[labels[i].label] = labels[i].value;
	ask.amounts[RESOURCE_REQUESTS] = 1;
	ask.amounts[RESOURCE_TOKENS] = tokens;
	ask.amounts[RESOURCE_INPUT_TOKENS] = tokens;
	ask.amounts[RESOURCE_OUTPUT_TOKENS] = tokens;
	ask.amounts[RESOURCE_TOTAL_TOKENS] = 2 * tokens;
	return ask;
}

#define LABELLED(...) ((struct labelled[]){{NO_LABEL, NULL}, ##__VA_ARGS__})
// ASK(world, id, tokens, {label, value}, …)
#define ASK(w, id, tokens, ...)                                                                    \
	world_ask(w, id, tokens, LABELLED(__VA_ARGS__),                                            \
		  sizeof(LABELLED(__VA_ARGS__)) / sizeof(struct labelled))

static inline struct ask of_team(struct ask ask, const struct team *team)
{
	ask.team = team;
	return ask;
}

// w->last has the whole decision.
static inline enum verdict submit(struct world *w, struct ask ask, uint64_t now_ns)
{
	assert_int_equal(governor_submit(w->g, &ask, now_ns, &w->last), 0);
	assert_int_equal(w->last.id, ask.id);
	return w->last.verdict;
}

static inline enum verdict submit_model(struct world *w, uint64_t id, const char *model,
					double tokens, uint64_t now_ns)
{
	return submit(w, ASK(w, id, tokens, {LABEL_MODEL, model}), now_ns);
}

// The next decision, and when it is made: what a daemon does that sleeps until governor_next_ns().
static inline struct decision next_decision(struct world *w, uint64_t *now_ns)
{
	struct decision d;

	for (int wake_ups = 0; wake_ups < 100; wake_ups++) {
		*now_ns = governor_next_ns(w->g, *now_ns);
		if (*now_ns == UINT64_MAX)
			fail_msg("nothing will ever be decided; %zu wait", governor_waiting(w->g));
		if (governor_run(w->g, *now_ns, &d, 1))
			return d;
	}
	fail_msg("100 wake-ups without a decision");
	return d;
}

static inline void world_assert_next(struct world *w, uint64_t *now_ns, uint64_t id,
				     enum verdict verdict, uint64_t at_ns, const char *file,
				     int line)
{
	struct decision d = next_decision(w, now_ns);

	if (d.id == id && d.verdict == verdict && *now_ns == at_ns)
		return;
	print_error("%s:%d: at %.9f s request %llu got verdict %d;\nexpected at %.9f s request "
		    "%llu to get %d\n",
		    file, line, (double)*now_ns / S, (unsigned long long)d.id, (int)d.verdict,
		    (double)at_ns / S, (unsigned long long)id, (int)verdict);
	_fail(file, line);
}
#define assert_next(w, now_ns, id, verdict, at_ns)                                                 \
	world_assert_next(w, now_ns, id, verdict, at_ns, __FILE__, __LINE__)

struct bucket_wanted {
	const char *policy, *key;
	enum resource resource;
	struct bucket_view found;
	size_t n_found;
};

static inline void world_find_bucket(void *ctx, const struct bucket_view *view)
{
	struct bucket_wanted *wanted = ctx;

	if (strcmp(view->policy, wanted->policy) || strcmp(view->key, wanted->key) ||
	    view->resource != wanted->resource)
		return;
	wanted->found = *view;
	wanted->n_found++;
}

// The one bucket of this limit (or "team NAME") and key; its texts are gone.
static inline struct bucket_view bucket_of(struct world *w, const char *policy, const char *key,
					   enum resource resource, uint64_t now_ns)
{
	struct bucket_wanted wanted = {.policy = policy, .key = key, .resource = resource};

	governor_each_bucket(w->g, now_ns, world_find_bucket, &wanted);
	if (wanted.n_found != 1)
		fail_msg("%zu buckets %s '%s' of resource %d", wanted.n_found, policy, key,
			 (int)resource);
	wanted.found.policy = wanted.found.key = NULL;
	return wanted.found;
}

// To a thousandth.
static inline double level(struct world *w, const char *policy, const char *key,
			   enum resource resource, uint64_t now_ns)
{
	return round(bucket_of(w, policy, key, resource, now_ns).level * 1000) / 1000;
}

static inline void world_assert_near(double a, double b, double epsilon, const char *file, int line)
{
	if (fabs(a - b) <= epsilon || a == b)
		return;
	print_error("%s:%d: %.9f is not %.9f\n", file, line, a, b);
	_fail(file, line);
}
#define assert_close(a, b, epsilon) world_assert_near(a, b, epsilon, __FILE__, __LINE__)
#define assert_near(a, b) assert_close(a, b, 1e-6)

#endif
