// What a request is taken to cost. Too low earns a 429 or breaks a budget, too high wastes the
// limit.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <string.h>
#include "govern/cost.h"

static struct request request(const char *method, const char *path)
{
	struct request r = {
		.has_json_body = true,
		.body_json_whole = true,
		.max_tokens = REQUEST_ABSENT,
		.max_completion_tokens = REQUEST_ABSENT,
		.max_output_tokens = REQUEST_ABSENT,
		.n = REQUEST_ABSENT,
		.best_of = REQUEST_ABSENT,
	};
	snprintf(r.method, sizeof(r.method), "%s", method);
	snprintf(r.path, sizeof(r.path), "%s", path);
	return r;
}

static double amount(const struct request *r, uint64_t unread_bytes, enum resource resource)
{
	double amounts[N_RESOURCES];

	cost_of_request(r, unread_bytes, NULL, amounts);
	return amounts[resource];
}

static void assert_tokens(const struct request *r, double expected)
{
	double tokens = amount(r, 0, RESOURCE_TOKENS);

	if (tokens != expected)
		fail_msg("%s costs %f tokens, not %f", r->path, tokens, expected);
}

static void chat_counts_text_messages_images_and_max_tokens(void **state)
{
	(void)state;
	struct request r = request("POST", "/v1/chat/completions");

	r.text_chars = 403;
	r.messages = 3;
	assert_tokens(&r, 105);
	r.images_in = 2;
	assert_tokens(&r, 105 + 1530);
	r.images_in = 0;
	r.max_completion_tokens = 9999;
	assert_tokens(&r, 105);
	r.max_tokens = 50;
	assert_tokens(&r, 155);
	r.n = 4;
	assert_tokens(&r, 305);
	r.messages = 0; // not seen yet: there will be one at least
	assert_tokens(&r, 303);
}

static void a_deployment_s_path_counts_as_the_endpoint(void **state)
{
	(void)state;
	struct request r = request("POST", "/openai/deployments/x/chat/completions");

	r.text_chars = 400;
	r.messages = 1;
	assert_tokens(&r, 103);
}

static void what_is_not_read_yet_counts_as_text(void **state)
{
	(void)state;
	struct request r = request("POST", "/v1/chat/completions");

	r.text_chars = 100;
	r.messages = 1;
	assert_true(amount(&r, 4000, RESOURCE_TOKENS) == 28); // the JSON is whole: framing
	r.body_json_whole = false;
	assert_true(amount(&r, 4000, RESOURCE_TOKENS) == 1028);
}

static void completions_reserve_the_larger_of_n_and_best_of(void **state)
{
	(void)state;
	struct request r = request("POST", "/v1/completions");

	r.text_chars = 40;
	assert_tokens(&r, 11);
	r.input_tokens = 7;
	r.max_tokens = 100;
	assert_tokens(&r, 118);
	r.n = 2;
	r.best_of = 3;
	assert_tokens(&r, 318);
}

static void responses_do_not_count_the_output_cap(void **state)
{
	(void)state;
	struct request r = request("POST", "/v1/responses");

	r.text_chars = 40;
	r.max_output_tokens = 5000;
	assert_tokens(&r, 36);
	r.images_in = 1;
	assert_tokens(&r, 801);
}

static void responses_count_the_output_that_openai_foresees(void **state)
{
	(void)state;
	struct request r = request("POST", "/v1/responses");

	r.text_chars = 40;
	r.tools_bytes = 2; // "[]"
	assert_tokens(&r, 17 + 19);
	r.tools_bytes = 70;
	assert_tokens(&r, 27 + 217);
	strcpy(r.model, "gpt-5-nano");
	assert_tokens(&r, 27 + 496);
	r.tools_bytes = 0;
	assert_tokens(&r, 17 + 217);
	strcpy(r.model, "gpt-5.4-mini");
	assert_tokens(&r, 17 + 163);
	strcpy(r.model, "o4-mini");
	assert_tokens(&r, 17 + 217);
	strcpy(r.model, "gpt-5-chat-latest"); // does not reason
	assert_tokens(&r, 17 + 19);
	strcpy(r.model, "gpt-4o");
	assert_tokens(&r, 17 + 19);
}

static void until_2025_an_absent_cap_counted_16(void **state)
{
	(void)state;
	struct request r = request("POST", "/v1/chat/completions");

	r.text_chars = 40;
	r.messages = 1;
	assert_true(charge_of_request(&r, 0, CHARGE_SINCE_2025) == 13);
	assert_true(charge_of_request(&r, 0, CHARGE_UNTIL_2025) == 29);
	r.n = 2;
	assert_true(charge_of_request(&r, 0, CHARGE_UNTIL_2025) == 45);
	r.max_tokens = 100;
	r.images_in = 1;
	assert_true(charge_of_request(&r, 0, CHARGE_UNTIL_2025) == 213);
}

static const struct price price = {"m", 2, 0.5, 8}; // dollars per million tokens

