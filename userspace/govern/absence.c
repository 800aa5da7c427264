#include "govern/absence.h"

#include <stdlib.h>
#include "govern/contest.h"

static void unpin(struct absence *absence)
{
	for (size_t i = 0; i < absence->n_needs; i++) {
		contest_unpin(absence->needs[i].limiter, absence->needs[i].leaf);
		absence->needs[i].limiter->refs--;
	}
	absence->n_needs = 0;
}

static void forget(struct governor *g, struct absence *absence)
{
	unpin(absence);
	TAILQ_REMOVE(&g->absent, absence, by_end);
	hashtab_remove(&g->absences, &absence->node);
	free(absence);
}

static void pin(struct absence *absence, const struct lane *lane)
{
	for (size_t i = 0; i < lane->n_needs; i++) {
		absence->needs[absence->n_needs++] = lane->needs[i];
		contest_pin(lane->needs[i].leaf);
		lane->needs[i].limiter->refs++;
	}
}

void absence_begin(struct governor *g, const struct ticket *t, uint64_t now_ns)
{
	size_t n_needs = t->lane ? t->lane->n_needs : 0;
	struct absence *absence =
		t->retry_key ? calloc(1, sizeof(*absence) + n_needs * sizeof(struct need)) : NULL;

	if (!absence)
		return;
	absence->retry_key = t->retry_key;
	absence->seq = t->seq;
	absence->since_ns = t->since_ns;
	absence->until_ns = now_ns + ABSENCE_NS;
	if (hashtab_insert(&g->absences, &absence->node, hash_mix(1, t->retry_key))) {
		free(absence);
		return;
	}
	if (t->lane)
		pin(absence, t->lane);
	TAILQ_INSERT_TAIL(&g->absent, absence, by_end);
	if (g->absences.count > ABSENCES_KEPT)
		forget(g, TAILQ_FIRST(&g->absent));
}

void absences_expire(struct governor *g, uint64_t now_ns)
{
	struct absence *absence;

	while ((absence = TAILQ_FIRST(&g->absent)) && absence->until_ns <= now_ns)
		forget(g, absence);
}

bool absence_end(struct governor *g, struct ticket *t)
{
	struct absence *absence;
	struct hash_node *node;

	node = t->retry_key ? hashtab_find(&g->absences, hash_mix(1, t->retry_key)) : NULL;
	if (!node)
		return false;
	absence = container_of(node, struct absence, node);
	t->seq = absence->seq;
	t->since_ns = absence->since_ns;
	return true;
}

void absence_over(struct governor *g, const struct ticket *t)
{
	struct hash_node *node =
		t->retry_key ? hashtab_find(&g->absences, hash_mix(1, t->retry_key)) : NULL;

	if (node)
		forget(g, container_of(node, struct absence, node));
}

void absences_unpin(struct governor *g)
{
	struct absence *absence;

	TAILQ_FOREACH (absence, &g->absent, by_end)
		unpin(absence);
}

void absences_free(struct governor *g)
{
	while (!TAILQ_EMPTY(&g->absent))
		forget(g, TAILQ_FIRST(&g->absent));
	hashtab_free(&g->absences);
}
