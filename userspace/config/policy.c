// The end of a policy: every text and list it owns. See policy.h.
#include "config/policy.h"

#include <stdlib.h>
#include <string.h>

#include "config/limits.h"
#include "config/rules.h"
#include "config/scheduler.h"
#include "config/zone.h"

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

static void tables_release(struct policy *policy)
{
	for (size_t i = 0; i < policy->n_prices; i++)
		free(policy->prices[i].model);
	free(policy->prices);
	for (size_t tier = 0; tier < 5; tier++) {
		for (size_t i = 0; i < policy->n_tiers[tier]; i++)
			free(policy->tiers[tier][i].model);
		free(policy->tiers[tier]);
	}
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
	for (size_t i = 0; i < policy->n_rules; i++)
		rule_release(&policy->rules[i]);
	for (size_t i = 0; i < policy->n_schedulers; i++)
		scheduler_free(policy->schedulers[i]);
	for (size_t i = 0; i < policy->n_labels; i++)
		free(policy->labels[i]);
	free(policy->providers);
	free(policy->teams);
	free(policy->limits);
	free(policy->rules);
	free(policy->schedulers);
	free(policy->labels);
	free_strings(policy->priority_sources);
	free(policy->agent_group);
	free(policy->opaque_model);
	free(policy->proxy_ports);
	free(policy->prices_file);
	zone_free(policy->zone);
	tables_release(policy);
	free(policy);
}

const struct team *policy_find_team(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->n_teams; i++)
		if (strcmp(policy->teams[i].name, name) == 0)
			return &policy->teams[i];
	return NULL;
}
