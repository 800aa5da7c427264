// 200,000 damaged requests and responses (fixed seed), fed in random pieces with random gaps and
// repeats. If this fails, a broken or hostile program can crash the daemon, or make it believe what
// cannot be. Build it with -fsanitize=address,undefined to see reads out of bounds.
#include "wire_replay.h"

#define ROUNDS 200000

static const char *const requests[] = {
	"POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: api.openai.com\r\nContent-Type: "
	"application/json\r\n"
	"Authorization: Bearer sk-test\r\nOpenAI-Project: p\r\nContent-Length: 145\r\n\r\n"
	"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
	"\"h\\u00e9\\ud83d\\ude00\"},"
	"{\"type\":\"image_url\"}]}],\"n\":1,\"stream\":true,\"model\":\"gpt-4o\"}"
	"GET /v1/models HTTP/1.1\r\nHost: b\r\n\r\n",
	"POST /v1/embeddings HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: "
	"chunked\r\n"
	"api-key: k\r\nx-user: "
	"me\r\n\r\n14\r\n{\"input\":[[1,2],[3]]\r\n11;x=y\r\n,\"model\":\"m\\n\"}  "
	"\r\n0\r\nT: 1\r\n\r\n"
	"HEAD / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
	"POST /v1/responses HTTP/1.1\r\nContent-Type: application/json\r\nx-user: a\r\n"
	"Content-Length: 67\r\n\r\n"
	"{\"metadata\":{\"team\":\"red\",\"n\":5,\"a\":\"b\"},\"tools\":[{\"a\":[1]}],\"n\":2}",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
};

static const char *const responses[] = {
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	"x-ratelimit-reset-tokens: 6m0s\r\nx-ratelimit-limit-tokens: 30000\r\nContent-Length: "
	"59\r\n\r\n"
	"{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12},\"a\":\"b\"}"
	"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	"14\r\ndata: "
	"{\"choices\":[]}\r\n3\r\n\r\n\n\r\n2e\r\ndata:{\"response\":{\"usage\":{\"input_tokens\":"
	"5}}}\r\n\r\r\n"
	"0\r\n\r\nHTTP/1.1 429 No\r\nretry-after: 2\r\n\r\n{\"error\":{\"code\":\"x\"}}",
	"HTTP/1.1 429 No\r\nContent-Type: application/json\r\nContent-Length: 99\r\n"
	"x-ratelimit-limit-input-images: 5\r\n\r\n"
	"{\"error\":{\"message\":\"on tokens per min (TPM): Please try again in 6m0s.\",\"type\":"
	"\"tokens\",\"code\":1}}",
};

static const char *const snippets[] = {
	"\r\n",
	"\r\n\r\n",
	"\"",
	"\\",
	"\\u",
	"{",
	"}",
	"[",
	"]",
	":",
	",",
	"0",
	"99999999999999999999",
	"Content-Length: 3\r\n",
	"Transfer-Encoding: chunked\r\n",
	"data:",
	"\xff",
	"\xf0\x9f",
	"e+",
	"-",
	"authorization: bearer ",
	"\"model\":",
	"\"messages\":[",
	"\"content\":[{",
	"\"text\":\"",
	"\"metadata\":{\"",
	"again in ",
	" (RPD) ",
};

static uint64_t random_state = 20261101;

static size_t random_below(size_t limit)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (size_t)(random_state >> 33) % limit;
}

// What must hold whatever the bytes are.
static void check_request(void *owner, enum conversation_event event, const struct request *r)
{
	int *stage = owner; // 0: between requests, 1: started, 2: head read, 3: opaque

	switch (event) {
	case REQUEST_STARTED:
		assert_int_equal(*stage, 0);
		*stage = 1;
		break;
	case REQUEST_HEAD:
		assert_int_equal(*stage, 1);
		assert_true(r->begin < r->body_begin && r->body_begin <= r->end);
		*stage = 2;
		break;
	case REQUEST_COMPLETE:
		assert_int_equal(*stage, 2);
		assert_true(r->body_begin + r->body_bytes <= r->end);
		assert_true(r->text_chars <= r->body_bytes && r->images_in <= r->body_bytes);
		assert_true(r->tools_bytes <= r->body_bytes);
		assert_true(!r->is_whole || r->body_hash);
		*stage = 0;
		break;
	default:
		assert_int_equal(event, CONVERSATION_OPAQUE);
		assert_true(*stage < 3);
		*stage = 3;
	}
	if (!r)
		return;
	assert_true(strlen(r->model) < sizeof(r->model) && strlen(r->host) < sizeof(r->host));
	assert_true(strlen(r->api_key) == 0 || strlen(r->api_key) == 16);
}

