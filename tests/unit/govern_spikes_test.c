// CodeRabbit's mix (https://fluxninja.com/blog/coderabbit-openai-rate-limits): chats, and reviews
// for paying, trial and open source users, under 40,000 tokens and 200 requests a minute, with
// spikes of twice that. Who is urgent is served at once, the others in order of urgency, and no
// token of the limit is left unused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "govern_world.h"
#include "govern/hashtab.h"

enum { ADMISSIONS = 10000 };

// From 0 to 1.
static double random_part(void)
{
	static uint64_t state = 7;

	state = hash_mix(state, 1);
	return (double)(state % 1000) / 1000;
}

struct stream {
	char *kind, *priority;
	double mean_tokens, share; // of all tokens asked for
	size_t n;
	double waits_s[ADMISSIONS];
};

static struct stream streams[] = {
	{.kind = "chat", .priority = "1000", .mean_tokens = 300, .share = 0.1},
	{.kind = "paid", .priority = "200", .mean_tokens = 1200, .share = 0.3},
	{.kind = "trial", .priority = "100", .mean_tokens = 1200, .share = 0.3},
	{.kind = "oss", .priority = "50", .mean_tokens = 1200, .share = 0.3},
};
enum { STREAMS = 4, SPIKE_S = 600, PAUSE_S = 1200, SPIKES = 3 };

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double quantile(struct stream *s, double q)
{
	qsort(s->waits_s, s->n, sizeof(*s->waits_s), by_value);
	return s->waits_s[(size_t)(q * (double)(s->n - 1))];
}

static void note_wait(size_t stream, uint64_t waited_ns)
{
	struct stream *s = &streams[stream];

	assert_true(s->n < ADMISSIONS);
	s->waits_s[s->n++] = (double)waited_ns / S;
}

static void leave_until(struct world *w, uint64_t *now_ns, uint64_t until_ns)
{
	struct decision d;

	while (governor_next_ns(w->g, *now_ns) <= until_ns) {
		*now_ns = governor_next_ns(w->g, *now_ns);
		while (governor_run(w->g, *now_ns, &d, 1)) {
			assert_int_equal(d.verdict, VERDICT_ADMITTED);
			note_wait(d.id % STREAMS, d.waited_ns);
			governor_settle(w->g, d.id, NULL, *now_ns);
		}
	}
	*now_ns = until_ns;
}

// Arrivals at twice the limit in spikes of ten minutes, then pauses in which the queue empties.
static void send_spikes(struct world *w, uint64_t *now_ns)
{
	double tokens_per_s = 2 * 40000 / 60.0, sent[STREAMS] = {0};
	uint64_t id = STREAMS;

	for (uint64_t tick = 0; tick < SPIKES * (SPIKE_S + PAUSE_S) * 10; tick++) {
		leave_until(w, now_ns, tick * (S / 10));
		if (tick / 10 % (SPIKE_S + PAUSE_S) >= SPIKE_S)
			continue;
		for (size_t i = 0; i < STREAMS; i++) {
			struct stream *s = &streams[i];

			sent[i] += tokens_per_s / 10 * s->share;
			for (; sent[i] >= 0; id += STREAMS) {
				double tokens = s->mean_tokens * (0.5 + random_part());

				sent[i] -= tokens;
				if (submit(w, ASK(w, id + i, tokens, {LABEL_PRIORITY, s->priority}),
					   *now_ns) == VERDICT_QUEUED)
					continue;
				note_wait(i, 0);
				governor_settle(w->g, id + i, NULL, *now_ns);
			}
		}
	}
}

static void note_saturated(void *ctx, const struct limit_view *view)
{
	double *rate = ctx;

	if (view->limit->resource == RESOURCE_TOKENS)
		*rate = view->saturated_accepted / ((double)view->saturated_ns / S);
}

static void coderabbits_mix_is_served_by_urgency(void **state)
{
	struct world *w = world_new();
	double median = 0, rate = 0;
	uint64_t now_ns = 0;

	(void)state;
	world_limit(w, "tokens", RESOURCE_TOKENS, 40000, NULL);
	world_limit(w, "requests", RESOURCE_REQUESTS, 200, NULL);
	world_begin(w, 0);
	send_spikes(w, &now_ns);
	assert_int_equal(governor_waiting(w->g), 0);
	governor_each_limit(w->g, now_ns, note_saturated, &rate);
	print_message("%.2f tokens/s while saturated\n", rate);
	assert_close(rate, 40000 / 60.0, 0.005 * 40000 / 60.0);
	for (size_t i = 0; i < STREAMS; i++) {
		struct stream *s = &streams[i];

		print_message("%s: %zu requests, median wait %.3f s, p95 %.3f s, longest %.3f s\n",
			      s->kind, s->n, quantile(s, 0.5), quantile(s, 0.95), quantile(s, 1));
		assert_true(quantile(s, 0.5) >= median);
		median = quantile(s, 0.5);
	}
	assert_true(quantile(&streams[0], 0.95) < 2);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(coderabbits_mix_is_served_by_urgency),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
