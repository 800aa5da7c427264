// Every limit whose globs match the request applies to it, and each of its rates has one limiter
// for each combination of the limit's key labels. An absent label counts as "". A team's own
// ceiling in units a minute is one limiter more; a ceiling in percent is one more beside each
// limiter of a limit, with that share of its capacity.
//
// A request that asks for nothing of a resource (no tokens, say) passes an exhausted limiter of it,
// but not one that forbids (rate 0).
#include "govern/demand.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "govern/limiter.h"

#define KEY_BYTES 2048 // longer keys are cut: all labels but team names are bounded far below

size_t demand_most(const struct policy *policy)
{
	return N_RESOURCES * (2 * policy->n_limits + 1);
}

static const char *text_or_empty(const char *text)
{
	return text ? text : "";
}

static const char *label_of(const struct ask *ask, enum key_label label)
{
	switch (label) {
	case KEY_API_KEY:
		return text_or_empty(ask->api_key);
	case KEY_ORGANIZATION:
		return text_or_empty(ask->organization);
	case KEY_PROJECT:
		return text_or_empty(ask->project);
	case KEY_MODEL:
		return text_or_empty(ask->model);
	case KEY_TEAM:
		return ask->team ? ask->team->name : "";
	case KEY_USER:
		return text_or_empty(ask->user);
	case KEY_PROVIDER:
		return text_or_empty(ask->provider);
	}
	return "";
}

static bool glob_matches(const char *glob, const char *text)
{
	return !glob || !fnmatch(glob, text_or_empty(text), 0);
}

static bool limit_matches(const struct limit *limit, const struct ask *ask)
{
	const struct match *match = &limit->match;

	return glob_matches(match->provider, ask->provider) &&
	       glob_matches(match->model, ask->model) &&
	       glob_matches(match->team, label_of(ask, KEY_TEAM)) &&
	       glob_matches(match->endpoint, ask->endpoint) &&
	       glob_matches(match->api_key, ask->api_key) &&
	       glob_matches(match->organization, ask->organization) &&
	       glob_matches(match->user, ask->user);
}

static void key_of(const struct limit *limit, const struct ask *ask, char key[KEY_BYTES])
{
	size_t used = 0;

	key[0] = '\0';
	for (size_t i = 0; i < limit->n_keys; i++) {
		const char *label = label_of(ask, limit->keys[i]);
		size_t n = strlen(label);

		if (used + n + 2 > KEY_BYTES)
			return;
		if (i)
			key[used++] = ',';
		memcpy(key + used, label, n + 1);
		used += n;
	}
}

struct demand {
	struct governor *g;
	const struct ask *ask;
	uint64_t now_ns;
	size_t n_draws;
	const char *denied_by;
};

// Adds one limiter's draw, if the policy has that rate at all.
static int add(struct demand *d, const struct limiter_id *id)
{
	double amount = id->resource == RESOURCE_REQUESTS ? d->ask->requests : d->ask->tokens;
	double capacity = limiter_capacity(id);

	if (capacity < 0)
		return 0;
	if (capacity == 0)
		d->denied_by = id->kind == LIMITER_LIMIT ? id->limit->name : id->team->name;
	if (d->denied_by || amount <= 0)
		return 0;
	struct limiter *l = limiter_get(d->g, id, d->now_ns);
	if (!l)
		return -ENOMEM;
	if (l->denies && !bucket_admits(&l->bucket, amount, d->now_ns))
		d->denied_by = limiter_denier(l);
	d->g->scratch[d->n_draws++] = (struct draw){.limiter = l, .amount = amount};
	return 0;
}

static int add_limit(struct demand *d, const struct limit *limit)
{
	char key[KEY_BYTES];
	int r = 0;

	key_of(limit, d->ask, key);
	for (int resource = 0; resource < N_RESOURCES && !r; resource++) {
		struct limiter_id id = {LIMITER_LIMIT, resource, limit, NULL, key};

		r = add(d, &id);
		if (r || !d->ask->team)
			continue;
		id.kind = LIMITER_SHARE;
		id.team = d->ask->team;
		r = add(d, &id);
	}
	return r;
}

static int add_team(struct demand *d, const struct team *team)
{
	int r = 0;

	if (team->deny)
		d->denied_by = team->name;
	for (int resource = 0; resource < N_RESOURCES && !r && !d->denied_by; resource++)
		r = add(d, &(struct limiter_id){LIMITER_TEAM, resource, NULL, team, ""});
	return r;
}

int demand_of(struct governor *g, const struct ask *ask, uint64_t now_ns, size_t *ret_n_draws,
	      const char **ret_denied_by)
{
	struct demand d = {.g = g, .ask = ask, .now_ns = now_ns};
	int r = ask->team ? add_team(&d, ask->team) : 0;

	for (size_t i = 0; i < g->policy->n_limits && !r && !d.denied_by; i++)
		if (limit_matches(&g->policy->limits[i], ask))
			r = add_limit(&d, &g->policy->limits[i]);
	*ret_n_draws = d.n_draws;
	*ret_denied_by = d.denied_by;
	return r;
}

static char *append(char **end, const char *text)
{
	char *copy = *end;

	if (!text)
		return NULL;
	*end = stpcpy(copy, text) + 1;
	return copy;
}

static size_t bytes_of(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

struct ask *ask_copy(const struct ask *ask)
{
	struct ask *copy =
		malloc(sizeof(*copy) + bytes_of(ask->provider) + bytes_of(ask->model) +
		       bytes_of(ask->endpoint) + bytes_of(ask->api_key) +
		       bytes_of(ask->organization) + bytes_of(ask->project) + bytes_of(ask->user));
	if (!copy)
		return NULL;
	char *end = (char *)(copy + 1);

	*copy = *ask;
	copy->provider = append(&end, ask->provider);
	copy->model = append(&end, ask->model);
	copy->endpoint = append(&end, ask->endpoint);
	copy->api_key = append(&end, ask->api_key);
	copy->organization = append(&end, ask->organization);
	copy->project = append(&end, ask->project);
	copy->user = append(&end, ask->user);
	return copy;
}
