// No team and no workload stands in the shadow of an earlier one, for there the first that matches
// wins. See check.h. The slowest checks: each is compared with each earlier one, which
// SCHEMA_VALUES_MAX bounds.
#include "config/check.h"

#include <fnmatch.h>
#include <stddef.h>
#include <string.h>

#include "config/matcher.h"

typedef bool (*covers_fn)(const char *earlier, const char *later);

#define WILDCARDS "*?["

// Is what the glob `later` names also named by `earlier`? True only where that is certain: a
// pattern is compared with a pattern letter by letter. The flags are those of govern/teams.c.
static bool glob_covers(const char *earlier, const char *later, int flags)
{
	if (strcmp(earlier, later) == 0)
		return true;
	return strpbrk(earlier, WILDCARDS) && !strpbrk(later, WILDCARDS) &&
	       fnmatch(earlier, later, FNM_PATHNAME | FNM_NOESCAPE | flags) == 0;
}

static bool cgroup_covers(const char *earlier, const char *later)
{
	size_t length = strlen(earlier);

	if (strcmp(earlier, "/") == 0 || strcmp(earlier, "/*") == 0)
		return true;
	if (strncmp(earlier, later, length) == 0 && later[length] == '/')
		return true; // a subtree
	return glob_covers(earlier, later, FNM_LEADING_DIR);
}

static bool unit_covers(const char *earlier, const char *later)
{
	return glob_covers(earlier, later, 0);
}

static bool user_covers(const char *earlier, const char *later)
{
	return strcmp(earlier, later) == 0;
}

// Does `earlier` take all that `later` can match? A NULL list matches anything.
static bool list_covers(char *const *earlier, char *const *later, covers_fn covers)
{
	if (!earlier)
		return true;
	if (!later)
		return false;
	for (; *later; later++) {
		char *const *at = earlier;

		while (*at && !covers(*at, *later))
			at++;
		if (!*at)
			return false;
	}
	return true;
}

static bool team_covers(const struct team *earlier, const struct team *later)
{
	static char *const root[] = {"/", NULL};
	char *const *later_cgroups = later->cgroups ? later->cgroups : root;

	return list_covers(earlier->cgroups, later_cgroups, cgroup_covers) &&
	       list_covers(earlier->units, later->units, unit_covers) &&
	       list_covers(earlier->users, later->users, user_covers);
}

void check_teams_reach(const struct checker *c)
{
	static const struct team anything = {0};
	const struct policy *p = c->policy;

	for (size_t i = 0; i < p->n_teams && !problems_full(c->problems); i++) {
		const struct place *place = places_find(c->places, &p->teams, i);

		for (size_t j = 0; j < i; j++) {
			if (!team_covers(&p->teams[j], &p->teams[i]))
				continue;
			const struct place *earlier = places_find(c->places, &p->teams, j);
			check_add(
				c, place, NULL,
				"team %s is never reached: team %s (%s:%zu) comes first and takes "
				"all that it names; expected the narrower team first",
				problems_quote(p->teams[i].name).text,
				problems_quote(p->teams[j].name).text, place_path(earlier),
				place_line(earlier, NULL));
			break;
		}
		if (i + 1 == p->n_teams || !team_covers(&p->teams[i], &anything))
			continue;
		check_add(c, place, NULL,
			  "team %s takes everything, and no team after it gets any; expected a "
			  "cgroup, unit or user, or the team as the last one of the last file",
			  problems_quote(p->teams[i].name).text);
		return; // of those after it there is no more to say
	}
}

static void check_scheduler_reach(const struct checker *c, const struct scheduler *s)
{
	for (size_t i = 1; i < s->n_workloads && !problems_full(c->problems); i++) {
		size_t j = 0;

		while (j < i && !matcher_covers(s->workloads[j].match, s->workloads[i].match))
			j++;
		if (j == i)
			continue;
		const struct place *earlier = places_find(c->places, &s->workloads, j);
		check_add(
			c, places_find(c->places, &s->workloads, i), NULL,
			"workload %s is never reached: workload %s (%s:%zu) comes first and takes "
			"all that it matches; expected the narrower workload first",
			problems_quote(s->workloads[i].name).text,
			problems_quote(s->workloads[j].name).text, place_path(earlier),
			place_line(earlier, NULL));
	}
}

void check_workloads_reach(const struct checker *c)
{
	for (size_t i = 0; i < c->policy->n_schedulers; i++)
		check_scheduler_reach(c, c->policy->schedulers[i]);
}
