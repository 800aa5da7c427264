// What Aperture's quota scheduler does with a values file, done with a struct limit:
//
//   policy_name                       name
//   bucket_capacity, fill_amount      capacity, fill_amount
//   rate_limiter: interval            interval_ns
//     continuous_fill: false          is_stepwise
//     delay_initial_fill              delays_fill
//     limit_by_label_key (label_key)  keys; without that label a request passes, and is counted
//   scheduler: tokens_label_key       resource tokens, as many as that label says. Without it the
//                                     resource is requests: each costs its workload's `tokens`, or
//                                     1
//   scheduler: …                      a struct scheduler (scheduler.c)
//   selectors                         selectors (limits.c)
//
// The keys are those of the blueprint's definitions.json and of the messages
// RateLimiter.Parameters, Scheduler, Selector and LabelMatcher in api/aperture/policy/language/v1,
// from June 2023 to the last release. Each is enforced or refused, except where not looking at it
// cannot be noticed: then a comment at the key says why.
#include "config/blueprint.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/labels.h"
#include "config/limits.h"
#include "config/scheduler.h"

#define BLUEPRINT "quota-scheduling/base"
// What aperturectl writes where a person is to fill in something.
#define PLACEHOLDER "__REQUIRED_FIELD__"
#define DEFAULT_ALERT "More than 90% of requests are being rate limited"
#define NS_PER_S 1e9

struct values {
	char *blueprint; // borrowed text, never freed
	char *name;
	double capacity, fill_amount;
	struct value_interval interval;
	bool is_continuous, delays_fill;
	uint64_t max_idle_ns; // 0: not given, or never
	uint64_t unused_ns;
	size_t key, old_key; // NO_LABEL: none
	const yaml_node_t *quota_scheduler, *rate_limiter, *scheduler, *selectors;
	const yaml_node_t *old_key_node, *max_idle_node;
};

struct lazy_sync {
	bool is_enabled;
	double n_syncs;
};

static int refuse(struct value_error *error, const char *problem, const char *expected)
{
	*error = (struct value_error){.problem = problem, .expected = expected};
	return -EINVAL;
}

static int value_blueprint(const char *text, void *ret, struct value_error *error)
{
	(void)ret;
	if (strcmp(text, BLUEPRINT) == 0)
		return 0;
	return refuse(error, "is not one that can be read", BLUEPRINT);
}

static int value_policy_name(const char *text, void *ret, struct value_error *error)
{
	if (strcmp(text, PLACEHOLDER) == 0)
		return refuse(error, "is still to be filled in", "a name");
	return value_name(text, ret, error);
}

static void keep_node(struct reader *r, const yaml_node_t *node, void *value)
{
	(void)r;
	*(const yaml_node_t **)value = node;
}

// For keys that change nothing here; why, is said where they stand in their table.
static void accept_any(struct reader *r, const yaml_node_t *node, void *value)
{
	(void)r;
	(void)node;
	(void)value;
}

// Nothing, an empty list or mapping, or a mapping of such: what the template itself holds. An alias
// may contain itself: hence the depth.
static bool says_nothing(const struct document *document, const yaml_node_t *node,
			 unsigned int depth)
{
	if (node->type == YAML_SCALAR_NODE)
		return node_is_null(node);
	if (node->type == YAML_SEQUENCE_NODE)
		return node->data.sequence.items.start == node->data.sequence.items.top;
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++)
		if (depth == 0 ||
		    !says_nothing(document, document_node(document, pair->value), depth - 1))
			return false;
	return true;
}

static void read_components(struct reader *r, const yaml_node_t *node, void *value)
{
	(void)value;
	if (!says_nothing(r->document, node, DOCUMENT_DEPTH_MAX))
		reader_problem(r, node,
			       "components make a circuit, which is not enforced; "
			       "expected none");
}

// Classifiers set labels, flux meters and infra meters measure.
static void read_resources(struct reader *r, const yaml_node_t *node, void *value)
{
	(void)value;
	if (!says_nothing(r->document, node, DOCUMENT_DEPTH_MAX))
		reader_problem(r, node,
			       "resources are not enforced; expected none, and for the "
			       "labels of a classifier `rules` in a file of Sluice's own");
}

