// The policy in effect, as YAML that loads to the same policy: what shows a person which limits
// there are in the end, and can be kept. Whatever a limit was written as, here it is an entry of
// `policies:`, the only form that can say all that a struct limit holds.
//
// Canonical: equal policies give equal bytes, and what has been loaded from this text is written as
// this text again. For that the conditions of a matcher come out in an order of their own
// (write_conditions()). Keys that say nothing but the default are left out, except those that a
// reader would look for.
#include <errno.h>

#include "base/cleanup.h"
#include "config/emit.h"
#include "config/labels.h"
#include "config/policy.h"
#include "config/values.h"
#include "config/write_matcher.h"

struct writer {
	struct emitter emitter;
	const struct policy *policy;
};

static void write_label(struct writer *w, const char *key, size_t label)
{
	emit_text(&w->emitter, key);
	if (label == NO_LABEL)
		emit_null(&w->emitter);
	else
		emit_text(&w->emitter, w->policy->labels[label]);
}

static void write_ports(struct emitter *e, const char *key, const uint16_t *ports, size_t n_ports)
{
	emit_text(e, key);
	emit_list(e, true);
	for (size_t i = 0; i < n_ports; i++)
		emit_count(e, ports[i]);
	emit_list_end(e);
}

static void write_opaque(struct writer *w)
{
	static const char *const words[] = {
		[OPAQUE_GOVERN] = "govern", [OPAQUE_PASS] = "pass", [OPAQUE_DENY] = "deny"};
	const struct policy *p = w->policy;

	emit_pair(&w->emitter, "opaque", words[p->opaque]);
	if (p->opaque_model)
		emit_pair(&w->emitter, "opaque_model", p->opaque_model);
}

static void write_settings(struct writer *w)
{
	const struct policy *p = w->policy;
	struct emitter *e = &w->emitter;

	emit_pair(e, "mode", p->mode == MODE_ENFORCE ? "enforce" : "observe");
	emit_pair(e, "on_daemon_failure",
		  p->on_daemon_failure == FAILURE_CLOSED ? "closed" : "open");
	emit_duration(e, "max_wait", p->max_wait_ns);
	emit_pair(e, "on_max_wait", p->on_max_wait == MAX_WAIT_ADMIT ? "admit" : "deny");
	write_opaque(w);
	emit_duration(e, "http2_max_hold", p->http2_max_hold_ns);
	write_ports(e, "proxy_ports", p->proxy_ports, p->n_proxy_ports);
	emit_memory(e, "plaintext_memory", p->plaintext_memory_bytes);
	if (p->headroom_is_given)
		emit_duration(e, "headroom", p->headroom_ns);
	emit_duration(e, "ageing", p->ageing_ns);
	if (p->agent_group)
		emit_pair(e, "agent_group", p->agent_group);
	if (p->zone)
		emit_pair(e, "timezone", p->zone->name);
	if (p->prices_file)
		emit_pair(e, "prices", p->prices_file);
	if (p->priority_sources && *p->priority_sources)
		emit_texts(e, "priority_sources", p->priority_sources, false);
}

static bool rule_sets(const struct policy *p, size_t label)
{
	for (size_t i = 0; i < p->n_rules; i++)
		if (p->rules[i].label == label)
			return true;
	return false;
}

// Does a file know the label without being told of it? -ENOMEM counts as no: it does no harm.
static bool is_known(const struct policy *p, size_t label)
{
	CLEANUP_FREE char *copy = NULL;
	struct value_error error;

	if (rule_sets(p, label))
		return true;
	// A blueprint may name "http.path" or "body.anything", which no request here ever has.
	return label_is_given(p, label) && value_label(p->labels[label], &copy, &error) == 0;
}

// `labels:` names those that nothing on this host gives: they came with a blueprint, whose labels
// an SDK set, and a limit that refers to one must still load.
static void write_labels(struct writer *w)
{
	const struct policy *p = w->policy;
	struct emitter *e = &w->emitter;
	bool is_open = false;

	for (size_t i = N_BUILTIN_LABELS; i < p->n_labels; i++) {
		if (is_known(p, i))
			continue;
		if (!is_open) {
			emit_text(e, "labels");
			emit_list(e, true);
			is_open = true;
		}
		emit_text(e, p->labels[i]);
	}
	if (is_open)
		emit_list_end(e);
}

