// `policies:`, the long form: Aperture's vocabulary, one struct limit for each entry.
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "config/labels.h"
#include "config/limits.h"
#include "config/scheduler.h"

#define MINUTE_NS 60000000000ull

struct entry {
	char *name;
	enum resource resource;
	struct value_amount capacity, fill; // below 0: not given
	struct value_interval interval;     // 0 ns: not given
	enum calendar calendar;
	bool is_continuous, delays_fill;
	uint64_t smooth_ns;
	struct key_list label_key, key;
	int over_limit; // enum over_limit
	const yaml_node_t *selectors, *match, *scheduler;
	bool is_auto, is_blueprint;
	int tier;
};

static void entry_init(void *item)
{
	struct entry *e = item;

	e->resource = N_RESOURCES;
	e->capacity.value = e->fill.value = -1;
	e->is_continuous = true;
}

static void entry_release(struct entry *e)
{
	free(e->name);
	free(e->key.labels);
	free(e->label_key.labels);
}

#define FIELD(key, words, member, parser)                                                          \
	{                                                                                          \
		.name = key, .expected = words, .offset = offsetof(struct entry, member),          \
		.parse = parser                                                                    \
	}
#define NODE(key, member, reader_of_node)                                                          \
	{                                                                                          \
		.name = key, .offset = offsetof(struct entry, member), .read = reader_of_node      \
	}

static const struct field ENTRY_FIELDS[] = {
	{.name = "name",
	 .expected = "a name",
	 .offset = offsetof(struct entry, name),
	 .parse = value_name,
	 .flags = FIELD_REQUIRED},
	{.name = "resource",
	 .expected = "requests, tokens, input_tokens, output_tokens, total_tokens, images or cost",
	 .offset = offsetof(struct entry, resource),
	 .parse = value_resource,
	 .flags = FIELD_REQUIRED},
	FIELD("bucket_capacity", "a number", capacity, value_amount),
	FIELD("fill_amount", "a number", fill, value_amount),
	FIELD("interval", "a duration such as 60s", interval, value_interval),
	FIELD("calendar", "day or month", calendar, value_calendar),
	FIELD("continuous_fill", "true or false", is_continuous, value_bool),
	FIELD("delay_initial_fill", "true or false", delays_fill, value_bool),
	FIELD("smooth", "a duration such as 1s", smooth_ns, value_wait),
	NODE("label_key", label_key, keys_read),
	NODE("key", key, keys_read),
	FIELD("over_limit", "queue or deny", over_limit, value_over_limit),
	NODE("selectors", selectors, reader_keep_node),
	NODE("match", match, reader_keep_node),
	NODE("scheduler", scheduler, reader_keep_node),
	FIELD("auto", "true or false", is_auto, value_bool),
	FIELD("tier", "a usage tier from 1 to 5", tier, value_usage_tier),
	FIELD("blueprint", "true or false", is_blueprint, value_bool),
	{0},
};

static const struct schema ENTRY_SCHEMA = {
	.what = "a policy", .fields = ENTRY_FIELDS, .init = entry_init};

// How its keys go together.
static void check_keys(struct reader *r, const yaml_node_t *node, const struct entry *e)
{
	bool is_open = e->is_auto || e->tier;
	bool is_told = e->resource == RESOURCE_REQUESTS || e->resource == RESOURCE_TOKENS ||
		       e->resource == RESOURCE_IMAGES;

	if (e->key.is_given && e->label_key.is_given)
		reader_problem(r, reader_key_node(r, node, "key"),
			       "key and label_key; expected one of them (without a label of "
			       "label_key a request passes)");
	if (e->selectors && e->match)
		reader_problem(r, e->match, "match and selectors; expected one of them");
	if (e->is_auto && e->tier)
		reader_problem(r, reader_key_node(r, node, "tier"),
			       "auto and tier; expected one of them");
	if (is_open && (e->capacity.value >= 0 || e->fill.value >= 0))
		reader_problem(r, reader_key_node(r, node, e->is_auto ? "auto" : "tier"),
			       "%s and numbers of its own; expected one of the two",
			       e->is_auto ? "auto" : "tier");
	if (is_open && !is_told)
		reader_problem(r, reader_key_node(r, node, "resource"),
			       "%s with %s, of which providers tell nothing; expected requests, "
			       "tokens or images",
			       e->is_auto ? "auto" : "tier", resource_name(e->resource));
	if (!is_open && e->capacity.value < 0)
		reader_problem(r, node, "a policy has no bucket_capacity; expected a number");
	if (e->resource != RESOURCE_COST && (e->capacity.is_dollars || e->fill.is_dollars))
		reader_problem(r, reader_key_node(r, node, "bucket_capacity"),
			       "dollars of %s; expected resource: cost, or a plain number",
			       resource_name(e->resource));
}

