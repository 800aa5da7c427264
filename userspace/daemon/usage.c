// What a request has used, as far as its answer says. Streams often do not say it, and then the
// input is what was expected: characters / 4 and some. How many tokens a model really makes of that
// is learnt from the answers that do say it (a mean, which forgets), so that the sums come out
// right for the others.
#include <string.h>
#include "daemon/daemon.h"

enum { LEAST_ANSWERS = 8 }; // below that nothing is known
#define FORGETTING 0.998    // of each answer: a mean over some 500

static struct yield *yield_of(struct daemon *d, const char *model)
{
	struct yield *oldest = &d->yields[0];

	for (size_t i = 0; i < YIELDS_KEPT; i++) {
		struct yield *yield = &d->yields[i];

		if (!strcmp(yield->model, model))
			return yield;
		if (yield->used_at < oldest->used_at)
			oldest = yield;
	}
	*oldest = (struct yield){.used_at = 0};
	snprintf(oldest->model, sizeof(oldest->model), "%s", model);
	return oldest;
}

// Images and tools are counted otherwise, and what was cut off is not known.
static bool is_plain_text(const struct request *r)
{
	return r->body_json_whole && !r->images_in && !r->tools_bytes && r->text_chars;
}

static void learn(struct yield *yield, double expected, double used)
{
	yield->expected = yield->expected * FORGETTING + expected;
	yield->used = yield->used * FORGETTING + used;
	yield->n_answers++;
}

static bool only_reads(const struct request *r)
{
	return !strcmp(r->method, "GET") || !strcmp(r->method, "HEAD");
}

void exchange_usage(struct daemon *d, const struct exchange *exchange, const struct response *r,
		    double used[N_RESOURCES])
{
	const struct request *request = &exchange->request;
	bool is_ok = r->status < 400 && is_plain_text(request) && request->model[0];
	struct yield *yield = is_ok ? yield_of(d, request->model) : NULL;

	memcpy(used, exchange->amounts, sizeof(exchange->amounts));
	if (only_reads(request)) // a finished response that is asked for again says its usage, too
		return;
	if (yield)
		yield->used_at = ++d->n_yields_used;
	if (yield && r->tokens_in == RESPONSE_ABSENT && yield->n_answers >= LEAST_ANSWERS)
		used[RESOURCE_INPUT_TOKENS] *= yield->used / yield->expected;
	cost_of_usage(r, exchange_price(d, exchange), used);
}

void exchange_learn_usage(struct daemon *d, const struct exchange *exchange,
			  const struct response *r)
{
	const struct request *request = &exchange->request;
	double expected = exchange->amounts[RESOURCE_INPUT_TOKENS];

	if (r->status < 400 && r->tokens_in != RESPONSE_ABSENT && is_plain_text(request) &&
	    request->model[0] && expected > 0 && !only_reads(request))
		learn(yield_of(d, request->model), expected, (double)r->tokens_in);
}