static void assert_amounts(const double amounts[N_RESOURCES], double input, double output,
			   double dollars)
{
	assert_true(amounts[RESOURCE_INPUT_TOKENS] == input);
	assert_true(amounts[RESOURCE_OUTPUT_TOKENS] == output);
	assert_true(amounts[RESOURCE_TOTAL_TOKENS] == input + output);
	assert_float_equal(amounts[RESOURCE_COST], dollars, 1e-9);
}

// A budget of output tokens or dollars is kept by what is reserved here.
static void a_chat_reserves_its_cap_for_each_answer(void **state)
{
	(void)state;
	struct request r = request("POST", "/v1/chat/completions");
	double amounts[N_RESOURCES];

	r.text_chars = 400;
	r.messages = 2;
	cost_of_request(&r, 0, &price, amounts);
	assert_true(amounts[RESOURCE_REQUESTS] == 1 && amounts[RESOURCE_IMAGES] == 0);
	assert_amounts(amounts, 111, 70, (111 * 2 + 70 * 8) / 1e6);
	r.max_tokens = 50;
	cost_of_request(&r, 0, &price, amounts);
	assert_amounts(amounts, 111, 50, (111 * 2 + 50 * 8) / 1e6);
	r.max_completion_tokens = 1000;
	r.n = 3;
	cost_of_request(&r, 0, &price, amounts);
	assert_amounts(amounts, 111, 3000, (111 * 2 + 3000 * 8) / 1e6);
	cost_of_request(&r, 0, NULL, amounts); // a model whose price is not known
	assert_amounts(amounts, 111, 3000, 0);
}

static void other_endpoints_reserve_what_they_may_write(void **state)
{
	(void)state;
	struct request r = request("POST", "/v1/completions");
	double amounts[N_RESOURCES];

	r.text_chars = 400;
	r.best_of = 3;
	cost_of_request(&r, 0, &price, amounts);
	assert_amounts(amounts, 100, 48, (100 * 2 + 48 * 8) / 1e6);
	strcpy(r.path, "/v1/embeddings");
	cost_of_request(&r, 0, &price, amounts);
	assert_amounts(amounts, 100, 0, 200 / 1e6);
	strcpy(r.path, "/v1/responses");
	strcpy(r.model, "gpt-5");
	cost_of_request(&r, 0, &price, amounts);
	assert_amounts(amounts, 107, 450, (107 * 2 + 450 * 8) / 1e6);
	r.max_output_tokens = 20;
	cost_of_request(&r, 0, &price, amounts);
	assert_amounts(amounts, 107, 20, (107 * 2 + 20 * 8) / 1e6);
	strcpy(r.method, "GET");
	cost_of_request(&r, 0, &price, amounts);
	assert_amounts(amounts, 0, 0, 0);
	assert_true(amounts[RESOURCE_REQUESTS] == 1 && amounts[RESOURCE_TOKENS] == 0);
}

static struct response response(int status)
{
	return (struct response){
		.status = status,
		.tokens_in = RESPONSE_ABSENT,
		.cached_tokens_in = RESPONSE_ABSENT,
		.tokens_out = RESPONSE_ABSENT,
	};
}

#define RESERVED                                                                                   \
	{                                                                                          \
		[RESOURCE_REQUESTS] = 1, [RESOURCE_TOKENS] = 5, [RESOURCE_IMAGES] = 7,             \
		[RESOURCE_INPUT_TOKENS] = 100, [RESOURCE_OUTPUT_TOKENS] = 50,                      \
		[RESOURCE_TOTAL_TOKENS] = 150                                                      \
	}

static void usage_takes_the_place_of_the_estimate(void **state)
{
	(void)state;
	double used[N_RESOURCES] = RESERVED;
	struct response r = response(200);

	r.tokens_in = 1000;
	r.tokens_out = 10;
	cost_of_usage(&r, &price, used);
	assert_amounts(used, 1000, 10, (2000 + 80) / 1e6);
	assert_true(used[RESOURCE_REQUESTS] == 1 && used[RESOURCE_TOKENS] == 5 &&
		    used[RESOURCE_IMAGES] == 7);
	r.cached_tokens_in = 800;
	cost_of_usage(&r, &price, used);
	assert_amounts(used, 1000, 10, (200 * 2 + 800 * 0.5 + 80) / 1e6);
	r.cached_tokens_in = 5000; // nonsense does not earn money
	cost_of_usage(&r, &price, used);
	assert_amounts(used, 1000, 10, (1000 * 0.5 + 80) / 1e6);
	cost_of_usage(&r, &(struct price){"m", 2, 0, 8}, used); // no price for cached input
	assert_amounts(used, 1000, 10, (2000 + 80) / 1e6);
	r = response(200); // embeddings
	r.tokens_in = 30;
	cost_of_usage(&r, &price, used);
	assert_amounts(used, 30, 0, 60 / 1e6);
}