// The template's own alert is no wish of anybody, for Aperture raises it without the key too.
static void read_alerter(struct reader *r, const yaml_node_t *node, void *value)
{
	const yaml_node_t *name = document_find(r->document, node, "alert_name");
	bool is_template = name && node_text(name) && strcmp(node_text(name), DEFAULT_ALERT) == 0 &&
			   node->data.mapping.pairs.top - node->data.mapping.pairs.start == 1;

	(void)value;
	if (!is_template && !says_nothing(r->document, node, DOCUMENT_DEPTH_MAX))
		reader_problem(r, node,
			       "alerter is not enforced, no alert would ever come; expected "
			       "none, and an alert on the metrics instead");
}

// "" is how the template writes that there is none.
static size_t read_key(struct reader *r, const yaml_node_t *node, const char *of)
{
	const char *text = node_text(node);

	return node_is_null(node) || (text && !*text) ? NO_LABEL : label_read(r, node, of);
}

static void read_new_key(struct reader *r, const yaml_node_t *node, void *value)
{
	((struct values *)value)->key = read_key(r, node, "limit_by_label_key");
}

static void read_old_key(struct reader *r, const yaml_node_t *node, void *value)
{
	struct values *v = value;

	v->old_key = read_key(r, node, "label_key");
	v->old_key_node = node;
}

static void read_max_idle(struct reader *r, const yaml_node_t *node, void *value)
{
	static const struct field field = {.name = "max_idle_time",
					   .expected = "a duration such as 7200s",
					   .parse = value_duration};
	struct values *v = value;

	reader_value(r, node, &field, &v->max_idle_ns);
	v->max_idle_node = node;
}

#define VALUE(key, words, member, parser)                                                          \
	.name = key, .expected = words, .offset = offsetof(struct values, member), .parse = parser

// How far several agents may drift apart. Here is one, so it never does.
static const struct field LAZY_SYNC_FIELDS[] = {
	{.name = "enabled", .expected = "true or false", .parse = value_bool},
	{.name = "num_sync",
	 .expected = "a number",
	 .offset = offsetof(struct lazy_sync, n_syncs),
	 .parse = value_count},
	{0},
};

static const struct schema LAZY_SYNC_SCHEMA = {.what = "lazy_sync", .fields = LAZY_SYNC_FIELDS};

static void read_lazy_sync(struct reader *r, const yaml_node_t *node, void *value)
{
	struct lazy_sync unused = {0};

	(void)value;
	if (reader_wants(r, node, YAML_MAPPING_NODE, "lazy_sync", "a mapping {enabled, num_sync}"))
		schema_read(r, node, &LAZY_SYNC_SCHEMA, &unused);
}

static const struct field RATE_LIMITER_FIELDS[] = {
	{VALUE("interval", "a duration such as 60s", interval, value_interval),
	 .flags = FIELD_REQUIRED},
	{.name = "limit_by_label_key", .read = read_new_key},
	{.name = "label_key", .read = read_old_key}, // its name until November 2023
	{VALUE("continuous_fill", "true or false", is_continuous, value_bool)},
	{VALUE("delay_initial_fill", "true or false", delays_fill, value_bool)},
	{.name = "max_idle_time", .read = read_max_idle}, // see check_idle()
	{.name = "lazy_sync", .read = read_lazy_sync},
	{.name = "tokens_label_key", .refused = "has moved; expected it in scheduler"},
	{.name = "denied_response_status_code",
	 .refused = "is not enforced: who is denied sees a closed connection, and no status; "
		    "expected none"},
	{.name = "adaptive_load_scheduler",
	 .refused = "belongs to another blueprint and is not enforced; expected none"},
	{0},
};

static const struct schema RATE_LIMITER_SCHEMA = {.what = "rate_limiter",
						  .fields = RATE_LIMITER_FIELDS};

static void read_rate_limiter(struct reader *r, const yaml_node_t *node, void *value)
{
	struct values *v = value;

	v->rate_limiter = node;
	if (reader_wants(r, node, YAML_MAPPING_NODE, "rate_limiter",
			 "a mapping such as {interval: 60s}"))
		schema_read(r, node, &RATE_LIMITER_SCHEMA, v);
}

static const struct field QUOTA_SCHEDULER_FIELDS[] = {
	{VALUE("bucket_capacity", "a number", capacity, value_count), .flags = FIELD_REQUIRED},
	{VALUE("fill_amount", "a number", fill_amount, value_count), .flags = FIELD_REQUIRED},
	{.name = "rate_limiter",
	 .expected = "a mapping such as {interval: 60s}",
	 .read = read_rate_limiter,
	 .flags = FIELD_REQUIRED},
	{.name = "scheduler", .offset = offsetof(struct values, scheduler), .read = keep_node},
	{.name = "selectors",
	 .expected = "a list such as [{control_point: openai}]",
	 .offset = offsetof(struct values, selectors),
	 .read = keep_node,
	 .flags = FIELD_REQUIRED},
	{.name = "alerter", .read = read_alerter},
	{.name = "adaptive_load_scheduler",
	 .refused = "belongs to another blueprint and is not enforced; expected none"},
	{0},
};

