// If this fails, a simulation decides otherwise, or at another time, than the daemon would have.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "simulate/simulate.h"

#define S UINT64_C(1000000000)

static char *names[N_BUILTIN_LABELS] = {
	"provider",      "endpoint",     "model",
	"api_key",       "organization", "project",
	"stream",        "max_tokens",   "estimated_tokens",
	"team",          "cgroup",       "unit",
	"uid",           "user",         "pid",
	"comm",          "exe",          "container",
	"protocol",      "opaque",       "priority",
	"queue_timeout",
};
static struct provider provider = {.name = "openai"};
static struct scheduler scheduler = {
	.priority_label = LABEL_PRIORITY,
	.tokens_label = NO_LABEL,
	.fairness_label = NO_LABEL,
	.others = {.name = "default", .priority = 1, .tokens = -1, .tier = -1},
};
static struct scheduler *schedulers[] = {&scheduler};
static struct zone_offset utc = {0, 0};
static struct zone zone = {"UTC", &utc, 1};

// What a test expects: "id fate t" for each decision, and the last view of the only limit.
struct seen {
	char text[1024];
	struct limit_view limit;
	uint64_t duration_ns;
};

static int on_decided(void *ctx, const struct fated *fated)
{
	static const char *const fates[] = {"admitted", "denied", "timeout", "cancelled"};
	struct seen *seen = ctx;
	size_t used = strlen(seen->text);

	snprintf(seen->text + used, sizeof(seen->text) - used, "%s %s %.3f\n", fated->request->id,
		 fates[fated->fate], (double)fated->at_ns / 1e9);
	assert_true(fated->at_ns - fated->request->at_ns == (int64_t)fated->waited_ns);
	assert_true((fated->fate == FATE_DENIED) == (fated->policy != NULL));
	if (fated->fate == FATE_CANCELLED)
		assert_string_equal(fated->workload, "default");
	return 0;
}

static int on_limit(void *ctx, const struct limit_view *view)
{
	((struct seen *)ctx)->limit = *view;
	return 0;
}

static struct limit limit_of(enum resource resource, double capacity, double fill_amount,
			     uint64_t interval_ns)
{
	return (struct limit){
		.name = "l",
		.resource = resource,
		.capacity = capacity,
		.fill_amount = fill_amount,
		.interval_ns = interval_ns,
		.scheduler = &scheduler,
	};
}

static struct policy policy_of(struct limit *limit)
{
	struct policy policy = {
		.mode = MODE_OBSERVE,
		.max_wait_ns = 600 * S,
		.headroom_ns = S / 4,
		.ageing_ns = 60 * S,
		.zone = &zone,
		.providers = &provider,
		.n_providers = 1,
		.limits = limit,
		.n_limits = 1,
		.schedulers = schedulers,
		.n_schedulers = 1,
		.labels = names,
		.n_labels = N_BUILTIN_LABELS,
	};

	simulate_adapt(&policy);
	return policy;
}

static struct seen play(const struct policy *policy, const char *lines)
{
	static const struct simulation_events events = {.decided = on_decided, .limit = on_limit};
	FILE *in = fmemopen((void *)lines, strlen(lines), "r");
	struct seen seen = {0};
	struct trace trace;
	char *problem = NULL;

	assert_non_null(in);
	if (trace_read(in, "test", policy, &trace, &problem))
		fail_msg("%s", problem);
	assert_int_equal(simulate(policy, &trace, &events, &seen, &seen.duration_ns), 0);
	trace_free(&trace);
	fclose(in);
	return seen;
}

