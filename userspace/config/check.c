// Does the policy mean what its writer wants? Names are unique, limits find teams and providers,
// shares are shares of something, and no team stands in the shadow of an earlier one. See check.h.
//
// Each of these would load, and then silently do nothing. All are bounded by SCHEMA_VALUES_MAX; the
// slowest compares each team with each earlier one.
#include "config/check.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

// Where a provider, team or limit stands.
struct source {
	const struct document *document;
	const yaml_node_t *node;
};

struct checker {
	const struct policy *policy;
	const struct source *providers, *teams, *limits;
	struct problems *problems;
};

// The entries of the list `key` of all documents, in order. NULL: no memory.
static struct source *sources_new(const struct document *documents, size_t n_documents,
				  const char *key, size_t n_sources)
{
	struct source *sources = calloc(n_sources + 1, sizeof(*sources));
	size_t n = 0;

	for (size_t i = 0; sources && i < n_documents; i++) {
		const yaml_node_t *list = document_find(&documents[i], documents[i].root, key);

		if (!list || list->type != YAML_SEQUENCE_NODE)
			continue;
		for (const yaml_node_item_t *at = list->data.sequence.items.start;
		     at < list->data.sequence.items.top && n < n_sources; at++)
			sources[n++] = (struct source){.document = &documents[i],
						       .node = document_node(&documents[i], *at)};
	}
	return sources;
}

// The line of the entry's `key`, or of the entry if it has none.
static size_t source_line(const struct source *source, const char *key)
{
	const yaml_node_t *value = document_find(source->document, source->node, key);

	return node_line(value ? value : source->node);
}

static size_t match_line(const struct source *limit, const char *key)
{
	const struct source match = {
		.document = limit->document,
		.node = document_find(limit->document, limit->node, "match"),
	};

	return match.node ? source_line(&match, key) : node_line(limit->node);
}

struct named {
	const char *name;
	const struct source *source; // in the order of the file, also in memory
};

static int compare_named(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : (x->source > y->source) - (x->source < y->source);
}

// `first_name` and `stride`: where the names stand in an array of structs.
static void check_duplicates(const struct checker *c, const char *what, const void *first_name,
			     size_t stride, size_t count, const struct source *sources)
{
	CLEANUP_FREE struct named *sorted = calloc(count + 1, sizeof(*sorted));

	if (!sorted) {
		c->problems->out_of_memory = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		memcpy(&sorted[i].name, (const char *)first_name + i * stride, sizeof(char *));
		sorted[i].source = &sources[i];
	}
	qsort(sorted, count, sizeof(*sorted), compare_named);
	for (size_t i = 1; i < count; i++) {
		const struct source *first = sorted[i - 1].source, *second = sorted[i].source;

		if (strcmp(sorted[i - 1].name, sorted[i].name) != 0)
			continue;
		problems_add(c->problems, second->document->path, source_line(second, "name"),
			     "duplicate %s %s, also at %s:%zu; expected another name", what,
			     problems_quote(sorted[i].name).text, first->document->path,
			     source_line(first, "name"));
	}
}

static void check_names(const struct checker *c)
{
	const struct policy *p = c->policy;

	if (p->n_providers)
		check_duplicates(c, "provider", &p->providers->name, sizeof(*p->providers),
				 p->n_providers, c->providers);
	if (p->n_teams)
		check_duplicates(c, "team", &p->teams->name, sizeof(*p->teams), p->n_teams,
				 c->teams);
	if (p->n_limits)
		check_duplicates(c, "limit", &p->limits->name, sizeof(*p->limits), p->n_limits,
				 c->limits);
}

static bool glob_matches(const char *glob, const char *text)
{
	return !glob || fnmatch(glob, text, 0) == 0;
}

static bool any_team_matches(const struct policy *policy, const char *glob)
{
	if (glob_matches(glob, "")) // those of no team
		return true;
	for (size_t i = 0; i < policy->n_teams; i++)
		if (glob_matches(glob, policy->teams[i].name))
			return true;
	return false;
}

static bool any_provider_matches(const struct policy *policy, const char *glob)
{
	for (size_t i = 0; i < policy->n_providers; i++)
		if (glob_matches(glob, policy->providers[i].name))
			return true;
	return false;
}

