// Races: sources of requests that always have more to send than a limit lets through. Who is
// admitted is replaced at once, so what each gets is its share.
//
//	struct race race = {.w = w, .resource = RESOURCE_TOKENS};
//	race_add(&race, (struct source){.team = team, .smallest = 1, .largest = 4000});
//	race_run(&race, 10000);     // admissions
//	race_share(&race, 0);       // of all that was admitted
//
// Include after govern_world.h.
#ifndef SLUICE_TESTS_GOVERN_RACE_H
#define SLUICE_TESTS_GOVERN_RACE_H

#include "govern/hashtab.h"

enum { RACE_SOURCES = 1024, RACE_IDS = 1 << 17, RACE_FIRST_ID = 10 };

struct source {
	const struct team *team;
	struct labelled labels[3];    // label 0 (the provider) with value NULL: none
	double smallest, largest;     // tokens of a request, evenly spread
	size_t backlog;               // how many it has waiting at all times; 0: 5
	double tokens;                // admitted
	uint64_t requests;            // the same
	uint64_t waited_ns, worst_ns; // in all, and at most
};

struct race {
	struct world *w;
	struct source sources[RACE_SOURCES];
	size_t n_sources;
	uint64_t now_ns, last_id;
	struct {
		size_t source;
		double tokens;
	} asked[RACE_IDS];
	uint64_t seed;
};

static inline size_t race_add(struct race *race, struct source source)
{
	assert_true(race->n_sources < RACE_SOURCES);
	if (!source.backlog)
		source.backlog = 5;
	race->sources[race->n_sources] = source;
	return race->n_sources++;
}

static inline uint64_t race_below(struct race *race, uint64_t n)
{
	race->seed = hash_mix(race->seed, 1);
	return race->seed % n;
}

static inline void race_send(struct race *race, size_t i)
{
	struct source *source = &race->sources[i];
	uint64_t id = race->last_id++;
	double spread = source->largest - source->smallest + 1;
	struct ask ask;

	assert_true(id < RACE_IDS);
	race->asked[id].source = i;
	race->asked[id].tokens = source->smallest + (double)race_below(race, (uint64_t)spread);
	ask = world_ask(race->w, id, race->asked[id].tokens, source->labels, 3);
	submit(race->w, of_team(ask, source->team), race->now_ns);
}

// What the buckets hold at first is gone before the race begins.
static inline void race_drain(struct race *race, double requests, double tokens)
{
	struct ask ask = ASK(race->w, 0, tokens);

	ask.amounts[RESOURCE_REQUESTS] = requests;
	assert_int_equal(submit(race->w, ask, race->now_ns), VERDICT_ADMITTED);
	race->last_id = RACE_FIRST_ID;
	for (size_t i = 0; i < race->n_sources; i++)
		for (size_t n = 0; n < race->sources[i].backlog; n++)
			race_send(race, i);
}

static inline void race_run(struct race *race, size_t admissions)
{
	while (admissions--) {
		struct decision d = next_decision(race->w, &race->now_ns);
		size_t i = race->asked[d.id].source;
		struct source *source = &race->sources[i];

		assert_int_equal(d.verdict, VERDICT_ADMITTED);
		governor_settle(race->w->g, d.id, NULL, race->now_ns);
		source->tokens += race->asked[d.id].tokens;
		source->requests++;
		source->waited_ns += d.waited_ns;
		source->worst_ns = d.waited_ns > source->worst_ns ? d.waited_ns : source->worst_ns;
		race_send(race, i);
	}
}

static inline double race_tokens(const struct race *race)
{
	double sum = 0;

	for (size_t i = 0; i < race->n_sources; i++)
		sum += race->sources[i].tokens;
	return sum;
}

static inline double race_share(const struct race *race, size_t i)
{
	return race->sources[i].tokens / race_tokens(race);
}

static inline double race_requests_share(const struct race *race, size_t i)
{
	double sum = 0;

	for (size_t j = 0; j < race->n_sources; j++)
		sum += (double)race->sources[j].requests;
	return (double)race->sources[i].requests / sum;
}

// Jain, Chiu and Hawe (1984): 1 if all have the same, 1/n if one has all.
static inline double race_jain_index(const struct race *race)
{
	double sum = 0, squares = 0;

	for (size_t i = 0; i < race->n_sources; i++) {
		sum += race->sources[i].tokens;
		squares += race->sources[i].tokens * race->sources[i].tokens;
	}
	return sum * sum / ((double)race->n_sources * squares);
}

#endif