static void who_waits_leaves_when_the_bucket_has_filled(void **state)
{
	struct limit limit = limit_of(RESOURCE_REQUESTS, 1, 1, 10 * S);
	struct policy policy = policy_of(&limit);
	struct seen seen = play(&policy, "{\"t\":1764000000,\"id\":\"a\"}\n"
					 "{\"t\":1764000001,\"id\":\"b\",\"response_s\":7}\n"
					 "{\"t\":1764000001,\"id\":\"c\"}\n");

	(void)state;
	assert_string_equal(seen.text, "a admitted 1764000000.000\n"
				       "b admitted 1764000010.000\n"
				       "c admitted 1764000020.000\n");
	assert_true(seen.duration_ns == 20 * S);
	assert_int_equal(seen.limit.n_offered, 3);
	assert_true(seen.limit.accepted == 3);
	assert_true(seen.limit.saturated_ns == 19 * S);
}

static void usage_corrects_the_estimate_when_the_response_ends(void **state)
{
	struct limit limit = limit_of(RESOURCE_OUTPUT_TOKENS, 100, 1, 3600 * S);
	struct policy policy = policy_of(&limit);
	struct seen seen = play(&policy, "{\"t\":0,\"id\":\"a\",\"output_tokens\":100,"
					 "\"response_s\":5,\"usage\":{\"output_tokens\":40}}\n"
					 "{\"t\":1,\"id\":\"b\",\"output_tokens\":60}\n");

	(void)state;
	assert_string_equal(seen.text, "a admitted 0.000\n"
				       "b admitted 5.000\n");
}

static void a_failed_request_used_nothing(void **state)
{
	struct limit limit = limit_of(RESOURCE_TOTAL_TOKENS, 100, 1, 3600 * S);
	struct policy policy = policy_of(&limit);
	struct seen seen = play(&policy, "{\"t\":0,\"id\":\"a\",\"tokens\":100,\"response_s\":5,"
					 "\"status\":500,\"usage\":{\"output_tokens\":40}}\n"
					 "{\"t\":1,\"id\":\"b\",\"tokens\":100}\n");

	(void)state;
	assert_string_equal(seen.text, "a admitted 0.000\n"
				       "b admitted 5.000\n");
}

static void without_usage_the_estimate_stands(void **state)
{
	struct limit limit = limit_of(RESOURCE_TOTAL_TOKENS, 100, 100, 60 * S);
	struct policy policy = policy_of(&limit);
	struct seen seen = play(&policy, "{\"t\":0,\"id\":\"a\",\"tokens\":100,\"response_s\":5}\n"
					 "{\"t\":1,\"id\":\"b\",\"tokens\":50}\n");

	(void)state;
	assert_string_equal(seen.text, "a admitted 0.000\n"
				       "b admitted 30.000\n");
}

static void a_limit_that_denies_is_named(void **state)
{
	struct limit limit = limit_of(RESOURCE_REQUESTS, 1, 1, 10 * S);
	struct policy policy = policy_of(&limit);
	struct seen seen;

	(void)state;
	limit.over_limit = OVER_LIMIT_DENY;
	seen = play(&policy, "{\"t\":0,\"id\":\"a\"}\n{\"t\":1,\"id\":\"b\"}\n"
			     "{\"t\":10,\"id\":\"c\"}\n");
	assert_string_equal(seen.text, "a admitted 0.000\n"
				       "b denied 1.000\n"
				       "c admitted 10.000\n");
	assert_int_equal(seen.limit.n_denied, 1);
}

static void a_request_waits_no_longer_than_it_may(void **state)
{
	struct limit limit = limit_of(RESOURCE_REQUESTS, 1, 1, 3600 * S);
	struct policy policy = policy_of(&limit);
	struct seen seen;

	(void)state;
	policy.max_wait_ns = 20 * S;
	seen = play(&policy, "{\"t\":0,\"id\":\"a\"}\n{\"t\":1,\"id\":\"b\"}\n");
	assert_string_equal(seen.text, "a admitted 0.000\n"
				       "b timeout 21.000\n");
}