// A calendar window is full again when it begins, and gains nothing in between.
static void check_calendar(struct reader *r, const yaml_node_t *node, const struct entry *e)
{
	if (!e->is_continuous || e->delays_fill)
		reader_problem(
			r,
			reader_key_node(r, node,
					e->delays_fill ? "delay_initial_fill" : "continuous_fill"),
			"calendar and a way of filling; expected one of them");
	if (e->fill.value >= 0 && e->fill.value != e->capacity.value)
		reader_problem(r, reader_key_node(r, node, "fill_amount"),
			       "calendar and another fill_amount; expected bucket_capacity alone");
}

// What the interval is, of all that may say so; 0 ns if that is wrong, which is noted.
static struct value_interval window_of(struct reader *r, const yaml_node_t *node,
				       const struct entry *e)
{
	static const uint64_t lengths[] = {
		[CALENDAR_DAY] = CALENDAR_DAY_NS, [CALENDAR_MONTH] = CALENDAR_MONTH_NS};
	struct value_interval window = e->interval;

	if (e->calendar) {
		if (window.ns && window.ns != lengths[e->calendar])
			reader_problem(
				r, reader_key_node(r, node, "interval"),
				"interval and calendar disagree; expected calendar: %s alone",
				e->calendar == CALENDAR_DAY ? "day" : "month");
		window = (struct value_interval){.ns = lengths[e->calendar],
						 .calendar = e->calendar};
	} else if (!window.ns && (e->is_auto || e->tier)) {
		window.ns = MINUTE_NS;
	} else if (!window.ns) {
		reader_problem(r, node, "a policy has no interval; expected one such as 60s");
	}
	if (window.calendar)
		check_calendar(r, node, e);
	if (window.ns && e->smooth_ns > window.ns)
		reader_problem(r, reader_key_node(r, node, "smooth"),
			       "smooth is longer than the interval; expected a part of it");
	return window;
}

static int set_keys(const struct entry *e, struct limit *limit)
{
	static const size_t learnt[] = {LABEL_ORGANIZATION, LABEL_MODEL}, tier[] = {LABEL_API_KEY};
	const struct key_list *given = e->label_key.is_given ? &e->label_key : &e->key;
	const size_t *labels = given->labels;
	size_t count = given->count;
	int err = 0;

	if (!given->is_given && e->is_auto) {
		labels = learnt;
		count = 2;
	} else if (!given->is_given && e->tier) {
		labels = tier;
		count = 1;
	}
	for (size_t i = 0; !err && i < count; i++)
		err = limit_add_key(limit, labels[i]);
	return err;
}

// A scheduler of its own.
static const struct scheduler *read_scheduler(struct reader *r, const yaml_node_t *node)
{
	struct scheduler *scheduler = policy_add_scheduler(r->policy);

	if (!scheduler) {
		r->problems->out_of_memory = true;
		return NULL;
	}
	scheduler->priority_label = LABEL_PRIORITY;
	scheduler_read(r, node, scheduler);
	return scheduler;
}

static void add_limit(struct reader *r, const yaml_node_t *node, const struct entry *e,
		      struct value_interval window)
{
	struct limit *limit = policy_add_limit(r, e->name, node);

	if (!limit)
		return;
	limit->resource = e->resource;
	limit->capacity = e->is_auto ? INFINITY : e->tier ? 0 : e->capacity.value;
	limit->fill_amount = e->fill.value < 0 ? limit->capacity : e->fill.value;
	limit->interval_ns = window.ns;
	limit->calendar = window.calendar;
	limit->is_stepwise = !e->is_continuous;
	limit->delays_fill = e->delays_fill;
	limit->smooth_ns = e->smooth_ns;
	limit->is_auto = e->is_auto;
	limit->tier = (unsigned int)e->tier;
	limit->over_limit = (enum over_limit)e->over_limit;
	limit->is_blueprint = e->is_blueprint;
	limit->passes_without_key = e->label_key.is_given;
	if (!limit_is_open(limit))
		limit_smooth(limit);
	if (set_keys(e, limit) < 0)
		r->problems->out_of_memory = true;
	if (e->selectors)
		selectors_read(r, e->selectors, limit);
	else
		limit_read_match(r, e->match, limit);
	if (e->scheduler)
		limit->scheduler = read_scheduler(r, e->scheduler);
}

static void read_entry(struct reader *r, const yaml_node_t *node)
{
	__attribute__((cleanup(entry_release))) struct entry entry = {0};
	size_t before = reader_problem_count(r);

	schema_read(r, node, &ENTRY_SCHEMA, &entry);
	if (reader_problem_count(r) != before)
		return;
	check_keys(r, node, &entry);
	struct value_interval window = window_of(r, node, &entry);
	if (reader_problem_count(r) == before)
		add_limit(r, node, &entry, window);
}

void policies_read(struct reader *r, const yaml_node_t *node, void *value)
{
	(void)value;
	limits_each_entry(r, node, "policies", "a policy", read_entry);
}
