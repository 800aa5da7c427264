// If this fails, a question about a request is answered for another request: what it does not say
// is filled in wrongly, or what is wrong with it is not noticed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "config/policy.h"
#include "govern/governor.h"
#include "serve/governed.h"
#include "serve/question.h"

#define S 1000000000ULL

static const char policy_text[] =
	"providers:\n"
	"  - { name: openai, hosts: [api.openai.com], ports: [443] }\n"
	"  - { name: groq, hosts: [api.groq.com], ports: [443] }\n"
	"teams:\n"
	"  - { name: chat, cgroup: /chat.slice }\n"
	"  - { name: ann, user: ann }\n"
	"limits:\n"
	"  - { name: of-openai, match: {provider: openai}, key: [provider], rpm: 100 }\n"
	"  - { name: of-chat, match: {team: chat}, key: [team], tpm: 1000 }\n"
	"  - { name: of-ann, match: {team: ann}, key: [team], budget: $10/day }\n"
	"policies:\n"
	"  - { name: all-in, resource: total_tokens, bucket_capacity: 1e6, interval: 1h }\n"
	"  - { name: large, resource: requests, bucket_capacity: 5, interval: 1h,\n"
	"      match: {estimated_tokens: \"700\"} }\n"
	"  - { name: never, resource: requests, bucket_capacity: 0, interval: 1h,\n"
	"      match: {model: forbidden} }\n";

struct fixture {
	struct policy *policy;
	struct governor *governor;
};

static int prepare(void **state)
{
	static struct fixture fixture;
	char path[] = "/tmp/sluice-question-XXXXXX", *problems = NULL;
	int fd = mkstemp(path);

	assert_true(write(fd, policy_text, strlen(policy_text)) > 0);
	close(fd);
	fixture.policy = policy_load(path, &problems);
	unlink(path);
	if (!fixture.policy)
		fail_msg("%s", problems);
	fixture.governor = governor_new(fixture.policy, S, 0);
	assert_non_null(fixture.governor);
	*state = &fixture;
	return 0;
}

static int clean_up(void **state)
{
	struct fixture *f = *state;

	governor_free(f->governor);
	policy_free(f->policy);
	return 0;
}

static struct json_object *ask(struct fixture *f, const char *text)
{
	struct json_object *question = json_tokener_parse(text), *answer = NULL;
	char *problem = NULL;

	if (question_answer(f->governor, f->policy, question, S, &answer, &problem))
		fail_msg("%s: %s", text, problem ? problem : "no reason");
	json_object_put(question);
	return answer;
}

static const char *text_of(struct json_object *object, const char *key)
{
	return json_object_get_string(json_object_object_get(object, key));
}

// The need for the limit; NULL: it is not met.
static struct json_object *need_of(struct json_object *answer, const char *limit)
{
	struct json_object *needs = json_object_object_get(answer, "needs");

	for (size_t i = 0; i < json_object_array_length(needs); i++) {
		struct json_object *need = json_object_array_get_idx(needs, i);

		if (!strcmp(text_of(need, "policy"), limit))
			return need;
	}
	return NULL;
}

// What it needs of the limit; -1: it does not meet it.
static double amount_of(struct fixture *f, const char *question, const char *limit)
{
	struct json_object *answer = ask(f, question), *need = need_of(answer, limit);
	double amount = need ? json_object_get_double(json_object_object_get(need, "amount")) : -1;

	json_object_put(answer);
	return amount;
}

static void an_empty_question_is_one_request_to_the_first_provider(void **state)
{
	assert_true(amount_of(*state, "{}", "of-openai") == 1);
	assert_true(amount_of(*state, "{}", "of-chat") < 0);
	assert_true(amount_of(*state, "{\"labels\":{\"provider\":\"groq\"}}", "of-openai") < 0);
}

static void a_team_is_named_or_found(void **state)
{
	assert_true(amount_of(*state, "{\"labels\":{\"team\":\"chat\"},\"amounts\":{\"tokens\":7}}",
			      "of-chat") == 7);
	assert_true(amount_of(*state,
			      "{\"labels\":{\"cgroup\":\"/chat.slice/x.service\"},"
			      "\"amounts\":{\"tokens\":7}}",
			      "of-chat") == 7);
	assert_true(amount_of(*state, "{\"labels\":{\"user\":\"ann\"},\"amounts\":{\"cost\":0.25}}",
			      "of-ann") == 0.25);
}

static void amounts_follow_from_each_other(void **state)
{
	assert_true(amount_of(*state, "{\"amounts\":{\"tokens\":700}}", "all-in") == 700);
	assert_true(amount_of(*state, "{\"amounts\":{\"tokens\":700}}", "large") == 1);
	assert_true(amount_of(*state, "{\"amounts\":{\"input_tokens\":30,\"output_tokens\":12}}",
			      "all-in") == 42);
	assert_true(amount_of(*state, "{\"amounts\":{\"total_tokens\":5,\"input_tokens\":30}}",
			      "all-in") == 5);
	// Of gpt-4, which costs 30 and 60 dollars a million.
	assert_true(amount_of(*state,
			      "{\"labels\":{\"team\":\"ann\",\"model\":\"gpt-4\"},"
			      "\"amounts\":{\"input_tokens\":1000,\"output_tokens\":500}}",
			      "of-ann") == 0.06);
}