// c gives up behind b; d would have, but leaves before.
static void a_program_that_gives_up_leaves_its_place(void **state)
{
	struct limit limit = limit_of(RESOURCE_REQUESTS, 1, 1, 10 * S);
	struct policy policy = policy_of(&limit);
	struct seen seen = play(&policy, "{\"t\":0,\"id\":\"a\"}\n{\"t\":1,\"id\":\"b\"}\n"
					 "{\"t\":2,\"id\":\"c\",\"cancelled_s\":10.5}\n"
					 "{\"t\":3,\"id\":\"d\",\"cancelled_s\":30}\n");

	(void)state;
	assert_string_equal(seen.text, "a admitted 0.000\n"
				       "b admitted 10.000\n"
				       "c cancelled 12.500\n"
				       "d admitted 20.000\n");
	assert_true(seen.limit.accepted == 3);
}

static void a_calendar_day_begins_by_the_traces_clock(void **state)
{
	struct limit limit = limit_of(RESOURCE_REQUESTS, 1, 1, 86400 * S);
	struct policy policy = policy_of(&limit);
	struct seen seen;

	(void)state;
	limit.calendar = CALENDAR_DAY;
	seen = play(&policy, "{\"t\":1764028700,\"id\":\"a\"}\n"
			     "{\"t\":1764028701.5,\"id\":\"b\"}\n");
	assert_string_equal(seen.text, "a admitted 1764028700.000\n"
				       "b admitted 1764028800.000\n");
}

static void money_is_counted_by_the_price_table(void **state)
{
	static struct price prices[] = {{.model = "gpt-4", .input = 30, .output = 60}};
	struct limit limit = limit_of(RESOURCE_COST, 1, 1, 3600 * S);
	struct policy policy = policy_of(&limit);
	struct seen seen;

	(void)state;
	policy.prices = prices;
	policy.n_prices = 1;
	seen = play(&policy, "{\"t\":0,\"id\":\"a\",\"labels\":{\"model\":\"gpt-4\"},"
			     "\"usage\":{\"input_tokens\":1000,\"output_tokens\":500}}\n"
			     "{\"t\":0,\"id\":\"b\",\"labels\":{\"model\":\"no-price\"},"
			     "\"usage\":{\"input_tokens\":1000,\"output_tokens\":500}}\n");
	assert_true(fabs(seen.limit.accepted - 0.06) < 1e-9);
}

static void nothing_happens_in_an_empty_trace(void **state)
{
	struct limit limit = limit_of(RESOURCE_REQUESTS, 1, 1, 10 * S);
	struct policy policy = policy_of(&limit);
	struct seen seen = play(&policy, "\n");

	(void)state;
	assert_string_equal(seen.text, "");
	assert_true(seen.duration_ns == 0);
	assert_ptr_equal(seen.limit.limit, &limit);
}

// A simulation holds although the file only observes, and its own headroom is kept.
static void a_policy_is_made_fit_for_virtual_time(void **state)
{
	struct policy policy = {.mode = MODE_OBSERVE, .headroom_ns = 250};

	(void)state;
	simulate_adapt(&policy);
	assert_int_equal(policy.mode, MODE_ENFORCE);
	assert_int_equal(policy.headroom_ns, 0);
	policy = (struct policy){.headroom_ns = 250, .headroom_is_given = true};
	simulate_adapt(&policy);
	assert_int_equal(policy.headroom_ns, 250);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_waits_leaves_when_the_bucket_has_filled),
		cmocka_unit_test(usage_corrects_the_estimate_when_the_response_ends),
		cmocka_unit_test(a_failed_request_used_nothing),
		cmocka_unit_test(without_usage_the_estimate_stands),
		cmocka_unit_test(a_limit_that_denies_is_named),
		cmocka_unit_test(a_request_waits_no_longer_than_it_may),
		cmocka_unit_test(a_program_that_gives_up_leaves_its_place),
		cmocka_unit_test(a_calendar_day_begins_by_the_traces_clock),
		cmocka_unit_test(money_is_counted_by_the_price_table),
		cmocka_unit_test(nothing_happens_in_an_empty_trace),
		cmocka_unit_test(a_policy_is_made_fit_for_virtual_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
