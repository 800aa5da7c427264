// A crowd at two limits: teams, workloads, fairness keys and priorities by chance. What views say
// of it is held against what happens. Include after cmocka.h.
#ifndef SLUICE_TESTS_GOVERN_CROWD_H
#define SLUICE_TESTS_GOVERN_CROWD_H

#include "govern/hashtab.h"
#include "govern_world.h"

enum { CROWD = 60, IDS = 512 };

static size_t limit_of[IDS];

static inline uint64_t random_below(uint64_t *seed, uint64_t n)
{
	*seed = hash_mix(*seed, 1);
	return *seed % n;
}

struct expected {
	struct {
		uint64_t id, at_ns;
	} of[CROWD];
	size_t n;
	uint64_t now_ns;
};

static inline void note_expected(void *ctx, const struct waiting_view *view)
{
	struct expected *expected = ctx;

	assert_true(expected->n < CROWD);
	expected->of[expected->n].id = view->id;
	expected->of[expected->n++].at_ns = expected->now_ns + view->eta_ns;
}

// Teams, workloads, fairness keys and priorities at two limits, each with its own requests.
static inline struct world *crowded_world(uint64_t *seed, size_t *ret_user)
{
	struct world *w = world_new();
	struct scheduler *s = &w->schedulers[0];

	*ret_user = world_label(w, "http.header.x-user");
	s->fairness_label = *ret_user;
	world_workload(s, "a", world_equals(w, LABEL_ENDPOINT, "a"), 1);
	world_workload(s, "b", world_equals(w, LABEL_ENDPOINT, "b"), 3);
	world_team(w, "x", 1 + (double)random_below(seed, 5));
	world_team(w, "y", 1);
	world_limit(w, "one", RESOURCE_TOKENS, 600, "one");
	world_limit(w, "one", RESOURCE_REQUESTS, 60, "one");
	world_limit(w, "two", RESOURCE_TOKENS, 6000, "two");
	w->policy.headroom_ns = random_below(seed, 2) * 250 * MS;
	world_begin(w, 0);
	return w;
}

static inline void submit_somebody(struct world *w, uint64_t *seed, size_t user, uint64_t id,
				   uint64_t now_ns)
{
	static const char *const users[] = {"u", "v", NULL}, *const priorities[] = {"2", "7", NULL};
	static const char *const models[] = {"one", "two"}, *const endpoints[] = {"a", "b", "c"};
	size_t limit = (size_t)random_below(seed, 2);
	struct ask ask =
		ASK(w, id, 1 + (double)random_below(seed, 200), {LABEL_MODEL, models[limit]},
		    {LABEL_ENDPOINT, endpoints[random_below(seed, 3)]},
		    {LABEL_PRIORITY, priorities[random_below(seed, 3)]},
		    {user, users[random_below(seed, 3)]});

	limit_of[id % IDS] = limit;
	ask.team = random_below(seed, 3) ? &w->teams[random_below(seed, 2)] : NULL;
	submit(w, ask, now_ns);
}

static inline void empty_both(struct world *w)
{
	for (int i = 0; i < 61; i++)
		submit_model(w, 1000 + (uint64_t)i, "one", 10, 0);
	submit_model(w, 2000, "two", 6000, 0);
	governor_withdraw(w->g, 1060, false, 0);
}

#endif
