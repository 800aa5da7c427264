// Team membership. The first team in the policy's order wins, and every kind of condition that it
// gives (cgroup, unit, user) must hold; within one kind, any entry will do. A team without
// conditions takes everyone.
//
// cgroup globs cover subtrees: the glob is held against as many leading components of the path as
// it has itself, so "/review-*.slice" takes "/review-a.slice/x.service" but not
// "/x/review-a.slice". A "*" stays within its component. Backslashes are literal: systemd escapes
// unit names with them ("dev-disk\x2dby.swap").
#include "govern/teams.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *skip_slashes(const char *path)
{
	return path + strspn(path, "/");
}

// The length of path's first component that begins at `path`.
static size_t component_length(const char *path)
{
	return strcspn(path, "/");
}

static bool component_matches(const char *glob, size_t n_glob, const char *text, size_t n_text)
{
	char g[NAME_MAX + 1], t[NAME_MAX + 1];

	if (n_glob > NAME_MAX || n_text > NAME_MAX)
		return false;
	memcpy(g, glob, n_glob);
	memcpy(t, text, n_text);
	g[n_glob] = t[n_text] = '\0';
	return !fnmatch(g, t, FNM_PATHNAME | FNM_NOESCAPE);
}

static bool covers(const char *glob, const char *path)
{
	for (;;) {
		glob = skip_slashes(glob);
		path = skip_slashes(path);
		if (!*glob)
			return true;
		size_t n_glob = component_length(glob), n_path = component_length(path);
		if (!n_path || !component_matches(glob, n_glob, path, n_path))
			return false;
		glob += n_glob;
		path += n_path;
	}
}

static bool has_component(const char *path, const char *glob)
{
	for (path = skip_slashes(path); *path; path = skip_slashes(path)) {
		size_t n = component_length(path);

		if (component_matches(glob, strlen(glob), path, n))
			return true;
		path += n;
	}
	return false;
}

static bool in_cgroups(char *const *globs, const char *path)
{
	for (; *globs; globs++)
		if (covers(*globs, path))
			return true;
	return false;
}

static bool in_units(char *const *globs, const char *path)
{
	for (; *globs; globs++)
		if (has_component(path, *globs))
			return true;
	return false;
}

static bool in_users(char *const *users, uint32_t uid, const char *name)
{
	char decimal[sizeof("4294967295")];

	snprintf(decimal, sizeof(decimal), "%" PRIu32, uid);
	for (; *users; users++)
		if (!strcmp(*users, decimal) || (*name && !strcmp(*users, name)))
			return true;
	return false;
}

const struct team *team_of_process(const struct policy *policy, const char *cgroup, uint32_t uid,
				   const char *user)
{
	for (size_t i = 0; i < policy->n_teams; i++) {
		const struct team *team = &policy->teams[i];

		if ((!team->cgroups || in_cgroups(team->cgroups, cgroup)) &&
		    (!team->units || in_units(team->units, cgroup)) &&
		    (!team->users || in_users(team->users, uid, user)))
			return team;
	}
	return NULL;
}
