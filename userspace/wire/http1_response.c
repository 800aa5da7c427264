// Responses of HTTP/1.1, see http1.h: framing and headers into `struct response`, the body through
// wire/response_body.c.
#include "wire/http1.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "wire/duration.h"
#include "wire/framing.h"
#include "wire/response_body.h"
#include "wire/text.h"

// Requests sent whose response has not begun. Clients hardly ever pipeline; one that has more than
// this under way is given up rather than misread.
#define MAX_EXPECTED 64

// What of a request's method changes how its response is framed.
enum method { METHOD_OTHER, METHOD_HEAD, METHOD_CONNECT };

struct response_reader {
	response_event_fn fn;
	void *owner;
	struct framing framing;
	struct response response;
	struct response_body body;
	bool is_json;
	bool is_reading_body; // JSON or an event stream, not encoded
	bool is_final;        // not 1xx
	bool is_current;      // between RESPONSE_HEAD and RESPONSE_COMPLETE
	bool is_upgrade;
	uint64_t retry_after_ms[2];           // from retry-after-ms and from retry-after
	unsigned char expected[MAX_EXPECTED]; // enum method, a ring
	unsigned int expected_first, expected_count;
};

enum header {
	HEADER_RETRY_AFTER_MS,
	HEADER_RETRY_AFTER,
	HEADER_PROCESSING_MS,
	HEADER_ORGANIZATION,
	HEADER_CONTENT_TYPE,
	HEADER_CONTENT_ENCODING,
	HEADER_RATELIMIT, // this and all behind it: see families
};

static const struct framing_header wanted[] = {
	[HEADER_RETRY_AFTER_MS] = {"retry-after-ms", false},
	[HEADER_RETRY_AFTER] = {"retry-after", false},
	[HEADER_PROCESSING_MS] = {"openai-processing-ms", false},
	[HEADER_ORGANIZATION] = {"openai-organization", false},
	[HEADER_CONTENT_TYPE] = {"content-type", false},
	[HEADER_CONTENT_ENCODING] = {"content-encoding", false},
	// For each of families: limit, remaining, reset.
	[HEADER_RATELIMIT] = {"x-ratelimit-limit-requests", false},
	{"x-ratelimit-remaining-requests", false},
	{"x-ratelimit-reset-requests", false},
	{"x-ratelimit-limit-tokens", false},
	{"x-ratelimit-remaining-tokens", false},
	{"x-ratelimit-reset-tokens", false},
	{"x-ratelimit-limit-input-images", false},
	{"x-ratelimit-remaining-input-images", false},
	{"x-ratelimit-reset-input-images", false},
	{"x-ratelimit-limit-project-tokens", false},
	{"x-ratelimit-remaining-project-tokens", false},
	{"x-ratelimit-reset-project-tokens", false},
	{NULL, false},
};

static const size_t families[] = {
	offsetof(struct response, requests),
	offsetof(struct response, tokens),
	offsetof(struct response, images),
	offsetof(struct response, project_tokens),
};
_Static_assert(sizeof(wanted) / sizeof(*wanted) ==
		       HEADER_RATELIMIT + 3 * sizeof(families) / sizeof(*families) + 1,
	       "three headers a family");

static void tell(struct response_reader *reader, enum response_event event)
{
	reader->fn(reader->owner, event, &reader->response);
}

static void clear_response(struct response_reader *reader)
{
	static const struct ratelimit_headers absent = {RESPONSE_ABSENT, RESPONSE_ABSENT,
							RESPONSE_ABSENT};

	reader->response = (struct response){
		.requests = absent,
		.tokens = absent,
		.images = absent,
		.project_tokens = absent,
		.retry_after_ms = RESPONSE_ABSENT,
		.processing_ms = RESPONSE_ABSENT,
		.tokens_in = RESPONSE_ABSENT,
		.cached_tokens_in = RESPONSE_ABSENT,
		.tokens_out = RESPONSE_ABSENT,
		.retry_message_ms = RESPONSE_ABSENT,
	};
	reader->retry_after_ms[0] = reader->retry_after_ms[1] = RESPONSE_ABSENT;
	reader->is_json = reader->is_reading_body = false;
	reader->is_final = reader->is_upgrade = reader->is_current = false;
}

static void on_begin(void *owner, uint64_t at)
{
	(void)at;
	clear_response(owner);
}

// `index`: behind HEADER_RATELIMIT.
static void read_ratelimit(struct response *r, size_t index, const char *value)
{
	struct ratelimit_headers *family = (void *)((char *)r + families[index / 3]);

	if (index % 3 == 0)
		text_parse_u64(value, &family->limit);
	else if (index % 3 == 1)
		text_parse_u64(value, &family->remaining);
	else
		duration_parse(value, DURATION_MILLISECOND_NS, &family->reset_ms);
}

