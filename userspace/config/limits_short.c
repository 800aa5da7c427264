// `limits:`, the shorthand. One entry says what a provider grants in its own words (rpm, tpm, rpd,
// …), or what may be spent; each of these becomes a struct limit of the entry's name.
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "config/labels.h"
#include "config/limits.h"

#define MINUTE_NS 60000000000ull
#define NOT_GIVEN (-1)

struct entry {
	char *name;
	const yaml_node_t *match; // read anew for each struct limit, which owns what it becomes
	struct key_list keys;
	double rpm, tpm, ipm, rpd, tpd; // below 0: not given
	struct value_budget budget;     // dollars below 0: not given
	uint64_t smooth_ns;
	int over_limit; // enum over_limit, or NOT_GIVEN
	bool is_auto;
	int tier;
};

static void entry_init(void *item)
{
	struct entry *e = item;

	e->rpm = e->tpm = e->ipm = e->rpd = e->tpd = e->budget.dollars = NOT_GIVEN;
	e->over_limit = NOT_GIVEN;
}

static void entry_release(struct entry *e)
{
	free(e->name);
	free(e->keys.labels);
}

#define NUMBER(key, words)                                                                         \
	{                                                                                          \
		.name = #key, .expected = words, .offset = offsetof(struct entry, key),            \
		.parse = value_count                                                               \
	}

static const struct field ENTRY_FIELDS[] = {
	{.name = "name",
	 .expected = "a name",
	 .offset = offsetof(struct entry, name),
	 .parse = value_name,
	 .flags = FIELD_REQUIRED},
	{.name = "match",
	 .expected = "a mapping such as {model: \"gpt-4*\"}",
	 .offset = offsetof(struct entry, match),
	 .read = reader_keep_node},
	{.name = "key",
	 .expected = "a label or a list of labels, such as [api_key, model]",
	 .offset = offsetof(struct entry, keys),
	 .read = keys_read},
	NUMBER(rpm, "a number of requests a minute"),
	NUMBER(tpm, "a number of tokens a minute"),
	NUMBER(ipm, "a number of images a minute"),
	NUMBER(rpd, "a number of requests a day"),
	NUMBER(tpd, "a number of tokens a day"),
	{.name = "budget",
	 .expected = "an amount such as $500/month",
	 .offset = offsetof(struct entry, budget),
	 .parse = value_budget},
	{.name = "auto",
	 .expected = "true or false",
	 .offset = offsetof(struct entry, is_auto),
	 .parse = value_bool},
	{.name = "tier",
	 .expected = "a usage tier from 1 to 5",
	 .offset = offsetof(struct entry, tier),
	 .parse = value_usage_tier},
	{.name = "smooth",
	 .expected = "a duration such as 1s",
	 .offset = offsetof(struct entry, smooth_ns),
	 .parse = value_wait},
	{.name = "over_limit",
	 .expected = "queue or deny",
	 .offset = offsetof(struct entry, over_limit),
	 .parse = value_over_limit},
	{0},
};

static const struct schema ENTRY_SCHEMA = {
	.what = "a limit", .fields = ENTRY_FIELDS, .init = entry_init};

// Without `key`: what the provider itself counts by, as far as it is known; and one budget for all.
static int set_keys(const struct entry *e, struct limit *limit)
{
	static const size_t usual[] = {LABEL_API_KEY, LABEL_MODEL};
	static const size_t learnt[] = {LABEL_ORGANIZATION, LABEL_MODEL};
	const size_t *labels = e->is_auto ? learnt : usual;
	size_t count = limit->resource == RESOURCE_COST ? 0
		       : e->tier                        ? 1 // they are by model anyway
							: 2;
	int err = 0;

	if (e->keys.is_given) {
		labels = e->keys.labels;
		count = e->keys.count;
	}
	for (size_t i = 0; !err && i < count; i++)
		err = limit_add_key(limit, labels[i]);
	return err;
}

static void add_limit(struct reader *r, const yaml_node_t *node, const struct entry *e,
		      enum resource resource, double amount, struct value_interval interval)
{
	bool is_minute = interval.ns == MINUTE_NS && resource != RESOURCE_COST;
	struct limit *limit;

