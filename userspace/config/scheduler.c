// See scheduler.h. Both shapes are one table: what Aperture nests under `parameters` is read into
// the same struct workload.
#include "config/scheduler.h"

#include <stdlib.h>
#include <string.h>

#include "config/labels.h"
#include "config/matcher.h"

static void workload_release(struct workload *workload)
{
	free(workload->name);
	matcher_free(workload->match);
}

void scheduler_free(struct scheduler *scheduler)
{
	if (!scheduler)
		return;
	for (size_t i = 0; i < scheduler->n_workloads; i++)
		workload_release(&scheduler->workloads[i]);
	free(scheduler->workloads);
	workload_release(&scheduler->others);
	free(scheduler);
}

static void workload_init(void *item)
{
	struct workload *workload = item;

	workload->priority = 1;
	workload->tokens = -1;
	workload->tier = -1;
}

struct scheduler *policy_add_scheduler(struct policy *policy)
{
	struct scheduler **schedulers = reallocarray(policy->schedulers, policy->n_schedulers + 1,
						     sizeof(struct scheduler *));
	struct scheduler *scheduler = calloc(1, sizeof(*scheduler));

	if (schedulers)
		policy->schedulers = schedulers;
	if (scheduler) {
		*scheduler = (struct scheduler){.priority_label = NO_LABEL,
						.tokens_label = NO_LABEL,
						.fairness_label = NO_LABEL};
		workload_init(&scheduler->others);
		scheduler->others.name = strdup("default");
	}
	if (!schedulers || !scheduler || !scheduler->others.name) {
		scheduler_free(scheduler);
		return NULL;
	}
	return schedulers[policy->n_schedulers++] = scheduler;
}

// Aperture's 0s is "do not wait at all"; with us 0 is "not given".
static void read_queue_timeout(struct reader *r, const yaml_node_t *node, void *value)
{
	const struct field field = {
		.name = "queue_timeout",
		.expected = "a duration such as 30s",
		.parse = r->is_blueprint ? value_duration : value_wait,
	};
	uint64_t *ns = value;

	if (reader_value(r, node, &field, ns) && *ns == 0)
		*ns = 1;
}

#define PARAMETERS                                                                                 \
	{.name = "priority",                                                                       \
	 .expected = "a number above 0",                                                           \
	 .offset = offsetof(struct workload, priority),                                            \
	 .parse = value_factor},                                                                   \
		{.name = "tokens",                                                                 \
		 .expected = "a number",                                                           \
		 .offset = offsetof(struct workload, tokens),                                      \
		 .parse = value_count},                                                            \
		{.name = "queue_timeout",                                                          \
		 .offset = offsetof(struct workload, queue_timeout_ns),                            \
		 .read = read_queue_timeout},                                                      \
	{                                                                                          \
		.name = "tier", .expected = "a tier from 0 to 9",                                  \
		.offset = offsetof(struct workload, tier), .parse = value_tier                     \
	}

static const struct field PARAMETER_FIELDS[] = {PARAMETERS, {0}};

// Into a struct workload that has its defaults already.
static const struct schema PARAMETERS_SCHEMA = {.what = "parameters", .fields = PARAMETER_FIELDS};

static void read_match(struct reader *r, const yaml_node_t *node, void *value)
{
	matcher_read_match(r, node, &((struct workload *)value)->match);
}

static void read_label_matcher(struct reader *r, const yaml_node_t *node, void *value)
{
	struct workload *workload = value;

	if (workload->match)
		reader_problem(r, node, "match and label_matcher; expected one of them");
	else
		matcher_read_label_matcher(r, node, &workload->match);
}

static const struct field WORKLOAD_FIELDS[] = {
	{.name = "name",
	 .expected = "a name",
	 .offset = offsetof(struct workload, name),
	 .parse = value_name},
	{.name = "match", .expected = "a mapping such as {team: chat}", .read = read_match},
	{.name = "label_matcher",
	 .expected = "a mapping such as {match_labels: {team: chat}}",
	 .read = read_label_matcher},
	PARAMETERS,
	{.name = "parameters",
	 .expected = "a mapping such as {priority: 10}",
	 .schema = &PARAMETERS_SCHEMA},
	{0},
};

static const struct schema WORKLOAD_SCHEMA = {
	.what = "a workload", .fields = WORKLOAD_FIELDS, .init = workload_init};

// Aperture names a workload without a name by its index. Of ours people see the names.
static void name_workload(struct reader *r, struct scheduler *scheduler, size_t i)
{
	struct workload *workload = &scheduler->workloads[i];

	if (workload->name)
		return;
	if (!r->is_blueprint) {
		const struct place *place = places_find(r->places, &scheduler->workloads, i);
		problems_add(r->problems, place_path(place), place_line(place, NULL),
			     "a workload has no name; expected a name");
	} else if (asprintf(&workload->name, "%zu", i) < 0) {
		workload->name = NULL;
		r->problems->out_of_memory = true;
	}
}

// What only Aperture's files may say; blueprint.c looks at it.
static void read_aperture_only(struct reader *r, const yaml_node_t *node, void *value)
{
	(void)value;
	if (!r->is_blueprint)
		reader_problem(r, node, "a key of Aperture's; expected it only in a blueprint");
}

#define LABEL_KEY(key, member)                                                                     \
	{                                                                                          \
		.name = key, .expected = "a label", .offset = offsetof(struct scheduler, member),  \
		.read = label_read_any                                                             \
	}

static const struct field SCHEDULER_FIELDS[] = {
	LABEL_KEY("priority_label_key", priority_label),
	LABEL_KEY("tokens_label_key", tokens_label),
	LABEL_KEY("fairness_label_key", fairness_label),
	{.name = "workloads",
	 .expected = "a list of workloads",
	 .offset = offsetof(struct scheduler, workloads),
	 .count_offset = offsetof(struct scheduler, n_workloads),
	 .size = sizeof(struct workload),
	 .schema = &WORKLOAD_SCHEMA,
	 .flags = FIELD_NULL_OK},
	{.name = "others",
	 .expected = "a mapping such as {priority: 10}",
	 .offset = offsetof(struct scheduler, others),
	 .schema = &PARAMETERS_SCHEMA},
	{.name = "default_workload_parameters",
	 .expected = "a mapping such as {priority: 10}",
	 .offset = offsetof(struct scheduler, others),
	 .schema = &PARAMETERS_SCHEMA},
	{.name = "denied_response_status_code", .read = read_aperture_only},
	{.name = "decision_deadline_margin", .read = read_aperture_only},
	{.name = "workload_label_key", .read = read_aperture_only},
	{.name = "max_timeout", .read = read_aperture_only},
	{.name = "default_timeout", .read = read_aperture_only},
	{.name = "timeout_factor", .read = read_aperture_only},
	{.name = "auto_tokens", .read = read_aperture_only},
	{.name = "priorities_label_key", .read = read_aperture_only},
	{0},
};

static const struct schema SCHEDULER_SCHEMA = {.what = "scheduler", .fields = SCHEDULER_FIELDS};

void scheduler_read(struct reader *r, const yaml_node_t *node, struct scheduler *scheduler)
{
	// Found again by the checks under the scheduler's own address.
	if (places_add(r->places, scheduler, 0, r->document, node) < 0)
		r->problems->out_of_memory = true;
	if (reader_wants(r, node, YAML_MAPPING_NODE, "scheduler",
			 "a mapping such as {workloads: […]}"))
		schema_read(r, node, &SCHEDULER_SCHEMA, scheduler);
	for (size_t i = 0; i < scheduler->n_workloads; i++)
		name_workload(r, scheduler, i);
}