// What cannot be understood is as if absent: a Retry-After that is a date, say.
static void on_header(void *owner, size_t index, char *value)
{
	struct response_reader *reader = owner;
	struct response *r = &reader->response;

	text_trim_end(value);
	if (index >= HEADER_RATELIMIT) {
		read_ratelimit(r, index - HEADER_RATELIMIT, value);
		return;
	}
	switch ((enum header)index) {
	case HEADER_PROCESSING_MS:
		text_parse_u64(value, &r->processing_ms);
		break;
	case HEADER_RETRY_AFTER_MS:
		duration_parse(value, DURATION_MILLISECOND_NS, &reader->retry_after_ms[0]);
		break;
	case HEADER_RETRY_AFTER:
		duration_parse(value, DURATION_SECOND_NS, &reader->retry_after_ms[1]);
		break;
	case HEADER_ORGANIZATION:
		text_copy(r->organization, sizeof(r->organization), value, strlen(value));
		break;
	case HEADER_CONTENT_TYPE:
		reader->is_json = text_is_json_type(value);
		value[strcspn(value, "; \t")] = '\0';
		r->is_event_stream = !strcasecmp(value, "text/event-stream");
		break;
	case HEADER_CONTENT_ENCODING:
		r->is_encoded = *value && strcasecmp(value, "identity") != 0;
		break;
	case HEADER_RATELIMIT:
		break;
	}
}

static enum method take_expected(struct response_reader *reader)
{
	enum method method;

	if (!reader->expected_count) // a response nobody asked for: 408 on an idle connection
		return METHOD_OTHER;
	method = reader->expected[reader->expected_first];
	reader->expected_first = (reader->expected_first + 1) % MAX_EXPECTED;
	reader->expected_count--;
	return method;
}

// RFC 9112 section 6.3, first two rules. Asked once for each response, as its head ends.
static bool has_no_body(void *owner, const http_parser *parser)
{
	struct response_reader *reader = owner;
	unsigned int status = parser->status_code;
	enum method method;

	reader->is_upgrade = status == 101;
	reader->is_final = status >= 200;
	if (status < 200 && status != 101)
		return true; // the request still waits for its final response
	method = take_expected(reader);
	if (method == METHOD_CONNECT && status >= 200 && status < 300)
		reader->is_upgrade = true;
	return reader->is_upgrade || method == METHOD_HEAD || status == 204 || status == 304;
}

static void on_head(void *owner, uint64_t body_begin, enum framing_body kind, uint64_t length)
{
	struct response_reader *reader = owner;
	struct response *r = &reader->response;

	(void)body_begin;
	(void)length;
	r->status = reader->framing.parser.status_code;
	r->retry_after_ms = reader->retry_after_ms[0] != RESPONSE_ABSENT
				    ? reader->retry_after_ms[0]
				    : reader->retry_after_ms[1];
	reader->is_reading_body =
		kind != BODY_NONE && !r->is_encoded && (reader->is_json || r->is_event_stream);
	response_body_init(&reader->body, r);
	reader->is_current = reader->is_final && !reader->is_upgrade;
	if (reader->is_current)
		tell(reader, RESPONSE_HEAD);
}

static void on_body(void *owner, const char *bytes, size_t len)
{
	struct response_reader *reader = owner;

	reader->response.body_bytes += len;
	if (reader->is_reading_body)
		response_body_feed(&reader->body, bytes, len);
}

static void on_body_lost(void *owner, uint64_t len)
{
	struct response_reader *reader = owner;

	reader->response.body_bytes += len;
	if (reader->is_reading_body)
		response_body_lost(&reader->body);
}

static bool on_complete(void *owner, uint64_t end)
{
	struct response_reader *reader = owner;

	(void)end;
	if (reader->is_upgrade) {
		tell(reader, RESPONSE_UPGRADED);
		return false;
	}
	if (!reader->is_final)
		return true;
	if (reader->is_reading_body)
		response_body_end(&reader->body);
	reader->is_current = false;
	tell(reader, RESPONSE_COMPLETE);
	return true;
}

static void on_opaque(void *owner)
{
	tell(owner, RESPONSE_OPAQUE);
}

static const struct framing_callbacks callbacks = {
	.type = HTTP_RESPONSE,
	.wanted = wanted,
	.begin = on_begin,
	.header = on_header,
	.has_no_body = has_no_body,
	.head = on_head,
	.body = on_body,
	.body_lost = on_body_lost,
	.complete = on_complete,
	.opaque = on_opaque,
};

struct response_reader *response_reader_new(response_event_fn fn, void *owner)
{
	struct response_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return NULL;
	reader->fn = fn;
	reader->owner = owner;
	clear_response(reader);
	framing_init(&reader->framing, &callbacks, reader);
	return reader;
}

void response_reader_free(struct response_reader *reader)
{
	free(reader);
}

void response_reader_expect(struct response_reader *reader, const char *method)
{
	enum method kind = !strcmp(method, "HEAD")      ? METHOD_HEAD
			   : !strcmp(method, "CONNECT") ? METHOD_CONNECT
							: METHOD_OTHER;

	if (reader->expected_count == MAX_EXPECTED) {
		framing_give_up(&reader->framing);
		return;
	}
	reader->expected[(reader->expected_first + reader->expected_count++) % MAX_EXPECTED] = kind;
}

void response_reader_feed(struct response_reader *reader, uint64_t at, const void *data, size_t len)
{
	framing_feed(&reader->framing, at, data, len);
}

void response_reader_skip(struct response_reader *reader, uint64_t at, uint64_t len)
{
	framing_skip(&reader->framing, at, len);
}

const struct response *response_reader_current(const struct response_reader *reader)
{
	return reader->is_current ? &reader->response : NULL;
}

void response_reader_end(struct response_reader *reader)
{
	framing_end(&reader->framing);
}