static void write_provider(struct writer *w, const struct provider *provider)
{
	struct emitter *e = &w->emitter;

	emit_mapping(e);
	emit_pair(e, "name", provider->name);
	emit_texts(e, "hosts", provider->hosts, false);
	write_ports(e, "ports", provider->ports, provider->n_ports);
	emit_mapping_end(e);
}

static void write_rate(struct writer *w, const char *key, const struct rate *rate)
{
	if (rate->kind == RATE_PER_MINUTE)
		emit_number(&w->emitter, key, rate->value);
	else if (rate->kind == RATE_PERCENT)
		emit_percent(&w->emitter, key, rate->value);
}

static void write_team(struct writer *w, const struct team *team)
{
	struct emitter *e = &w->emitter;

	emit_mapping(e);
	emit_pair(e, "name", team->name);
	if (team->cgroups)
		emit_texts(e, "cgroup", team->cgroups, true);
	if (team->units)
		emit_texts(e, "unit", team->units, true);
	if (team->users)
		emit_texts(e, "user", team->users, true);
	emit_number(e, "weight", team->weight);
	emit_number(e, "priority", team->priority);
	if (team->guarantee > 0)
		emit_percent(e, "guarantee", team->guarantee);
	if (team->tier)
		emit_number(e, "tier", team->tier);
	if (team->deny)
		emit_flag(e, "deny", true);
	write_rate(w, "rpm", &team->rpm);
	write_rate(w, "tpm", &team->tpm);
	emit_mapping_end(e);
}

static void write_rule(struct writer *w, const struct rule *rule)
{
	struct emitter *e = &w->emitter;

	emit_mapping(e);
	write_label(w, "set", rule->label);
	if (rule->from != NO_LABEL)
		write_label(w, "from", rule->from);
	if (rule->value)
		emit_pair(e, "value", rule->value);
	if (rule->map_from) {
		emit_text(e, "map");
		emit_mapping(e);
		for (size_t i = 0; rule->map_from[i]; i++)
			emit_pair(e, rule->map_from[i], rule->map_to[i]);
		emit_mapping_end(e);
	}
	if (rule->fallback)
		emit_pair(e, "default", rule->fallback);
	if (rule->for_each != NO_LABEL) {
		emit_number(e, "add", rule->add);
		write_label(w, "for_each", rule->for_each);
		emit_number(e, "at_most", rule->at_most);
	}
	if (rule->when)
		write_matcher(e, w->policy, "when", rule->when);
	emit_mapping_end(e);
}

static bool has_parameters(const struct workload *workload)
{
	return workload->priority != 1 || workload->tokens >= 0 || workload->queue_timeout_ns ||
	       workload->tier >= 0;
}

static void write_parameters(struct writer *w, const struct workload *workload)
{
	struct emitter *e = &w->emitter;

	emit_number(e, "priority", workload->priority);
	if (workload->tokens >= 0)
		emit_number(e, "tokens", workload->tokens);
	if (workload->queue_timeout_ns)
		emit_duration(e, "queue_timeout", workload->queue_timeout_ns);
	if (workload->tier >= 0)
		emit_number(e, "tier", workload->tier);
}

static void write_workloads(struct writer *w, const struct scheduler *scheduler)
{
	struct emitter *e = &w->emitter;

	emit_text(e, "workloads");
	emit_list(e, false);
	for (size_t i = 0; i < scheduler->n_workloads; i++) {
		const struct workload *workload = &scheduler->workloads[i];

		emit_mapping(e);
		emit_pair(e, "name", workload->name);
		if (workload->match)
			write_matcher(e, w->policy, NULL, workload->match);
		write_parameters(w, workload);
		emit_mapping_end(e);
	}
	emit_list_end(e);
}

static void write_scheduler(struct writer *w, const struct scheduler *scheduler)
{
	struct emitter *e = &w->emitter;

	emit_text(e, "scheduler");
	emit_mapping(e);
	write_label(w, "priority_label_key", scheduler->priority_label); // ~ is not the default
	if (scheduler->tokens_label != NO_LABEL)
		write_label(w, "tokens_label_key", scheduler->tokens_label);
	if (scheduler->fairness_label != NO_LABEL)
		write_label(w, "fairness_label_key", scheduler->fairness_label);
	if (scheduler->n_workloads)
		write_workloads(w, scheduler);
	if (has_parameters(&scheduler->others)) {
		emit_text(e, "others");
		emit_mapping(e);
		write_parameters(w, &scheduler->others);
		emit_mapping_end(e);
	}
	emit_mapping_end(e);
}

