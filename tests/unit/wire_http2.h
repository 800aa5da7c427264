// What the tests of HTTP/2 begin with: a connection, and a request as clients of OpenAI send it.
#ifndef SLUICE_TESTS_WIRE_HTTP2_H
#define SLUICE_TESTS_WIRE_HTTP2_H

#include "wire_talk.h"

#define REQUEST_FIELDS                                                                             \
	":method", "POST", ":scheme", "https", ":authority", "API.openai.com:443", ":path",        \
		"/v1/responses?a=b", "content-type", "application/json", "authorization",          \
		"Bearer sk-test", "cookie", "a=b", "x-user", "me"
#define KEY "f3abf2a6cc4f0098" // of sk-test
#define HEAD_SAID "HEAD POST /v1/responses host=api.openai.com key=" KEY
#define BODY "{\"model\":\"m\"}"
#define USAGE "{\"usage\":{\"input_tokens\":5,\"output_tokens\":6}}"
#define OK_FIELDS                                                                                  \
	":status", "200", "content-type", "application/json", "x-ratelimit-limit-tokens", "30000"

// The preface and the client's two SETTINGS: where the first request begins.
#define FIRST (24 + 15 + 9)

static inline struct talk *begun(void)
{
	struct talk *talk = talk_new();

	talk_begin_http2(talk);
	return talk;
}

static inline size_t client_bytes(const struct talk *talk)
{
	size_t sum = 0;

	for (size_t i = 0; i < talk->n_parts; i++)
		sum += talk->parts[i].by == CLIENT ? talk->parts[i].len : 0;
	return sum;
}

// `said`, in which each %zu is to be one of the offsets.
static inline void expect_at(struct talk *talk, const char *said, size_t first, size_t second)
{
	char text[4096];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), said, first, second);
#pragma GCC diagnostic pop
	talk_expect(talk, text);
}

#define STARTED_1 "1 STARTED at=48;1 " HEAD_SAID " length=0;1 COMPLETE bytes=0 x-user=me;"

static inline struct talk *asked_once(void)
{
	struct talk *talk = begun();

	talk_headers(talk, CLIENT, HTTP2_END_STREAM, 1, FIELDS(REQUEST_FIELDS));
	return talk;
}

#endif