	// What is wrong with the match is said once, for the entry's first limit.
	if (amount < 0 || problems_any(r->problems))
		return;
	limit = policy_add_limit(r, e->name, node);
	if (!limit)
		return;
	limit->resource = resource;
	limit->capacity = limit->fill_amount = amount;
	limit->interval_ns = interval.ns;
	limit->calendar = interval.calendar;
	if (resource == RESOURCE_COST) {
		limit->over_limit = OVER_LIMIT_DENY; // waiting for next month is no use
	} else {
		limit->is_auto = e->is_auto;
		limit->tier = (unsigned int)e->tier;
	}
	if (e->over_limit != NOT_GIVEN)
		limit->over_limit = (enum over_limit)e->over_limit;
	if (is_minute && e->smooth_ns && !limit_is_open(limit)) {
		limit->smooth_ns = e->smooth_ns;
		limit_smooth(limit);
	}
	if (set_keys(e, limit) < 0)
		r->problems->out_of_memory = true;
	limit_read_match(r, e->match, limit);
}

static void add_limits(struct reader *r, const yaml_node_t *node, const struct entry *e)
{
	static const struct value_interval minute = {.ns = MINUTE_NS},
					   day = {.ns = CALENDAR_DAY_NS};
	const struct {
		enum resource resource;
		double amount;
		struct value_interval interval;
	} limits[] = {
		{RESOURCE_REQUESTS, e->rpm, minute}, {RESOURCE_TOKENS, e->tpm, minute},
		{RESOURCE_IMAGES, e->ipm, minute},   {RESOURCE_REQUESTS, e->rpd, day},
		{RESOURCE_TOKENS, e->tpd, day},
	};

	if (e->is_auto || e->tier) {
		double amount = e->is_auto ? INFINITY : 0;

		add_limit(r, node, e, RESOURCE_REQUESTS, amount, minute);
		add_limit(r, node, e, RESOURCE_TOKENS, amount, minute);
		if (e->tier)
			add_limit(r, node, e, RESOURCE_IMAGES, amount, minute);
	}
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		add_limit(r, node, e, limits[i].resource, limits[i].amount, limits[i].interval);
	add_limit(r, node, e, RESOURCE_COST, e->budget.dollars, e->budget.interval);
}

// A limit by the day that the one by the minute can never be reached beside.
static void check_day(struct reader *r, const yaml_node_t *node, const char *minute_key,
		      double minute, const char *day_key, double day)
{
	if (minute >= 0 && day >= 0 && minute > day)
		reader_problem(r, reader_key_node(r, node, day_key),
			       "%s %g is less than %s %g, which can never be reached; expected at "
			       "least as many a day as a minute",
			       day_key, day, minute_key, minute);
}

static void check_entry(struct reader *r, const yaml_node_t *node, const struct entry *e)
{
	const struct quoted quoted = problems_quote(e->name ? e->name : "");
	const char *name = quoted.text;
	bool is_minute = e->rpm >= 0 || e->tpm >= 0 || e->ipm >= 0;
	bool is_counted = is_minute || e->rpd >= 0 || e->tpd >= 0;
	bool is_open = e->is_auto || e->tier;

	if (!is_counted && !is_open && e->budget.dollars < 0)
		reader_problem(r, node,
			       "limit %s limits nothing; expected rpm, tpm, ipm, rpd, tpd, budget, "
			       "auto or tier",
			       name);
	if (is_open && is_counted)
		reader_problem(r, reader_key_node(r, node, e->is_auto ? "auto" : "tier"),
			       "limit %s has both %s and numbers of its own; expected one of the "
			       "two",
			       name, e->is_auto ? "auto" : "tier");
	if (e->is_auto && e->tier)
		reader_problem(r, reader_key_node(r, node, "tier"),
			       "limit %s has both auto and tier; expected one of the two", name);
	if (e->smooth_ns && !is_minute)
		reader_problem(r, reader_key_node(r, node, "smooth"),
			       "smooth of limit %s smooths nothing; expected rpm, tpm or ipm",
			       name);
	if (e->smooth_ns > MINUTE_NS)
		reader_problem(r, reader_key_node(r, node, "smooth"),
			       "smooth of limit %s is longer than the minute; expected at most 60s",
			       name);
	check_day(r, node, "rpm", e->rpm, "rpd", e->rpd);
	check_day(r, node, "tpm", e->tpm, "tpd", e->tpd);
}

static void read_entry(struct reader *r, const yaml_node_t *node)
{
	__attribute__((cleanup(entry_release))) struct entry entry = {0};
	size_t before = reader_problem_count(r);

	schema_read(r, node, &ENTRY_SCHEMA, &entry);
	if (reader_problem_count(r) != before)
		return;
	check_entry(r, node, &entry);
	add_limits(r, node, &entry);
}

void limits_read(struct reader *r, const yaml_node_t *node, void *value)
{
	(void)value;
	limits_each_entry(r, node, "limits", "a limit", read_entry);
}
