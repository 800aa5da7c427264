// Every limit whose selectors match the request applies to it, with one limiter for each
// combination of the limit's key labels. A team's own ceiling in units a minute is one limiter
// more; a ceiling in percent is one more beside each limiter of a limit, with that share of its
// capacity.
//
// Where a key has labels that an opaque request lacks, it might be any key's: it is held against
// the limiter of those that has the least left.
//
// A request that asks for nothing of a resource (no images, say) passes an exhausted limiter of it,
// but not one that forbids (capacity 0).
#include "govern/demand.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config/values.h"
#include "govern/limiter.h"
#include "govern/match.h"

#define KEY_BYTES 2048 // what is more is cut off; that takes more labels than policies have
#define PART_BYTES 255
#define LABEL_AMOUNT_MAX 1e8 // a label says it, and its debt would last for ever

size_t demand_most(const struct policy *policy)
{
	return N_RESOURCES + 2 * policy->n_limits;
}

struct finder {
	struct governor *g;
	const struct ask *ask;
	const char *const *labels; // with the rules applied
	const struct demand_observer *observer;
	bool counts;
	uint64_t now_ns;
	struct demand *ret;
	const struct scheduler *scheduler; // the last one that was asked for
	struct class class;                // … and what came of it
};

// 0 and *ret, or false if the label is absent or no such number.
static bool number_of(const struct finder *f, size_t label, double *ret)
{
	const char *text = label == NO_LABEL ? NULL : f->labels[label];
	char *end;

	if (!text || !*text)
		return false;
	double value = strtod(text, &end);
	if (*end || !isfinite(value))
		return false;
	*ret = value;
	return true;
}

static double clamp(double weight)
{
	return fmin(fmax(weight, CLASS_WEIGHT_MIN), CLASS_WEIGHT_MAX);
}

// Where the request stands in a contest with this scheduler.
static const struct class *class_of(struct finder *f, const struct scheduler *s)
{
	const char *fairness = s->fairness_label == NO_LABEL ? NULL : f->labels[s->fairness_label];
	const struct team *team = f->ask->team;
	const struct workload *workload;
	double priority;

	if (s == f->scheduler) // as for the limit before
		return &f->class;
	f->scheduler = s;
	workload = workload_find(&f->g->workloads, s, f->labels);
	// Values that are no priority are ignored, as Aperture does.
	if (!number_of(f, s->priority_label, &priority) || priority <= 0)
		priority = workload->priority > 0 ? workload->priority : 1;
	if (team && team->priority > 0)
		priority = clamp(priority) * team->priority;
	f->class = (struct class){
		.team = team,
		.workload = workload,
		.fairness = s->fairness_label == NO_LABEL
				    ? 0
				    : hash_text(1, fairness ? fairness : "") | 1,
		.priority = clamp(priority),
		.tier = workload->tier >= 0 ? (unsigned)workload->tier
			: team              ? team->tier
					    : 0,
	};
	return &f->class;
}

// How much of the limit's resource the request takes: of tokens what the label that the scheduler
// names says, else the estimate, else what the workload says, else 1. A blueprint without such a
// label counts requests, each as its workload says.
static struct draw draw_of(struct finder *f, const struct limit *limit)
{
	const struct scheduler *s = limit->scheduler;
	struct draw draw = {.class = *class_of(f, s), .amount = f->ask->amounts[limit->resource]};
	bool has_label = s->tokens_label != NO_LABEL && limit->resource == RESOURCE_TOKENS;
	double of_workload = draw.class.workload->tokens, of_label;

	if (limit->is_blueprint && !has_label) {
		draw.amount = of_workload > 0 ? of_workload : 1;
		draw.is_fixed = true;
	} else if (has_label && number_of(f, s->tokens_label, &of_label) && of_label >= 0) {
		draw.amount = fmin(of_label, LABEL_AMOUNT_MAX);
		draw.is_fixed = s->tokens_label != LABEL_ESTIMATED_TOKENS;
	} else if (draw.amount <= 0 && limit->resource == RESOURCE_TOKENS && of_workload >= 0) {
		draw.amount = of_workload;
		draw.is_fixed = true;
	} else if (draw.amount <= 0 && has_label) {
		draw.amount = 1;
		draw.is_fixed = true;
	}
	return draw;
}

static void set_timeout(struct finder *f, uint64_t timeout_ns)
{
	if (timeout_ns && timeout_ns < f->ret->timeout_ns)
		f->ret->timeout_ns = timeout_ns;
}

struct key {
	char text[KEY_BYTES];
	size_t used, n_parts;
};

// A comma within a part is escaped, so that no value can be read as two and share another's bucket.
// A long one (a path) stands by its hash.
static void add_part(struct key *key, const char *part)
{
	char hash[2 + 16 + 1];

	if (strlen(part) > PART_BYTES) {
		snprintf(hash, sizeof(hash), "#%016" PRIx64, hash_text(0, part));
		part = hash;
	}
	if (key->used + 2 * strlen(part) + 2 > KEY_BYTES)
		return;
	if (key->n_parts++)
		key->text[key->used++] = ',';
	for (; *part; part++) {
		if (*part == ',' || *part == '\\')
			key->text[key->used++] = '\\';
		key->text[key->used++] = *part;
	}
	key->text[key->used] = '\0';
}

// Of an opaque request nothing is known that only its plaintext says.
static bool is_opaque(const struct finder *f)
{
	const char *opaque = f->labels[LABEL_OPAQUE];

	return opaque && !strcmp(opaque, "true");
}

