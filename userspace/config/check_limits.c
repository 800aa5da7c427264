// Limits that would do nothing, or something else than they say: names and numbers that collide,
// capacities below what any request takes, conditions that no team or provider fulfils. See
// check.h.
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/check.h"
#include "config/limits.h"
#include "config/matcher.h"

static const struct place *limit_place(const struct checker *c, size_t i)
{
	return places_find(c->places, &c->policy->limits, i);
}

// The key that the number of a limit stands at: in a `limits:` entry, or in the long forms.
static const char *number_key(const struct place *place, const struct limit *limit)
{
	bool is_day = limit->interval_ns == CALENDAR_DAY_NS;

	if (document_find(place->document, place->node, "bucket_capacity"))
		return "bucket_capacity";
	switch (limit->resource) {
	case RESOURCE_REQUESTS:
		return is_day ? "rpd" : "rpm";
	case RESOURCE_TOKENS:
		return is_day ? "tpd" : "tpm";
	case RESOURCE_IMAGES:
		return "ipm";
	default:
		return "budget";
	}
}

// What the smallest request takes that anyone sends.
static double least_amount(enum resource resource)
{
	switch (resource) {
	case RESOURCE_REQUESTS:
	case RESOURCE_IMAGES:
		return 1;
	case RESOURCE_COST:
		return 0.0001;
	default:
		return 16;
	}
}

static void check_capacities(const struct checker *c)
{
	for (size_t i = 0; i < c->policy->n_limits; i++) {
		const struct limit *limit = &c->policy->limits[i];
		double least = least_amount(limit->resource);

		// What `smooth` leaves is meant to be small: it is refilled as soon.
		if (limit_is_open(limit) || limit->smooth_ns || limit->capacity <= 0 ||
		    limit->capacity >= least)
			continue;
		const struct place *place = limit_place(c, i);
		const char *key = number_key(place, limit);
		check_add(c, place, key,
			  "%s %g of limit %s is less than any request takes; expected at least %g, "
			  "or 0 to forbid",
			  key, limit->capacity, problems_quote(limit->name).text, least);
	}
}

// A limit and the text that two of them have in common if they collide.
struct identity {
	char *text;
	size_t index;
};

static int compare_identities(const void *a, const void *b)
{
	const struct identity *x = a, *y = b;
	int order = strcmp(x->text, y->text);

	return order ? order : (x->index > y->index) - (x->index < y->index);
}

static void print_name(const struct limit *limit, FILE *out)
{
	fprintf(out, "%s %d %" PRIu64, limit->name, limit->resource, limit->interval_ns);
}

// Which requests it counts in which buckets, over which time.
static void print_subject(const struct limit *limit, FILE *out)
{
	fprintf(out, "%d %" PRIu64 " %d", limit->resource, limit->interval_ns, limit->calendar);
	for (size_t i = 0; i < limit->n_keys; i++)
		fprintf(out, " %zu", limit->keys[i]);
	for (size_t i = 0; i < limit->n_selectors; i++) {
		const struct selector *s = &limit->selectors[i];

		fprintf(out, "\n%s\n%s\n", s->control_point ? s->control_point : "",
			s->agent_group ? s->agent_group : "");
		matcher_print(s->match, out);
	}
}

static char *text_of(const struct limit *limit, void (*print)(const struct limit *, FILE *))
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	print(limit, out);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static void check_same_name(const struct checker *c, size_t i, size_t j)
{
	const struct limit *limit = &c->policy->limits[j];
	const struct place *first = limit_place(c, i);

	check_add(c, limit_place(c, j), "name",
		  "duplicate limit %s of %s in the same interval, also at %s:%zu; expected another "
		  "name",
		  problems_quote(limit->name).text, resource_name(limit->resource),
		  place_path(first), place_line(first, "name"));
}

static void check_same_subject(const struct checker *c, size_t i, size_t j)
{
	const struct limit *a = &c->policy->limits[i], *b = &c->policy->limits[j];
	const struct place *place = limit_place(c, j);

	if (limit_is_open(a) || limit_is_open(b) ||
	    (a->capacity == b->capacity && a->fill_amount == b->fill_amount))
		return;
	check_add(
		c, place, number_key(place, b),
		"limit %s gives %g %s where limit %s (%s:%d) gives %g to the same requests in the "
		"same time; expected one of them",
		problems_quote(b->name).text, b->capacity, resource_name(b->resource),
		problems_quote(a->name).text, a->file, a->line, a->capacity);
}

