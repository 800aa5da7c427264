// See governed.h.
//
// Amounts come in the resource's own unit: whole ones to a thousandth, dollars to a billionth, for
// a token costs less than a millionth.
#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include "serve/governed.h"
#include "serve/object.h"

#define NS 1e9

typedef struct json_object json;

static void add_amount(json *o, const char *key, enum resource resource, double value)
{
	object_add_number(o, key, value, resource == RESOURCE_COST ? 9 : 3);
}

static bool is_calendar(const struct policy *policy, const struct bucket_view *view)
{
	for (size_t i = 0; i < policy->n_limits; i++) {
		const struct limit *limit = &policy->limits[i];

		if (limit->calendar && limit->resource == view->resource &&
		    limit->interval_ns == view->interval_ns && !strcmp(limit->name, view->policy))
			return true;
	}
	return false;
}

// fill_amount: what comes in interval_s, at once or little by little.
static void add_level(json *o, const struct policy *policy, const struct bucket_view *view)
{
	double interval_s = (double)view->interval_ns / NS;
	bool is_money = view->resource == RESOURCE_COST;

	add_amount(o, "capacity", view->resource, view->capacity);
	add_amount(o, "level", view->resource, view->level);
	object_add_number(o, "fill_per_s", view->fill_per_s, is_money ? 12 : 6);
	add_amount(o, "fill_amount", view->resource,
		   is_calendar(policy, view) ? view->capacity : view->fill_per_s * interval_s);
}

static void add_name(json *o, const struct bucket_view *view)
{
	object_add_text(o, "policy", view->policy);
	object_add_text(o, "key", view->key);
	object_add_text(o, "resource", resource_name(view->resource));
}

json *governed_bucket(const struct policy *policy, const struct bucket_view *view)
{
	json *o = json_object_new_object();

	if (!o)
		return NULL;
	add_name(o, view);
	add_level(o, policy, view);
	object_add_count(o, "queued", view->queued);
	object_add_number(o, "interval_s", (double)view->interval_ns / NS, 3);
	object_add_ms(o, "shut_ms", view->shut_ns);
	object_add_flag(o, "learnt", view->is_learnt);
	return o;
}

json *governed_limit(const struct limit_view *view)
{
	enum resource resource = view->limit->resource;
	double saturated_s = (double)view->saturated_ns / NS;
	json *o = json_object_new_object();

	if (!o)
		return NULL;
	object_add_text(o, "policy", view->limit->name);
	object_add_text(o, "resource", resource_name(resource));
	object_add_number(o, "interval_s", (double)view->limit->interval_ns / NS, 3);
	add_amount(o, "offered", resource, view->offered);
	add_amount(o, "accepted", resource, view->accepted);
	object_add_count(o, "denied", view->n_denied);
	object_add_count(o, "without_key", view->n_without_key);
	// Infinite or no number, and so null, if nothing ever waited for it.
	object_add_number(o, "utilisation", view->saturated_accepted / view->saturated_filled, 6);
	object_add_number(o, "saturated_s", saturated_s, 3);
	add_amount(o, "accepted_per_s_saturated", resource, view->saturated_accepted / saturated_s);
	return o;
}

static const char *state_name(enum need_state state)
{
	static const char *const names[] = {
		[NEED_ADMITS] = "admits",   [NEED_SHORT] = "short",   [NEED_SHUT] = "shut",
		[NEED_CLAIMED] = "claimed", [NEED_DENIES] = "denies", [NEED_FORBIDS] = "forbids",
		[NEED_NO_KEY] = "no_key",
	};

	return names[state];
}

struct needs {
	const struct policy *policy;
	json *list;
};

static void add_need(void *ctx, const struct need_view *view)
{
	const struct needs *needs = ctx;
	json *o = json_object_new_object();

	if (!o)
		return;
	add_name(o, &view->bucket);
	object_add_text(o, "state", state_name(view->state));
	add_amount(o, "amount", view->bucket.resource, view->amount);
	if (view->state == NEED_NO_KEY) { // there is no bucket
		object_add_null(o, "capacity");
		object_add_null(o, "level");
		object_add_null(o, "fill_per_s");
		object_add_null(o, "fill_amount");
	} else {
		add_level(o, needs->policy, &view->bucket);
	}
	object_add_number(o, "interval_s", (double)view->bucket.interval_ns / NS, 3);
	object_add_ms(o, "shut_ms", view->bucket.shut_ns);
	object_add_ms(o, "ready_ms", view->ready_ns);
	object_add_text(o, "workload", view->workload);
	object_add_number(o, "priority", view->priority, 6);
	object_add_count(o, "tier", view->tier);
	object_add_flag(o, "is_team", view->is_team);
	json_object_array_add(needs->list, o);
}

static void add_explanation(json *o, const struct explanation *explanation, json *needs)
{
	static const char *const names[] = {
		[VERDICT_QUEUED] = "queued",
		[VERDICT_ADMITTED] = "admitted",
		[VERDICT_DENIED] = "denied",
		[VERDICT_TIMED_OUT] = "timeout",
	};
	bool is_denied = explanation->verdict == VERDICT_DENIED;

	object_add_text(o, "verdict", names[explanation->verdict]);
	object_add_text(o, "policy", explanation->denied_by);
	object_add_ms(o, "waiting_ms", explanation->waiting_ns);
	object_add_ms(o, "eta_ms", is_denied ? UINT64_MAX : explanation->eta_ns);
	object_add(o, "needs", needs);
}

// Adds it all, or gives the list back.
static int finish(json *o, int error, const struct explanation *explanation, json *list)
{
	if (error)
		json_object_put(list);
	else
		add_explanation(o, explanation, list);
	return error;
}

int governed_explain(struct governor *g, const struct policy *policy, uint64_t id, uint64_t now_ns,
		     json *o)
{
	struct needs needs = {policy, json_object_new_array()};
	struct explanation explanation;

	if (!needs.list)
		return -ENOMEM;
	return finish(o, governor_explain(g, id, now_ns, add_need, &needs, &explanation),
		      &explanation, needs.list);
}

int governed_check(struct governor *g, const struct policy *policy, const struct ask *ask,
		   uint64_t now_ns, json *o)
{
	struct needs needs = {policy, json_object_new_array()};
	struct explanation explanation;

	if (!needs.list)
		return -ENOMEM;
	return finish(o, governor_check(g, ask, now_ns, add_need, &needs, &explanation),
		      &explanation, needs.list);
}
