#include "govern/match.h"

#include <fnmatch.h>
#include <string.h>

static bool is_one_of(char *const *values, const char *text)
{
	for (; *values; values++)
		if (!strcmp(*values, text))
			return true;
	return false;
}

static bool matches_glob(char *const *globs, const char *text)
{
	for (; *globs; globs++)
		if (!fnmatch(*globs, text ? text : "", 0))
			return true;
	return false;
}

static bool all_hold(const struct matcher *matcher, const char *const *labels)
{
	for (size_t i = 0; i < matcher->n_children; i++)
		if (!matcher_holds(&matcher->children[i], labels))
			return false;
	return true;
}

static bool any_holds(const struct matcher *matcher, const char *const *labels)
{
	for (size_t i = 0; i < matcher->n_children; i++)
		if (matcher_holds(&matcher->children[i], labels))
			return true;
	return false;
}

bool matcher_holds(const struct matcher *matcher, const char *const *labels)
{
	if (!matcher)
		return true;
	switch (matcher->kind) {
	case MATCHER_ALL:
		return all_hold(matcher, labels);
	case MATCHER_ANY:
		return any_holds(matcher, labels);
	case MATCHER_NOT:
		return !all_hold(matcher, labels);
	case MATCHER_EXISTS:
		return labels[matcher->label];
	case MATCHER_IN:
		return labels[matcher->label] && is_one_of(matcher->values, labels[matcher->label]);
	case MATCHER_GLOB:
		return matches_glob(matcher->values, labels[matcher->label]);
	case MATCHER_REGEX:
		return labels[matcher->label] &&
		       !regexec(matcher->regex, labels[matcher->label], 0, NULL, 0);
	}
	return false;
}

static bool selector_holds(const struct policy *policy, const struct selector *selector,
			   const char *const *labels)
{
	const char *provider = labels[LABEL_PROVIDER] ? labels[LABEL_PROVIDER] : "";

	if (selector->control_point && fnmatch(selector->control_point, provider, 0))
		return false;
	if (selector->agent_group && policy->agent_group &&
	    strcmp(selector->agent_group, policy->agent_group))
		return false;
	return matcher_holds(selector->match, labels);
}

bool limit_matches(const struct policy *policy, const struct limit *limit,
		   const char *const *labels)
{
	for (size_t i = 0; i < limit->n_selectors; i++)
		if (selector_holds(policy, &limit->selectors[i], labels))
			return true;
	return !limit->n_selectors;
}
