// The end of a policy: every text and list it owns. See policy.h.
#include "config/policy.h"

#include <stdlib.h>

static void free_strings(char **strings)
{
	for (char **at = strings; at && *at; at++)
		free(*at);
	free(strings);
}

static void provider_release(struct provider *provider)
{
	free(provider->name);
	free_strings(provider->hosts);
	free(provider->ports);
}

static void team_release(struct team *team)
{
	free(team->name);
	free_strings(team->cgroups);
	free_strings(team->units);
	free_strings(team->users);
}

static void limit_release(struct limit *limit)
{
	struct match *match = &limit->match;

	free(limit->name);
	free(match->provider);
	free(match->model);
	free(match->team);
	free(match->endpoint);
	free(match->api_key);
	free(match->organization);
	free(match->user);
	free(limit->keys);
}

void policy_free(struct policy *policy)
{
	if (!policy)
		return;
	for (size_t i = 0; i < policy->n_providers; i++)
		provider_release(&policy->providers[i]);
	for (size_t i = 0; i < policy->n_teams; i++)
		team_release(&policy->teams[i]);
	for (size_t i = 0; i < policy->n_limits; i++)
		limit_release(&policy->limits[i]);
	free(policy->providers);
	free(policy->teams);
	free(policy->limits);
	free(policy);
}
