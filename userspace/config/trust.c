// Headers, bodies and `comm` are whatever a program writes there. If a priority followed from them
// unasked, the program would be its own judge; so it must be allowed, label by label, in
// priority_sources. What rules make of such a label is no better than the label: the taint spreads
// from a rule's `from`, `when` and `for_each` to what it sets, until nothing changes any more.
#include "config/trust.h"

#include <fnmatch.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "config/check.h"
#include "config/labels.h"
#include "config/matcher.h"

struct trust {
	struct checker checker;
	// For each label one that programs control, is not allowed, and decides its value;
	// NO_LABEL: there is none.
	size_t *source_of;
};

static bool is_allowed(const struct policy *policy, const char *label)
{
	for (char **at = policy->priority_sources; at && *at; at++)
		if (fnmatch(*at, label, 0) == 0)
			return true;
	return false;
}

struct search {
	const struct trust *trust;
	size_t source;
};

static void find_source(void *ctx, const struct matcher *matcher)
{
	struct search *search = ctx;

	if (search->source == NO_LABEL)
		search->source = search->trust->source_of[matcher->label];
}

static size_t source_of_matcher(const struct trust *t, const struct matcher *matcher)
{
	struct search search = {.trust = t, .source = NO_LABEL};

	matcher_each(matcher, find_source, &search);
	return search.source;
}

static size_t source_of_label(const struct trust *t, size_t label)
{
	return label == NO_LABEL ? NO_LABEL : t->source_of[label];
}

static size_t source_of_rule(const struct trust *t, const struct rule *rule)
{
	size_t source = source_of_label(t, rule->from);

	if (source == NO_LABEL)
		source = source_of_label(t, rule->for_each);
	if (source == NO_LABEL)
		source = source_of_matcher(t, rule->when);
	return source;
}

static void spread(struct trust *t)
{
	const struct policy *p = t->checker.policy;
	bool has_changed = true;

	while (has_changed) {
		has_changed = false;
		for (size_t i = 0; i < p->n_rules; i++) {
			const struct rule *rule = &p->rules[i];
			size_t *source = &t->source_of[rule->label];

			if (*source != NO_LABEL)
				continue;
			*source = source_of_rule(t, rule);
			has_changed = has_changed || *source != NO_LABEL;
		}
	}
}

static void add_problem(const struct trust *t, const struct place *place, const char *key,
			const char *what, size_t source)
{
	const char *name = t->checker.policy->labels[source];

	check_add(&t->checker, place, key,
		  "%s depends on %s, which programs choose themselves; expected a label that they "
		  "do not, or priority_sources: [%s] to allow it",
		  what, problems_quote(name).text, problems_quote(name).text);
}

// The rules that make a priority or a queue timeout of what programs say.
static void check_rules(const struct trust *t)
{
	const struct policy *p = t->checker.policy;

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct rule *rule = &p->rules[i];
		size_t source = source_of_rule(t, rule);

		if (source == NO_LABEL ||
		    (rule->label != LABEL_PRIORITY && rule->label != LABEL_QUEUE_TIMEOUT))
			continue;
		add_problem(t, places_find(t->checker.places, &p->rules, i), NULL,
			    p->labels[rule->label], source);
	}
}

static bool is_same_order(const struct workload *a, const struct workload *b)
{
	return a->priority == b->priority && a->tier == b->tier &&
	       a->queue_timeout_ns == b->queue_timeout_ns;
}

// Does it matter for the order which workload a request falls into?
static bool has_different_workloads(const struct scheduler *s)
{
	for (size_t i = 0; i < s->n_workloads; i++)
		if (!is_same_order(&s->workloads[i], &s->others))
			return true;
	return false;
}

static void check_scheduler(const struct trust *t, const struct scheduler *s)
{
	size_t source = source_of_label(t, s->priority_label);
	const struct places *places = t->checker.places;

	// The label `priority` is set by rules alone, and those are told of by check_rules().
	if (source != NO_LABEL && s->priority_label != LABEL_PRIORITY)
		add_problem(t, places_find(places, s, 0), "priority_label_key",
			    "priority_label_key", source);
	if (!has_different_workloads(s))
		return;
	for (size_t i = 0; i < s->n_workloads; i++) {
		CLEANUP_FREE char *what = NULL;

		source = source_of_matcher(t, s->workloads[i].match);
		if (source == NO_LABEL)
			continue;
		if (asprintf(&what, "workload %s, of another priority, tier or queue_timeout,",
			     problems_quote(s->workloads[i].name).text) < 0)
			what = NULL;
		add_problem(t, places_find(places, &s->workloads, i), NULL,
			    what ? what : "a workload", source);
	}
}

void trust_check(const struct policy *policy, const struct places *places,
		 struct problems *problems)
{
	CLEANUP_FREE size_t *source_of = calloc(policy->n_labels, sizeof(*source_of));
	struct trust trust = {
		.checker = {.policy = policy, .places = places, .problems = problems},
		.source_of = source_of,
	};

	if (!source_of) {
		problems->out_of_memory = true;
		return;
	}
	for (size_t i = 0; i < policy->n_labels; i++) {
		bool is_theirs = label_is_programs(policy->labels[i]) &&
				 !is_allowed(policy, policy->labels[i]);

		source_of[i] = is_theirs ? i : NO_LABEL;
	}
	spread(&trust);
	check_rules(&trust);
	for (size_t i = 0; i < policy->n_schedulers; i++)
		check_scheduler(&trust, policy->schedulers[i]);
}