// Calls `collide` for each limit whose text equals that of another before it.
static void check_collisions(const struct checker *c, void (*print)(const struct limit *, FILE *),
			     void (*collide)(const struct checker *, size_t, size_t))
{
	size_t count = c->policy->n_limits;
	CLEANUP_FREE struct identity *sorted = calloc(count + 1, sizeof(*sorted));
	bool is_whole = sorted;

	for (size_t i = 0; is_whole && i < count; i++) {
		sorted[i] = (struct identity){.text = text_of(&c->policy->limits[i], print),
					      .index = i};
		is_whole = sorted[i].text;
	}
	if (is_whole) {
		qsort(sorted, count, sizeof(*sorted), compare_identities);
		for (size_t i = 1; i < count; i++)
			if (strcmp(sorted[i - 1].text, sorted[i].text) == 0)
				collide(c, sorted[i - 1].index, sorted[i].index);
	} else {
		c->problems->out_of_memory = true;
	}
	for (size_t i = 0; sorted && i < count; i++)
		free(sorted[i].text);
}

static bool is_provider(const struct policy *p, const char *glob)
{
	for (size_t i = 0; i < p->n_providers; i++)
		if (fnmatch(glob, p->providers[i].name, 0) == 0)
			return true;
	return false;
}

static bool is_team(const struct policy *p, const char *glob)
{
	for (size_t i = 0; i < p->n_teams; i++)
		if (fnmatch(glob, p->teams[i].name, 0) == 0)
			return true;
	return fnmatch(glob, "", 0) == 0; // those of no team
}

static void check_control_points(const struct checker *c)
{
	const struct policy *p = c->policy;

	for (size_t i = 0; i < p->n_limits; i++)
		for (size_t j = 0; j < p->limits[i].n_selectors; j++) {
			const char *glob = p->limits[i].selectors[j].control_point;

			if (!glob || is_provider(p, glob))
				continue;
			check_add(c, limit_place(c, i), "selectors",
				  "limit %s has control_point %s, and there is no such provider; "
				  "expected \"any\" or the name of a provider, such as %s",
				  problems_quote(p->limits[i].name).text, problems_quote(glob).text,
				  p->providers[0].name);
		}
}

struct condition_check {
	const struct checker *checker;
	const char *what, *name;
};

// Teams and providers are known, so a condition on them that none fulfils is a mistake.
static void check_condition(void *ctx, const struct matcher *matcher)
{
	const struct condition_check *check = ctx;
	const struct checker *c = check->checker;
	bool is_of_team = matcher->label == LABEL_TEAM;

	if ((!is_of_team && matcher->label != LABEL_PROVIDER) ||
	    (matcher->kind != MATCHER_GLOB && matcher->kind != MATCHER_IN))
		return;
	for (char **at = matcher->values; *at; at++) {
		const struct place *place = places_find(c->places, matcher->values, 0);

		if (is_of_team ? is_team(c->policy, *at) : is_provider(c->policy, *at))
			continue;
		if (is_of_team)
			check_add(c, place, NULL,
				  "%s %s matches team %s, and there is none; expected the name of "
				  "a team",
				  check->what, problems_quote(check->name).text,
				  problems_quote(*at).text);
		else
			check_add(c, place, NULL,
				  "%s %s matches provider %s, and there is none; expected the name "
				  "of a provider, such as %s",
				  check->what, problems_quote(check->name).text,
				  problems_quote(*at).text, c->policy->providers[0].name);
	}
}

static void check_conditions(const struct checker *c)
{
	const struct policy *p = c->policy;

	for (size_t i = 0; i < p->n_limits; i++) {
		const struct limit *limit = &p->limits[i];
		struct condition_check check = {c, "limit", limit->name};

		// The limits of one entry have the same match.
		if (i && limit->line == limit[-1].line &&
		    strcmp(limit->name, limit[-1].name) == 0 &&
		    strcmp(limit->file, limit[-1].file) == 0)
			continue;
		for (size_t j = 0; j < limit->n_selectors; j++)
			matcher_each(limit->selectors[j].match, check_condition, &check);
	}
	for (size_t i = 0; i < p->n_schedulers; i++)
		for (size_t j = 0; j < p->schedulers[i]->n_workloads; j++) {
			const struct workload *workload = &p->schedulers[i]->workloads[j];
			struct condition_check check = {c, "workload", workload->name};

			matcher_each(workload->match, check_condition, &check);
		}
	for (size_t i = 0; i < p->n_rules; i++) {
		struct condition_check check = {c, "a rule for", p->labels[p->rules[i].label]};

		matcher_each(p->rules[i].when, check_condition, &check);
	}
}

void check_limits(const struct checker *c)
{
	check_collisions(c, print_name, check_same_name);
	check_collisions(c, print_subject, check_same_subject);
	check_capacities(c);
	check_control_points(c);
	check_conditions(c);
}