static void numbers_are_labels_too(void **state)
{
	assert_true(amount_of(*state, "{\"labels\":{\"estimated_tokens\":700}}", "large") == 1);
	assert_true(amount_of(*state, "{\"labels\":{\"http.header.x-unused\":true}}",
			      "of-openai") == 1);
}

static void what_is_forbidden_is_denied(void **state)
{
	struct json_object *answer = ask(*state, "{\"labels\":{\"model\":\"forbidden\"}}");

	assert_string_equal(text_of(answer, "verdict"), "denied");
	assert_string_equal(text_of(answer, "policy"), "never");
	assert_null(text_of(answer, "eta_ms"));
	assert_string_equal(text_of(need_of(answer, "never"), "state"), "forbids");
	json_object_put(answer);
}

static void mistakes_are_named(void **state)
{
	static const struct {
		const char *question, *problem;
	} cases[] = {
		{"[]", "expected an object"},
		{"{\"label\":{}}", "unknown key \"label\"; expected labels, amounts"},
		{"{\"labels\":[]}", "labels: expected an object"},
		{"{\"labels\":{\"tema\":\"x\"}}", "knows no label \"tema\""},
		{"{\"labels\":{\"team\":{}}}", "labels: team: expected a string"},
		{"{\"labels\":{\"team\":\"x\"}}", "has no team \"x\""},
		{"{\"labels\":{\"provider\":\"x\"}}", "has no provider \"x\""},
		{"{\"labels\":{\"api_key\":\"sk-secret\"}}", "labels: api_key: expected"},
		{"{\"amounts\":7}", "amounts: expected an object"},
		{"{\"amounts\":{\"token\":7}}", "unknown resource \"token\"; expected requests,"},
		{"{\"amounts\":{\"tokens\":-1}}", "amounts: tokens: expected a number"},
		{"{\"amounts\":{\"tokens\":\"7\"}}", "amounts: tokens: expected a number"},
		{"{\"amounts\":{\"tokens\":1e16}}", "amounts: tokens: expected a number"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *question = json_tokener_parse(cases[i].question), *answer;
		char *problem = NULL;

		assert_int_equal(
			question_answer(f->governor, f->policy, question, S, &answer, &problem),
			-EINVAL);
		if (!strstr(problem, cases[i].problem))
			fail_msg("%s: %s", cases[i].question, problem);
		assert_null(strstr(problem, "sk-secret"));
		free(problem);
		json_object_put(question);
	}
}

// The bucket of an auto limit holds no one knows how much, and JSON has no infinity.
static void what_is_not_finite_is_null(void **state)
{
	struct fixture *f = *state;
	struct bucket_view view = {
		.policy = "auto",
		.key = "",
		.capacity = INFINITY,
		.level = INFINITY,
		.fill_per_s = INFINITY,
		.interval_ns = 60 * S,
		.shut_ns = UINT64_MAX,
	};
	struct json_object *bucket = governed_bucket(f->policy, &view);
	const char *text = json_object_to_json_string_ext(bucket, JSON_C_TO_STRING_PLAIN);

	assert_string_equal(text, "{\"policy\":\"auto\",\"key\":\"\",\"resource\":\"requests\","
				  "\"capacity\":null,\"level\":null,\"fill_per_s\":null,"
				  "\"fill_amount\":null,\"queued\":0,\"interval_s\":60,"
				  "\"shut_ms\":null,\"learnt\":false}");
	json_object_put(bucket);
}

// A calendar's bucket does not fill little by little, and yet has so much a day.
static void calendars_have_a_rate(void **state)
{
	struct json_object *answer = ask(*state, "{\"labels\":{\"user\":\"ann\"},"
						 "\"amounts\":{\"cost\":0.000001}}");
	struct json_object *need = need_of(answer, "of-ann");

	assert_string_equal(text_of(need, "amount"), "0.000001");
	assert_string_equal(text_of(need, "fill_per_s"), "0");
	assert_string_equal(text_of(need, "fill_amount"), "10");
	assert_string_equal(text_of(need, "interval_s"), "86400");
	json_object_put(answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_question_is_one_request_to_the_first_provider),
		cmocka_unit_test(a_team_is_named_or_found),
		cmocka_unit_test(amounts_follow_from_each_other),
		cmocka_unit_test(numbers_are_labels_too),
		cmocka_unit_test(what_is_forbidden_is_denied),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(what_is_not_finite_is_null),
		cmocka_unit_test(calendars_have_a_rate),
	};

	return cmocka_run_group_tests(tests, prepare, clean_up);
}
