// What a request is taken to cost. Too low earns a 429, too high wastes the limit.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
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

static void assert_tokens(const struct request *r, double expected)
{
	double tokens = cost_of_request(r, 0).tokens;

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
	assert_true(cost_of_request(&r, 4000).tokens == 28); // the JSON is whole: framing
	r.body_json_whole = false;
	assert_true(cost_of_request(&r, 4000).tokens == 1028);
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
	assert_true(cost_of_request(&r, 0).images == 1);
	r.n = 3;
	assert_true(cost_of_request(&r, 0).images == 3);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chat_counts_text_messages_images_and_max_tokens),
		cmocka_unit_test(a_deployment_s_path_counts_as_the_endpoint),
		cmocka_unit_test(what_is_not_read_yet_counts_as_text),
		cmocka_unit_test(completions_reserve_the_larger_of_n_and_best_of),
		cmocka_unit_test(responses_do_not_count_the_output_cap),
		cmocka_unit_test(embeddings_cost_at_least_one),
		cmocka_unit_test(images_cost_images),
		cmocka_unit_test(the_rest_costs_its_text_and_uploads_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