static const struct schema QUOTA_SCHEDULER_SCHEMA = {.what = "quota_scheduler",
						     .fields = QUOTA_SCHEDULER_FIELDS};

static void read_quota_scheduler(struct reader *r, const yaml_node_t *node, void *value)
{
	struct values *v = value;

	v->quota_scheduler = node;
	if (reader_wants(r, node, YAML_MAPPING_NODE, "quota_scheduler",
			 "a mapping such as {bucket_capacity: 200, …}"))
		schema_read(r, node, &QUOTA_SCHEDULER_SCHEMA, v);
}

static const struct field POLICY_FIELDS[] = {
	{VALUE("policy_name", "a name", name, value_policy_name), .flags = FIELD_REQUIRED},
	{.name = "quota_scheduler",
	 .expected = "a mapping such as {bucket_capacity: 200, …}",
	 .read = read_quota_scheduler,
	 .flags = FIELD_REQUIRED},
	{.name = "components", .read = read_components},
	{.name = "resources", .read = read_resources},
	// How often Aperture's circuit is computed. Capacity and fill are constants in it.
	{VALUE("evaluation_interval", "a duration such as 1s", unused_ns, value_duration)},
	{0},
};

static const struct schema POLICY_SCHEMA = {.what = "policy", .fields = POLICY_FIELDS};

static const struct field FILE_FIELDS[] = {
	{VALUE("blueprint", BLUEPRINT, blueprint, value_blueprint)},
	// Where aperturectl finds the blueprint's templates.
	{.name = "uri", .read = accept_any},
	// The look of a page of Grafana's, until November 2023.
	{.name = "dashboard", .read = accept_any},
	{.name = "policy",
	 .expected = "a mapping such as {policy_name: …, quota_scheduler: …}",
	 .schema = &POLICY_SCHEMA,
	 .flags = FIELD_REQUIRED},
	{0},
};

static const struct schema FILE_SCHEMA = {.what = "a values file", .fields = FILE_FIELDS};

// Keys of the scheduler that mean something else here, or nothing. The others are scheduler.c's.
static const struct {
	const char *name, *refused;
} REFUSED_IN_SCHEDULER[] = {
	{"denied_response_status_code", "is not enforced: who is denied sees a closed connection, "
					"and no status; expected none"},
	{"max_timeout", "is not enforced; expected queue_timeout in the parameters of workloads"},
	{"priorities_label_key", "is an old name; expected priority_label_key"},
};
#define N_REFUSED (sizeof(REFUSED_IN_SCHEDULER) / sizeof(REFUSED_IN_SCHEDULER[0]))

static void refuse_in_scheduler(struct reader *r, const yaml_node_t *node)
{
	for (size_t i = 0; i < N_REFUSED; i++) {
		const yaml_node_t *value =
			document_find(r->document, node, REFUSED_IN_SCHEDULER[i].name);

		if (value)
			reader_problem(r, value, "\"%s\" %s", REFUSED_IN_SCHEDULER[i].name,
				       REFUSED_IN_SCHEDULER[i].refused);
	}
}

// Aperture makes a queue for each value of this label, instead of one for each workload; all take
// turns. That is what a fairness label does within a workload, so where there is but the default
// one, the two are the same.
static void read_workload_label(struct reader *r, const yaml_node_t *node,
				struct scheduler *scheduler)
{
	const yaml_node_t *value = document_find(r->document, node, "workload_label_key");
	size_t label = value ? read_key(r, value, "workload_label_key") : NO_LABEL;

	if (label == NO_LABEL)
		return;
	if (scheduler->n_workloads || scheduler->fairness_label != NO_LABEL)
		reader_problem(r, value,
			       "workload_label_key beside %s is not enforced; expected "
			       "one of them",
			       scheduler->n_workloads ? "workloads" : "fairness_label_key");
	else
		scheduler->fairness_label = label;
}

static struct scheduler *read_scheduler(struct reader *r, const yaml_node_t *node,
					struct policy *policy)
{
	struct scheduler *scheduler = policy_add_scheduler(policy);

