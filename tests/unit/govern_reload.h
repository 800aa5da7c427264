// A governor that runs one policy and is given another, with what the daemon remembers of the
// requests that wait. Include after cmocka.h.
#ifndef SLUICE_TESTS_GOVERN_RELOAD_H
#define SLUICE_TESTS_GOVERN_RELOAD_H

#include "govern_world.h"

enum { IDS = 64 };

// What the daemon remembers of the requests that wait. Values of labels are by name: the new policy
// numbers them otherwise.
struct memory {
	struct world *w; // the new policy's
	const char *team;
	struct remembered {
		bool is_gone;
		double tokens;
		const char *model, *user, *review;
	} of[IDS];
};

static inline size_t label_named(const struct world *w, const char *name)
{
	for (size_t i = 0; i < w->policy.n_labels; i++)
		if (!strcmp(w->policy.labels[i], name))
			return i;
	return NO_LABEL;
}

static inline struct ask ask_for(struct memory *memory, uint64_t id)
{
	const struct remembered *of = &memory->of[id];
	struct world *w = memory->w;
	struct ask ask = ASK(w, id, of->tokens, {LABEL_MODEL, of->model},
			     {label_named(w, "http.header.x-user"), of->user},
			     {label_named(w, "http.header.x-review"), of->review});

	for (size_t i = 0; memory->team && i < w->policy.n_teams; i++)
		if (!strcmp(w->teams[i].name, memory->team))
			ask.team = &w->teams[i];
	return ask;
}

static inline bool ask_of(void *ctx, uint64_t id, struct ask *ret)
{
	struct memory *memory = ctx;

	assert_int_equal(ret->id, id);
	assert_true(id < IDS);
	*ret = ask_for(memory, id);
	return !memory->of[id].is_gone;
}

// The running world, and what is remembered of its requests.
struct running {
	struct world *w, *next; // next: the policy after the reload
	struct memory memory;
};

static inline struct running running(void)
{
	return (struct running){.w = world_new(), .next = world_new()};
}

static inline void begin(struct running *r)
{
	world_begin(r->w, 0);
	r->memory.w = r->w;
}

static inline enum verdict ask_running(struct running *r, uint64_t id, struct remembered of,
				       uint64_t now_ns)
{
	r->memory.of[id] = of;
	return submit(r->w, ask_for(&r->memory, id), now_ns);
}

static inline enum verdict ask_tokens(struct running *r, uint64_t id, double tokens,
				      uint64_t now_ns)
{
	return ask_running(r, id, (struct remembered){.tokens = tokens, .model = "m"}, now_ns);
}

static inline void reload(struct running *r, uint64_t now_ns)
{
	r->memory.w = r->next;
	assert_int_equal(governor_reload(r->w->g, &r->next->policy, ask_of, &r->memory, now_ns), 0);
}

static inline void end(struct running *r)
{
	world_free(r->w);
	world_free(r->next);
}

#endif