// False: the request lacks a label of it, and passes.
static bool key_of(const struct finder *f, const struct limit *limit, const struct tier_row *row,
		   struct key *key)
{
	key->used = key->n_parts = 0;
	key->text[0] = '\0';
	for (size_t i = 0; i < limit->n_keys; i++) {
		const char *label = f->labels[limit->keys[i]];

		if (!label && limit->passes_without_key && limit->keys[i] >= N_BUILTIN_LABELS)
			return false;
		add_part(key, label ? label : "");
	}
	if (row)
		add_part(key, row->model);
	return true;
}

static void observe(const struct finder *f, const struct limiter_id *id, bool forbids,
		    const struct draw *draw)
{
	if (f->observer)
		f->observer->fn(f->observer->ctx, id, forbids, draw);
}

// What comes first is named, however many more there are.
static void deny(struct finder *f, const char *by)
{
	if (!f->ret->denied_by)
		f->ret->denied_by = by;
}

// Adds one limiter's draw, if the policy has that rate at all.
static int add(struct finder *f, const struct limiter_id *id, const struct draw *draw)
{
	double capacity = limiter_terms(f->g, id).capacity;

	if (capacity < 0)
		return 0;
	if (capacity == 0) {
		deny(f, id->kind == LIMITER_LIMIT ? id->limit->name : id->team->name);
		observe(f, id, true, draw);
		return 0;
	}
	if (draw->amount <= 0 && !is_settled_by_usage(id->resource))
		return 0;
	struct limiter *l = is_opaque(f) ? limiter_scarcest(f->g, id, f->now_ns) : NULL;
	if (!l)
		l = limiter_get(f->g, id, f->now_ns);
	if (!l)
		return -ENOMEM;
	if (draw->amount <= 0) {
		f->g->silent[f->ret->n_silent] = *draw;
		f->g->silent[f->ret->n_silent++].limiter = l;
		return 0;
	}
	if (l->denies && !bucket_admits(&l->bucket, draw->amount, f->now_ns))
		deny(f, limiter_denier(l));
	f->g->scratch[f->ret->n_draws] = *draw;
	f->g->scratch[f->ret->n_draws++].limiter = l;
	return 0;
}

static int add_limit(struct finder *f, const struct limit *limit)
{
	struct limit_stats *stats = &f->g->stats[limit - f->g->policy->limits];
	struct draw draw = draw_of(f, limit);
	const struct tier_row *row = NULL;
	struct limiter_id id = {LIMITER_LIMIT, limit->resource, limit, NULL, NULL, -1};
	struct key key;
	int r;

	if (limit->tier) {
		const char *model = f->labels[LABEL_MODEL];

		row = model ? tier_find(limit->tier_rows, limit->n_tier_rows, model) : NULL;
		id.capacity = row ? limiter_tier_capacity(limit, row->model) : -1;
		if (id.capacity < 0)
			return 0;
	}
	if (!key_of(f, limit, row, &key)) {
		stats->n_without_key += f->counts;
		observe(f, &id, false, &draw);
		return 0;
	}
	if (f->counts && draw.amount > 0) {
		stats->offered += draw.amount;
		stats->n_offered++;
	}
	id.key = key.text;
	if (!f->ret->workload)
		f->ret->workload = draw.class.workload;
	set_timeout(f, draw.class.workload->queue_timeout_ns);
	r = add(f, &id, &draw);
	if (!r && f->ret->denied_by)
		stats->n_denied += f->counts;
	if (r || !f->ask->team)
		return r;
	id.kind = LIMITER_SHARE;
	id.team = f->ask->team;
	return add(f, &id, &draw);
}

static int add_team(struct finder *f, const struct team *team)
{
	struct draw draw = {.class = *class_of(f, f->g->policy->schedulers[0])};
	int r = 0;

	if (team->deny)
		deny(f, team->name);
	for (enum resource resource = 0; resource < N_RESOURCES && !r && !f->ret->denied_by;
	     resource++) {
		struct limiter_id id = {LIMITER_TEAM, resource, NULL, team, "", -1};

		draw.amount = f->ask->amounts[resource];
		r = add(f, &id, &draw);
	}
	return r;
}

int demand_of(struct governor *g, const struct ask *ask, bool counts,
	      const struct demand_observer *observer, uint64_t now_ns, struct demand *ret)
{
	const struct policy *policy = g->policy;
	struct finder f = {
		.g = g,
		.ask = ask,
		.labels = rules_apply(&g->rules, policy, ask->labels, counts),
		.observer = observer,
		.counts = counts,
		.now_ns = now_ns,
		.ret = ret,
	};
	struct value_error error;
	uint64_t timeout_ns;

	*ret = (struct demand){.timeout_ns = policy->max_wait_ns};
	if (f.labels[LABEL_QUEUE_TIMEOUT] &&
	    !value_duration(f.labels[LABEL_QUEUE_TIMEOUT], &timeout_ns, &error))
		set_timeout(&f, timeout_ns);
	int r = ask->team ? add_team(&f, ask->team) : 0;
	for (size_t i = 0; i < policy->n_limits && !r; i++) {
		if (ret->denied_by && !observer)
			break;
		if (limit_matches(policy, &policy->limits[i], f.labels))
			r = add_limit(&f, &policy->limits[i]);
	}
	memcpy(g->scratch + ret->n_draws, g->silent, ret->n_silent * sizeof(*g->silent));
	return r;
}
