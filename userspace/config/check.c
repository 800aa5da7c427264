// Does the policy mean what its writer wants? Names are unique, guarantees can be kept, shares are
// shares of something. See check.h; limits are looked at in check_limits.c, and who is never
// reached in check_reach.c.
//
// Most of these would load, and then silently do nothing.
#include "config/check.h"

#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/matcher.h"

void check_add(const struct checker *c, const struct place *place, const char *key,
	       const char *format, ...)
{
	CLEANUP_FREE char *message = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&message, format, args) < 0) {
		message = NULL;
		c->problems->out_of_memory = true;
	}
	va_end(args);
	if (message)
		problems_add(c->problems, place_path(place), place_line(place, key), "%s", message);
}

struct named {
	const char *name;
	size_t index;
};

static int compare_named(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : (x->index > y->index) - (x->index < y->index);
}

// Notes names that are there twice. `list` is the address of the list's pointer; its items are
// `stride` bytes apart and begin with their name.
static void check_duplicates(const struct checker *c, const char *what, const void *list,
			     size_t stride, size_t count)
{
	CLEANUP_FREE struct named *sorted = calloc(count + 1, sizeof(*sorted));
	const char *items = *(char *const *)list;

	if (!sorted) {
		c->problems->out_of_memory = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		memcpy(&sorted[i].name, items + i * stride, sizeof(char *));
		sorted[i].index = i;
	}
	qsort(sorted, count, sizeof(*sorted), compare_named);
	for (size_t i = 1; i < count; i++) {
		if (strcmp(sorted[i - 1].name, sorted[i].name) != 0)
			continue;
		const struct place *first = places_find(c->places, list, sorted[i - 1].index);
		check_add(c, places_find(c->places, list, sorted[i].index), "name",
			  "duplicate %s %s, also at %s:%zu; expected another name", what,
			  problems_quote(sorted[i].name).text, place_path(first),
			  place_line(first, "name"));
	}
}

static void check_names(const struct checker *c)
{
	const struct policy *p = c->policy;

	check_duplicates(c, "provider", &p->providers, sizeof(*p->providers), p->n_providers);
	check_duplicates(c, "team", &p->teams, sizeof(*p->teams), p->n_teams);
	for (size_t i = 0; i < p->n_schedulers; i++) {
		const struct scheduler *s = p->schedulers[i];

		check_duplicates(c, "workload", &s->workloads, sizeof(*s->workloads),
				 s->n_workloads);
		for (size_t j = 0; j < s->n_workloads; j++)
			if (strcmp(s->workloads[j].name, s->others.name) == 0)
				check_add(
					c, places_find(c->places, &s->workloads, j), "name",
					"workload \"default\" is for those that no other matches; "
					"expected another name");
	}
}

static bool any_value_matches(const struct matcher *matcher, const char *text)
{
	for (char **at = matcher->values; *at; at++)
		if (matcher->kind == MATCHER_IN ? strcmp(*at, text) == 0
						: fnmatch(*at, text, 0) == 0)
			return true;
	return false;
}

// May a request of that team fulfil the condition? When in doubt: yes.
static bool team_may_match(const struct matcher *matcher, const char *team)
{
	bool any = false;

	if (!matcher)
		return true;
	switch (matcher->kind) {
	case MATCHER_ALL:
		for (size_t i = 0; i < matcher->n_children; i++)
			if (!team_may_match(&matcher->children[i], team))
				return false;
		return true;
	case MATCHER_ANY:
		for (size_t i = 0; i < matcher->n_children; i++)
			any = any || team_may_match(&matcher->children[i], team);
		return any;
	case MATCHER_IN:
	case MATCHER_GLOB:
		return matcher->label != LABEL_TEAM || any_value_matches(matcher, team);
	default:
		return true;
	}
}

static bool limit_may_match(const struct limit *limit, const char *team)
{
	for (size_t i = 0; i < limit->n_selectors; i++)
		if (team_may_match(limit->selectors[i].match, team))
			return true;
	return limit->n_selectors == 0;
}

// A share of a limit: is there one that this team's requests can fall under?
static void check_share(const struct checker *c, size_t i, const char *key,
			const struct rate *share, enum resource resource)
{
	const struct team *team = &c->policy->teams[i];

	if (share->kind != RATE_PERCENT)
		return;
	const struct place *place = places_find(c->places, &c->policy->teams, i);
	if (team->guarantee > share->value)
		check_add(
			c, place, "guarantee",
			"guarantee %g%% of team %s is above its own ceiling, %s %g%%; expected at "
			"most that",
			team->guarantee, problems_quote(team->name).text, key, share->value);
	for (size_t j = 0; j < c->policy->n_limits; j++)
		if (c->policy->limits[j].resource == resource &&
		    limit_may_match(&c->policy->limits[j], team->name))
			return;
	check_add(c, place, key,
		  "%s of team %s is a share, but no limit for it has %s; expected a number, or a "
		  "limit with %s",
		  key, problems_quote(team->name).text, key, key);
}

static void check_shares(const struct checker *c)
{
	double guaranteed = 0;
	bool is_noted = false;

	for (size_t i = 0; i < c->policy->n_teams; i++) {
		const struct team *team = &c->policy->teams[i];

		check_share(c, i, "rpm", &team->rpm, RESOURCE_REQUESTS);
		check_share(c, i, "tpm", &team->tpm, RESOURCE_TOKENS);
		guaranteed += team->guarantee;
		if (guaranteed <= 100 || is_noted)
			continue;
		is_noted = true;
		check_add(c, places_find(c->places, &c->policy->teams, i), "guarantee",
			  "guarantee of team %s brings all guarantees to %g%%; expected at most "
			  "100%% in sum",
			  problems_quote(team->name).text, guaranteed);
	}
}

void policy_check(const struct policy *policy, const struct places *places,
		  struct problems *problems)
{
	const struct checker checker = {.policy = policy, .places = places, .problems = problems};

	check_names(&checker);
	check_limits(&checker);
	check_shares(&checker);
	check_teams_reach(&checker);
	check_workloads_reach(&checker);
}
