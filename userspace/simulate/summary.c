// Counting, and quantiles by sorting all of the waits: they are exact, and a million take a tenth
// of a second. See summary.h.
#include "simulate/summary.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_of(const struct summary_group *group, const char *workload, const char *team)
{
	if (!group->team != !team || (team && strcmp(group->team, team) != 0))
		return false;
	return !strcmp(group->workload, workload);
}

static struct summary_group *add_group(struct summary *s, const char *workload, const char *team,
				       uint64_t hash)
{
	struct summary_group **groups =
		reallocarray(s->groups, s->n_groups + 1, sizeof(*s->groups));
	struct summary_group *group;

	if (!groups)
		return NULL;
	s->groups = groups;
	group = calloc(1, sizeof(*group));
	if (!group)
		return NULL;
	if (hashtab_insert(&s->index, &group->node, hash)) {
		free(group);
		return NULL;
	}
	group->workload = workload;
	group->team = team;
	return groups[s->n_groups++] = group;
}

static struct summary_group *group_of(struct summary *s, const struct fated *fated)
{
	const char *workload = fated->workload ? fated->workload : "default";
	const char *team = fated->request->team;
	uint64_t hash = hash_text(hash_text(0, workload), team ? team : "");

	for (struct hash_node *node = hashtab_find(&s->index, hash); node;
	     node = hashtab_find_next(node)) {
		struct summary_group *group = container_of(node, struct summary_group, node);

		if (is_of(group, workload, team))
			return group;
	}
	return add_group(s, workload, team, hash);
}

static int add_wait(struct summary_group *group, uint64_t wait_ns)
{
	size_t n = group->count[FATE_ADMITTED];

	if (n == group->room) {
		size_t room = n ? 2 * n : 64;
		uint64_t *waits = reallocarray(group->waits_ns, room, sizeof(*waits));

		if (!waits)
			return -ENOMEM;
		group->waits_ns = waits;
		group->room = room;
	}
	group->waits_ns[n] = wait_ns;
	return 0;
}

static void add_move(struct summary_group *group, const struct fated *fated)
{
	if (fated->moved > 0) {
		group->preempted++;
		group->preempted_tokens += fated->moved;
	} else if (fated->moved < 0) {
		group->delayed++;
		group->delayed_tokens -= fated->moved;
	} else {
		group->on_time++;
		group->on_time_tokens += fated->request->tokens;
	}
}

int summary_add(struct summary *s, const struct fated *fated)
{
	struct summary_group *group = group_of(s, fated);

	if (!group)
		return -ENOMEM;
	if (fated->fate == FATE_ADMITTED) {
		if (add_wait(group, fated->waited_ns))
			return -ENOMEM;
		add_move(group, fated);
	}
	group->count[fated->fate]++;
	s->n_requests++;
	return 0;
}

static int by_length(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int by_name(const void *a, const void *b)
{
	const struct summary_group *x = *(struct summary_group *const *)a;
	const struct summary_group *y = *(struct summary_group *const *)b;
	int order = strcmp(x->workload, y->workload);

	if (order || !x->team || !y->team)
		return order ? order : !!x->team - !!y->team;
	return strcmp(x->team, y->team);
}

void summary_sort(struct summary *s)
{
	if (s->n_groups)
		qsort(s->groups, s->n_groups, sizeof(struct summary_group *), by_name);
	for (size_t i = 0; i < s->n_groups; i++)
		if (s->groups[i]->waits_ns)
			qsort(s->groups[i]->waits_ns, s->groups[i]->count[FATE_ADMITTED],
			      sizeof(uint64_t), by_length);
}

uint64_t summary_count(const struct summary_group *group)
{
	uint64_t count = 0;

	for (enum fate fate = 0; fate < N_FATES; fate++)
		count += group->count[fate];
	return count;
}

uint64_t summary_wait_ns(const struct summary_group *group, double q)
{
	size_t n = group->count[FATE_ADMITTED];
	size_t rank = (size_t)ceil(q * (double)n - 1e-9);

	if (!n)
		return 0;
	return group->waits_ns[rank ? rank - 1 : 0];
}

void summary_free(struct summary *s)
{
	for (size_t i = 0; i < s->n_groups; i++) {
		free(s->groups[i]->waits_ns);
		free(s->groups[i]);
	}
	free(s->groups);
	hashtab_free(&s->index);
	*s = (struct summary){0};
}
