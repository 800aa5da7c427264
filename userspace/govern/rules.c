// Sequences are found by the hash of the label's name and value, 64 bits: two values that share one
// would share a bump, no more. Beyond SEQUENCES_KEPT the one least recently seen is forgotten.
#include "govern/rules.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "govern/match.h"

int rules_init(struct rules *rules, const struct policy *policy)
{
	*rules = (struct rules){0};
	TAILQ_INIT(&rules->by_use);
	rules->labels = calloc(policy->n_labels + 1, sizeof(*rules->labels));
	rules->numbers = calloc(policy->n_rules + 1, sizeof(*rules->numbers));
	if (rules->labels && rules->numbers)
		return 0;
	rules_free(rules);
	return -ENOMEM;
}

static void forget(struct rules *rules, struct sequence *sequence)
{
	TAILQ_REMOVE(&rules->by_use, sequence, by_use);
	hashtab_remove(&rules->sequences, &sequence->node);
	free(sequence);
}

void rules_free(struct rules *rules)
{
	while (!TAILQ_EMPTY(&rules->by_use))
		forget(rules, TAILQ_FIRST(&rules->by_use));
	hashtab_free(&rules->sequences);
	free(rules->labels);
	free(rules->numbers);
	rules->labels = NULL;
	rules->numbers = NULL;
}

static const char *translated(const struct rule *rule, const char *text)
{
	if (!text || !rule->map_from)
		return text;
	for (size_t i = 0; rule->map_from[i]; i++)
		if (!strcmp(rule->map_from[i], text))
			return rule->map_to[i];
	return NULL;
}

// NULL: nothing is known of it, or there is no memory.
static struct sequence *sequence_of(struct rules *rules, uint64_t hash, bool counts)
{
	struct hash_node *node = hashtab_find(&rules->sequences, hash);
	struct sequence *sequence;

	if (node)
		return container_of(node, struct sequence, node);
	sequence = counts ? calloc(1, sizeof(*sequence)) : NULL;
	if (!sequence)
		return NULL;
	if (hashtab_insert(&rules->sequences, &sequence->node, hash)) {
		free(sequence);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&rules->by_use, sequence, by_use);
	if (rules->sequences.count > SEQUENCES_KEPT)
		forget(rules, TAILQ_FIRST(&rules->by_use));
	return sequence;
}

// However many rules look at its sequence, a request counts once.
static double earlier_ones(struct rules *rules, const char *name, const char *value, bool counts)
{
	struct sequence *sequence =
		sequence_of(rules, hash_text(hash_text(0, name), value), counts);

	if (!sequence || !counts)
		return sequence ? (double)sequence->count : 0;
	if (sequence->last != rules->n_counted) {
		sequence->last = rules->n_counted;
		sequence->count++;
		TAILQ_REMOVE(&rules->by_use, sequence, by_use);
		TAILQ_INSERT_TAIL(&rules->by_use, sequence, by_use);
	}
	return (double)(sequence->count - 1);
}

// 1 if it is none.
static double number_in(const char *text)
{
	char *end;

	if (!text || !*text)
		return 1;
	double number = strtod(text, &end);
	return *end ? 1 : number;
}

static void bump(struct rules *rules, const struct policy *policy, size_t index, bool counts)
{
	const struct rule *rule = &policy->rules[index];
	const char *value = rules->labels[rule->for_each];
	double number = number_in(rules->labels[rule->label]);

	if (!value || !isfinite(number))
		return;
	number +=
		fmin(rule->add * earlier_ones(rules, policy->labels[rule->for_each], value, counts),
		     rule->at_most);
	snprintf(rules->numbers[index], NUMBER_TEXT, "%.17g", number);
	rules->labels[rule->label] = rules->numbers[index];
}

const char *const *rules_apply(struct rules *rules, const struct policy *policy,
			       const char *const *given, bool counts)
{
	memcpy(rules->labels, given, policy->n_labels * sizeof(*given));
	rules->n_counted += counts;
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct rule *rule = &policy->rules[i];
		const char *text = rule->value;

		if (!matcher_holds(rule->when, rules->labels))
			continue;
		if (rule->for_each != NO_LABEL) {
			bump(rules, policy, i, counts);
			continue;
		}
		if (rule->from != NO_LABEL)
			text = translated(rule, rules->labels[rule->from]);
		if (!text)
			text = rule->fallback;
		if (text)
			rules->labels[rule->label] = text;
	}
	return rules->labels;
}

void rules_carry(struct rules *rules, struct rules *old)
{
	struct hashtab mine = rules->sequences;

	rules->sequences = old->sequences;
	old->sequences = mine;
	TAILQ_CONCAT(&rules->by_use, &old->by_use, by_use);
	rules->n_counted = old->n_counted;
}
