// A scheduler's index has one label, that of the first workload which matches a label by value. Of
// the workloads that match otherwise, only those before the one that was found are tried.
#include "govern/workloads.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "govern/match.h"

#define WILDCARDS "*?[\\"

// The part of a condition that decides, if all it says is that a label has one of some values.
static const struct matcher *by_value(const struct matcher *matcher)
{
	while (matcher && matcher->kind == MATCHER_ALL && matcher->n_children == 1)
		matcher = &matcher->children[0];
	if (!matcher || (matcher->kind != MATCHER_IN && matcher->kind != MATCHER_GLOB))
		return NULL;
	for (char *const *value = matcher->values; *value; value++)
		if (matcher->kind == MATCHER_GLOB && (!**value || strpbrk(*value, WILDCARDS)))
			return NULL;
	return matcher;
}

static size_t count_values(const struct scheduler *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_workloads; i++) {
		const struct matcher *matcher = by_value(s->workloads[i].match);

		for (char *const *value = matcher ? matcher->values : NULL; value && *value;
		     value++)
			n++;
	}
	return n;
}

static const struct workload_entry *find(const struct workload_index *index, const char *value)
{
	struct hash_node *node = hashtab_find(&index->by_value, hash_text(0, value));

	for (; node; node = hashtab_find_next(node)) {
		const struct workload_entry *entry =
			container_of(node, struct workload_entry, node);

		if (!strcmp(entry->value, value))
			return entry;
	}
	return NULL;
}

static int add_values(struct workload_index *index, const struct matcher *matcher, size_t workload)
{
	for (char *const *value = matcher->values; *value; value++) {
		struct workload_entry *entry = &index->entries[index->by_value.count];

		if (find(index, *value)) // an earlier workload has it
			continue;
		*entry = (struct workload_entry){.value = *value, .workload = workload};
		if (hashtab_insert(&index->by_value, &entry->node, hash_text(0, *value)))
			return -ENOMEM;
	}
	return 0;
}

static int index_init(struct workload_index *index, const struct scheduler *s)
{
	index->label = NO_LABEL;
	index->entries = calloc(count_values(s) + 1, sizeof(*index->entries));
	index->others = calloc(s->n_workloads + 1, sizeof(*index->others));
	if (!index->entries || !index->others)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_workloads; i++) {
		const struct matcher *matcher = by_value(s->workloads[i].match);

		if (matcher && index->label == NO_LABEL)
			index->label = matcher->label;
		if (!matcher || matcher->label != index->label)
			index->others[index->n_others++] = i;
		else if (add_values(index, matcher, i))
			return -ENOMEM;
	}
	return 0;
}

int workloads_init(struct workloads *workloads, const struct policy *policy)
{
	*workloads = (struct workloads){
		policy, calloc(policy->n_schedulers + 1, sizeof(*workloads->indexes))};
	if (!workloads->indexes)
		return -ENOMEM;
	for (size_t i = 0; i < policy->n_schedulers; i++)
		if (index_init(&workloads->indexes[i], policy->schedulers[i]))
			return -ENOMEM;
	return 0;
}

void workloads_free(struct workloads *workloads)
{
	for (size_t i = 0; workloads->indexes && i < workloads->policy->n_schedulers; i++) {
		hashtab_free(&workloads->indexes[i].by_value);
		free(workloads->indexes[i].entries);
		free(workloads->indexes[i].others);
	}
	free(workloads->indexes);
	workloads->indexes = NULL;
}

const struct workload *workload_find(const struct workloads *workloads,
				     const struct scheduler *scheduler, const char *const *labels)
{
	size_t found = scheduler->n_workloads, number = 0;

	while (workloads->policy->schedulers[number] != scheduler)
		number++;
	const struct workload_index *index = &workloads->indexes[number];
	const char *value = index->label == NO_LABEL ? NULL : labels[index->label];
	const struct workload_entry *entry = value ? find(index, value) : NULL;
	if (entry)
		found = entry->workload;
	for (size_t i = 0; i < index->n_others && index->others[i] < found; i++)
		if (matcher_holds(scheduler->workloads[index->others[i]].match, labels))
			found = index->others[i];
	return found < scheduler->n_workloads ? &scheduler->workloads[found] : &scheduler->others;
}