static void check_response(void *owner, enum conversation_event event, const struct response *r)
{
	int *stage = owner; // 0: between responses, 1: head read, 2: over

	assert_true(*stage < 2);
	if (event == RESPONSE_HEAD)
		assert_true(*stage == 0 && r->status >= 200 && r->status <= 999);
	else if (event == RESPONSE_COMPLETE)
		assert_int_equal(*stage, 1);
	*stage = event == RESPONSE_HEAD ? 1 : event == RESPONSE_COMPLETE ? 0 : 2;
	if (!r)
		return;
	assert_true(strlen(r->error_code) < sizeof(r->error_code));
	assert_true(r->refused_by <= LIMIT_IMAGES && (!r->refused_by_day || r->refused_by));
}

// Damages `text`, of `len` bytes, in place; room for 1024.
static size_t mutate(char *text, size_t len)
{
	for (size_t n = random_below(4); n; n--) {
		size_t at = random_below(len + 1);
		const char *snippet = snippets[random_below(LENGTH(snippets))];
		size_t bytes = strlen(snippet), cut = random_below(12);

		switch (random_below(4)) {
		case 0:
			if (at < len)
				text[at] = (char)random_below(256);
			break;
		case 1:
			if (at < len)
				text[at] ^= (char)(1 << random_below(8));
			break;
		case 2:
			cut = cut < len - at ? cut : len - at;
			memmove(text + at, text + at + cut, len - at - cut);
			len -= cut;
			break;
		case 3:
			memmove(text + at + bytes, text + at, len - at);
			memcpy(text + at, snippet, bytes);
			len += bytes;
		}
	}
	return len;
}

typedef void (*feed_fn)(void *reader, uint64_t at, const void *data, size_t len);
typedef void (*skip_fn)(void *reader, uint64_t at, uint64_t len);

static void feed_in_pieces(void *reader, feed_fn feed, skip_fn lose, const char *text, size_t len)
{
	size_t largest = 1 + random_below(random_below(2) ? 8 : 1024);

	for (size_t at = 0; at < len;) {
		size_t n = 1 + random_below(largest);
		size_t repeat = random_below(16) ? 0 : random_below(at + 1);
		char *copy;

		n = n < len - at ? n : len - at;
		if (!random_below(256)) {
			lose(reader, at, n);
		} else { // an exact copy: the sanitizer sees a read beyond it
			copy = malloc(n + repeat);
			assert_non_null(copy);
			memcpy(copy, text + at - repeat, n + repeat);
			feed(reader, at - repeat, copy, n + repeat);
			free(copy);
		}
		at += n;
	}
}

static void feed_request(void *reader, uint64_t at, const void *data, size_t len)
{
	request_reader_feed(reader, at, data, len);
	request_reader_current(reader);
}

static void skip_request(void *reader, uint64_t at, uint64_t len)
{
	request_reader_skip(reader, at, len);
}

static void feed_response(void *reader, uint64_t at, const void *data, size_t len)
{
	response_reader_feed(reader, at, data, len);
}

static void skip_response(void *reader, uint64_t at, uint64_t len)
{
	response_reader_skip(reader, at, len);
}

static void damaged_requests(void **state)
{
	static const char *const kept[] = {"x-user", "host", NULL};
	char text[1024];

	(void)state;
	for (int round = 0; round < ROUNDS / 2; round++) {
		int stage = 0;
		struct request_reader *reader = request_reader_new(check_request, &stage);

		assert_non_null(reader);
		assert_int_equal(request_reader_keep_headers(reader, kept), 0);
		strcpy(text, requests[random_below(LENGTH(requests))]);
		feed_in_pieces(reader, feed_request, skip_request, text,
			       mutate(text, strlen(text)));
		request_reader_free(reader);
	}
}

static void damaged_responses(void **state)
{
	static const char *const methods[] = {"GET", "POST", "POST", "POST", "HEAD", "CONNECT"};
	char text[1024];

	(void)state;
	for (int round = 0; round < ROUNDS / 2; round++) {
		int stage = 0;
		struct response_reader *reader = response_reader_new(check_response, &stage);

		assert_non_null(reader);
		for (size_t n = random_below(4); n; n--)
			response_reader_expect(reader, methods[random_below(LENGTH(methods))]);
		strcpy(text, responses[random_below(LENGTH(responses))]);
		feed_in_pieces(reader, feed_response, skip_response, text,
			       mutate(text, strlen(text)));
		response_reader_end(reader);
		response_reader_free(reader);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(damaged_requests),
		cmocka_unit_test(damaged_responses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