static void check_limits(const struct checker *c)
{
	for (size_t i = 0; i < c->policy->n_limits; i++) {
		const struct limit *limit = &c->policy->limits[i];
		const struct source *source = &c->limits[i];

		if (!any_team_matches(c->policy, limit->match.team))
			problems_add(
				c->problems, source->document->path, match_line(source, "team"),
				"limit %s matches team %s, and there is none; expected the name "
				"of a team",
				problems_quote(limit->name).text,
				problems_quote(limit->match.team).text);
		if (!any_provider_matches(c->policy, limit->match.provider))
			problems_add(
				c->problems, source->document->path, match_line(source, "provider"),
				"limit %s matches provider %s, and there is none; expected the "
				"name of a provider, such as %s",
				problems_quote(limit->name).text,
				problems_quote(limit->match.provider).text,
				c->policy->providers[0].name);
	}
}

// A share of a limit: is there one that this team's requests can fall under?
static void check_share(const struct checker *c, size_t team, const char *key, size_t rate_in_team,
			size_t rate_in_limit)
{
	const struct policy *p = c->policy;
	const struct source *source = &c->teams[team];
	const struct rate *share =
		(const struct rate *)((const char *)&p->teams[team] + rate_in_team);

	if (share->kind != RATE_PERCENT)
		return;
	for (size_t i = 0; i < p->n_limits; i++) {
		const struct rate *rate =
			(const struct rate *)((const char *)&p->limits[i] + rate_in_limit);

		if (rate->kind != RATE_ABSENT &&
		    glob_matches(p->limits[i].match.team, p->teams[team].name))
			return;
	}
	problems_add(
		c->problems, source->document->path, source_line(source, key),
		"%s of team %s is a share, but no limit for it has %s; expected a number, or a "
		"limit with %s",
		key, problems_quote(p->teams[team].name).text, key, key);
}

static void check_shares(const struct checker *c)
{
	for (size_t i = 0; i < c->policy->n_teams; i++) {
		check_share(c, i, "rpm", offsetof(struct team, rpm), offsetof(struct limit, rpm));
		check_share(c, i, "tpm", offsetof(struct team, tpm), offsetof(struct limit, tpm));
	}
}

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

static void check_reach(const struct checker *c)
{
	static const struct team anything = {0};
	const struct policy *p = c->policy;

	for (size_t i = 0; i < p->n_teams && !problems_full(c->problems); i++) {
		const struct source *source = &c->teams[i];
		const char *path = source->document->path;

		for (size_t j = 0; j < i; j++) {
			const struct source *earlier = &c->teams[j];

			if (!team_covers(&p->teams[j], &p->teams[i]))
				continue;
			problems_add(c->problems, path, node_line(source->node),
				     "team %s is never reached: team %s (%s:%zu) comes first and "
				     "takes all that it names; expected the narrower team first",
				     problems_quote(p->teams[i].name).text,
				     problems_quote(p->teams[j].name).text, earlier->document->path,
				     node_line(earlier->node));
			break;
		}
		if (i + 1 == p->n_teams || !team_covers(&p->teams[i], &anything))
			continue;
		problems_add(c->problems, path, node_line(source->node),
			     "team %s takes everything, and no team after it gets any; expected "
			     "a cgroup, unit or user, or the team as the last one of the last file",
			     problems_quote(p->teams[i].name).text);
		return; // of those after it there is no more to say
	}
}

void policy_check(const struct policy *policy, const struct document *documents, size_t n_documents,
		  struct problems *problems)
{
	CLEANUP_FREE struct source *providers =
		sources_new(documents, n_documents, "providers", policy->n_providers);
	CLEANUP_FREE struct source *teams =
		sources_new(documents, n_documents, "teams", policy->n_teams);
	CLEANUP_FREE struct source *limits =
		sources_new(documents, n_documents, "limits", policy->n_limits);
	const struct checker checker = {
		.policy = policy,
		.providers = providers,
		.teams = teams,
		.limits = limits,
		.problems = problems,
	};

	if (!providers || !teams || !limits) {
		problems->out_of_memory = true;
		return;
	}
	check_names(&checker);
	check_limits(&checker);
	check_shares(&checker);
	check_reach(&checker);
}