	if (!scheduler) {
		r->problems->out_of_memory = true;
		return NULL;
	}
	if (node && !node_is_null(node)) {
		refuse_in_scheduler(r, node);
		scheduler_read(r, node, scheduler);
		read_workload_label(r, node, scheduler);
	}
	return scheduler;
}

// Aperture forgets a bucket that was not asked for so long, and the next request finds a full one.
// No one can tell, if it would be full by then anyway.
static void check_idle(struct reader *r, const struct values *v)
{
	double fill_ns = v->capacity > 0 ? INFINITY : 0;

	if (v->fill_amount > 0)
		fill_ns = v->capacity / v->fill_amount * (double)v->interval.ns;
	if (v->max_idle_ns && (double)v->max_idle_ns < fill_ns)
		reader_problem(r, v->max_idle_node,
			       "max_idle_time fills the bucket before its time, which is not "
			       "enforced; expected none, 0s, or at least the %gs in which it fills",
			       ceil(fill_ns / NS_PER_S));
}

static void check_values(struct reader *r, const struct values *v)
{
	if (v->old_key != NO_LABEL && v->key != NO_LABEL && v->old_key != v->key)
		reader_problem(r, v->old_key_node,
			       "label_key is the old name of limit_by_label_key, which is another "
			       "label; expected one of them");
	check_idle(r, v);
}

static const char *agent_group_of(const struct limit *limit)
{
	const char *group = limit->n_selectors ? limit->selectors[0].agent_group : NULL;

	return group ? group : "";
}

// Two agent groups may each have a policy of one name: to us the second is "name (agent group)".
static void tell_apart(struct reader *r, const struct policy *policy, struct limit *limit)
{
	const char *group = agent_group_of(limit);

	for (size_t i = 0; *group && i < policy->n_limits; i++) {
		const struct limit *other = &policy->limits[i];
		char *name;

		if (other == limit || !other->is_blueprint || strcmp(other->name, limit->name) ||
		    !strcmp(agent_group_of(other), group))
			continue;
		if (asprintf(&name, "%s (%s)", limit->name, group) < 0) {
			r->problems->out_of_memory = true;
			return;
		}
		free(limit->name);
		limit->name = name;
		return;
	}
}

static void add_limit(struct reader *r, const struct values *v, struct policy *policy)
{
	size_t key = v->key != NO_LABEL ? v->key : v->old_key;
	struct limit *limit = policy_add_limit(r, v->name, v->quota_scheduler);

	if (!limit)
		return;
	limit->is_blueprint = true;
	limit->capacity = v->capacity;
	limit->fill_amount = v->fill_amount;
	limit->interval_ns = v->interval.ns;
	limit->calendar = v->interval.calendar;
	limit->is_stepwise = !v->is_continuous;
	limit->delays_fill = v->delays_fill;
	if (key != NO_LABEL) {
		limit->passes_without_key = true;
		if (limit_add_key(limit, key) < 0)
			r->problems->out_of_memory = true;
	}
	selectors_read(r, v->selectors, limit);
	tell_apart(r, policy, limit);
	struct scheduler *scheduler = read_scheduler(r, v->scheduler, policy);
	limit->scheduler = scheduler;
	limit->resource = scheduler && scheduler->tokens_label != NO_LABEL ? RESOURCE_TOKENS
									   : RESOURCE_REQUESTS;
}

bool blueprint_is(const struct document *document)
{
	const yaml_node_t *root = document->root;

	return root && (document_find(document, root, "blueprint") ||
			document_find(document, document_find(document, root, "policy"),
				      "quota_scheduler"));
}

static void values_release(struct values *v)
{
	free(v->name);
}

void blueprint_read(struct reader *r, struct policy *policy)
{
	__attribute__((cleanup(values_release))) struct values values = {
		.is_continuous = true, .key = NO_LABEL, .old_key = NO_LABEL};
	const yaml_node_t *root = r->document->root;
	const yaml_node_t *blueprint = document_find(r->document, root, "blueprint");
	size_t before = reader_problem_count(r);

	// Another blueprint's keys are not worth a message each.
	if (blueprint && !reader_value(r, blueprint, &FILE_FIELDS[0], &values.blueprint))
		return;
	schema_read(r, root, &FILE_SCHEMA, &values);
	if (reader_problem_count(r) != before)
		return;
	check_values(r, &values);
	add_limit(r, &values, policy);
}