static void without_usage_what_is_known_counts(void **state)
{
	(void)state;
	double encoded[N_RESOURCES] = RESERVED, stream[N_RESOURCES] = RESERVED,
	       error[N_RESOURCES] = RESERVED;
	struct response r = response(200);

	r.is_encoded = true;
	cost_of_usage(&r, &price, encoded);
	assert_amounts(encoded, 100, 50, (200 + 400) / 1e6);
	r = response(200); // or one that broke off
	r.is_event_stream = true;
	r.stream_events = 9;
	cost_of_usage(&r, &price, stream);
	assert_amounts(stream, 100, 9, (200 + 72) / 1e6);
	r = response(429);
	cost_of_usage(&r, &price, error);
	assert_amounts(error, 0, 0, 0);
}

static void embeddings_cost_at_least_one(void **state)
{
	(void)state;
	struct request r = request("POST", "/v1/embeddings");

	r.text_chars = 3;
	assert_tokens(&r, 1);
	r.text_chars = 400;
	r.input_tokens = 5;
	assert_tokens(&r, 105);
}

static void images_cost_images(void **state)
{
	(void)state;
	struct request r = request("POST", "/v1/images/generations");

	r.text_chars = 400;
	assert_tokens(&r, 0);
	assert_true(amount(&r, 0, RESOURCE_IMAGES) == 1);
	r.n = 3;
	assert_true(amount(&r, 0, RESOURCE_IMAGES) == 3);
}

static void the_rest_costs_its_text_and_uploads_nothing(void **state)
{
	(void)state;
	struct request r = request("GET", "/v1/models");

	r.body_bytes = 400;
	assert_tokens(&r, 0);
	r = request("POST", "/v1/moderations");
	r.body_bytes = 400;
	assert_tokens(&r, 100);
	r = request("POST", "/v1/files");
	r.has_json_body = false;
	r.body_bytes = 100000000;
	assert_tokens(&r, 0);
	r = request("", ""); // an opaque connection: only its bytes are known
	r.has_json_body = false;
	r.body_bytes = 400;
	assert_tokens(&r, 100);
}

// Their bytes are no prompt, however many they are: a budget would be spent by a picture.
static void what_is_uploaded_or_done_later_takes_no_tokens(void **state)
{
	static const char *const paths[] = {
		"/v1/batches",
		"/v1/batches/batch_1/cancel",
		"/v1/messages/batches", // Anthropic's
		"/v1/messages/count_tokens",
		"/v1/responses/input_tokens",
		"/v1/files",
		"/v1/uploads/upload_1/complete",
	};
	struct request r;
	double amounts[N_RESOURCES];

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		r = request("POST", paths[i]);
		r.body_bytes = 400;
		cost_of_request(&r, 4000000, &price, amounts);
		assert_true(amounts[RESOURCE_REQUESTS] == 1 && amounts[RESOURCE_TOKENS] == 0);
		assert_amounts(amounts, 0, 0, 0);
	}
	r = request("POST", "/v1/images/edits");
	r.has_json_body = r.body_json_whole = false;
	r.text_chars = 40;
	cost_of_request(&r, 4000000, &price, amounts);
	assert_amounts(amounts, 10, 0, 20 / 1e6);
	r = request("POST", "/openai/deployments/batches/chat/completions");
	r.text_chars = 400;
	assert_tokens(&r, 103);
	r = request("POST", "/v1/batchesque");
	r.body_bytes = 400;
	assert_tokens(&r, 100);
}

// Anthropic counts input when a request arrives; what it may write is reserved for budgets.
static void messages_are_charged_their_input(void **state)
{
	(void)state;
	struct request r = request("POST", "/v1/messages");
	double amounts[N_RESOURCES];

	r.text_chars = 400;
	r.messages = 2;
	r.max_tokens = 1000;
	cost_of_request(&r, 0, &price, amounts);
	assert_true(amounts[RESOURCE_TOKENS] == 111);
	assert_amounts(amounts, 111, 1000, (111 * 2 + 1000 * 8) / 1e6);
	r.tools_bytes = 700;
	r.images_in = 1;
	assert_tokens(&r, 111 + 100 + 765);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chat_counts_text_messages_images_and_max_tokens),
		cmocka_unit_test(a_deployment_s_path_counts_as_the_endpoint),
		cmocka_unit_test(what_is_not_read_yet_counts_as_text),
		cmocka_unit_test(completions_reserve_the_larger_of_n_and_best_of),
		cmocka_unit_test(responses_do_not_count_the_output_cap),
		cmocka_unit_test(responses_count_the_output_that_openai_foresees),
		cmocka_unit_test(until_2025_an_absent_cap_counted_16),
		cmocka_unit_test(a_chat_reserves_its_cap_for_each_answer),
		cmocka_unit_test(other_endpoints_reserve_what_they_may_write),
		cmocka_unit_test(usage_takes_the_place_of_the_estimate),
		cmocka_unit_test(without_usage_what_is_known_counts),
		cmocka_unit_test(embeddings_cost_at_least_one),
		cmocka_unit_test(images_cost_images),
		cmocka_unit_test(the_rest_costs_its_text_and_uploads_nothing),
		cmocka_unit_test(what_is_uploaded_or_done_later_takes_no_tokens),
		cmocka_unit_test(messages_are_charged_their_input),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