static void write_selectors(struct writer *w, const struct limit *limit)
{
	const struct selector *first = limit->selectors;
	struct emitter *e = &w->emitter;

	if (!limit->n_selectors)
		return;
	if (limit->n_selectors == 1 && !first->control_point && !first->agent_group &&
	    first->match) {
		write_matcher(e, w->policy, "match", first->match);
		return;
	}
	emit_text(e, "selectors");
	emit_list(e, false);
	for (const struct selector *s = first; s < first + limit->n_selectors; s++) {
		emit_mapping(e);
		emit_pair(e, "control_point", s->control_point ? s->control_point : "any");
		if (s->agent_group)
			emit_pair(e, "agent_group", s->agent_group);
		if (s->match)
			write_matcher(e, w->policy, NULL, s->match);
		emit_mapping_end(e);
	}
	emit_list_end(e);
}

static void write_keys(struct writer *w, const struct limit *limit)
{
	struct emitter *e = &w->emitter;

	emit_text(e, limit->passes_without_key ? "label_key" : "key");
	emit_list(e, true);
	for (size_t i = 0; i < limit->n_keys; i++)
		emit_text(e, w->policy->labels[limit->keys[i]]);
	emit_list_end(e);
}

// A bucket's numbers. Those of `auto` and `tier` are not the policy's to say.
static void write_bucket(struct writer *w, const struct limit *limit)
{
	struct emitter *e = &w->emitter;

	if (limit->is_auto) {
		emit_flag(e, "auto", true);
	} else if (limit->tier) {
		emit_number(e, "tier", limit->tier);
	} else {
		emit_number(e, "bucket_capacity", limit->capacity);
		emit_number(e, "fill_amount", limit->fill_amount);
	}
	if (limit->calendar)
		emit_pair(e, "calendar", limit->calendar == CALENDAR_DAY ? "day" : "month");
	else
		emit_duration(e, "interval", limit->interval_ns);
	if (limit->is_stepwise)
		emit_flag(e, "continuous_fill", false);
	if (limit->delays_fill)
		emit_flag(e, "delay_initial_fill", true);
	if (limit->smooth_ns)
		emit_duration(e, "smooth", limit->smooth_ns);
}

static void write_limit(struct writer *w, const struct limit *limit)
{
	struct emitter *e = &w->emitter;

	emit_mapping(e);
	emit_pair(e, "name", limit->name);
	emit_pair(e, "resource", resource_name(limit->resource));
	if (limit->is_blueprint)
		emit_flag(e, "blueprint", true);
	write_selectors(w, limit);
	write_keys(w, limit);
	write_bucket(w, limit);
	emit_pair(e, "over_limit", limit->over_limit == OVER_LIMIT_DENY ? "deny" : "queue");
	if (limit->scheduler != w->policy->schedulers[0])
		write_scheduler(w, limit->scheduler);
	emit_mapping_end(e);
}

// `key: [entry, …]`, or nothing if there is none.
#define WRITE_LIST(w, key, items, count, write_item)                                               \
	do {                                                                                       \
		if (!(count))                                                                      \
			break;                                                                     \
		emit_text(&(w)->emitter, key);                                                     \
		emit_list(&(w)->emitter, false);                                                   \
		for (size_t i_ = 0; i_ < (count); i_++)                                            \
			write_item(w, &(items)[i_]);                                               \
		emit_list_end(&(w)->emitter);                                                      \
	} while (0)

int policy_write(const struct policy *policy, FILE *out)
{
	struct writer w = {.policy = policy};

	emit_begin(&w.emitter, out);
	emit_mapping(&w.emitter);
	write_settings(&w);
	write_labels(&w);
	WRITE_LIST(&w, "providers", policy->providers, policy->n_providers, write_provider);
	WRITE_LIST(&w, "teams", policy->teams, policy->n_teams, write_team);
	WRITE_LIST(&w, "rules", policy->rules, policy->n_rules, write_rule);
	write_scheduler(&w, policy->schedulers[0]);
	WRITE_LIST(&w, "policies", policy->limits, policy->n_limits, write_limit);
	emit_mapping_end(&w.emitter);
	int err = emit_end(&w.emitter);

	if (!err && fflush(out) != 0)
		err = -errno;
	return err;
}
