// See response_head.h.
#include "wire/response_head.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include "wire/duration.h"
#include "wire/text.h"

#define ANTHROPIC "anthropic-ratelimit-"
// Both of its times are whole seconds, so they may differ by one although there is next to nothing
// to wait for. Taken for a wait, it would make a window of hours (told_window_s() in
// govern/outcome.c).
#define CLOCK_STEP_MS 1000

enum part { PART_LIMIT, PART_REMAINING, PART_RESET };

// A field that says one number of one family.
static const struct {
	const char *name;
	enum part part;
	size_t family; // offset in struct response
} numbers[] = {
#define FAMILY(suffix, member)                                                                     \
	{"x-ratelimit-limit-" suffix, PART_LIMIT, offsetof(struct response, member)},              \
		{"x-ratelimit-remaining-" suffix, PART_REMAINING,                                  \
		 offsetof(struct response, member)},                                               \
	{                                                                                          \
		"x-ratelimit-reset-" suffix, PART_RESET, offsetof(struct response, member)         \
	}
	FAMILY("requests", requests),
	FAMILY("tokens", tokens),
	FAMILY("input-images", images),
	FAMILY("project-tokens", project_tokens),
	FAMILY("req-minute", requests),
	FAMILY("tokens-minute", tokens),
#undef FAMILY
	{"x-ratelimitbysize-limit-minute", PART_LIMIT, offsetof(struct response, tokens)},
	{"x-ratelimitbysize-remaining-minute", PART_REMAINING, offsetof(struct response, tokens)},
	{"ratelimitbysize-limit", PART_LIMIT, offsetof(struct response, tokens)},
	{"ratelimitbysize-remaining", PART_REMAINING, offsetof(struct response, tokens)},
};
#define N_NUMBERS (sizeof(numbers) / sizeof(*numbers))

static const char *const others[] = {"retry-after-ms",
				     "retry-after",
				     "openai-processing-ms",
				     "openai-organization",
				     "content-type",
				     "content-encoding",
				     "date",
				     "x-request-id",
				     "request-id",
				     NULL};

static const struct ratelimit_headers absent = {RESPONSE_ABSENT, RESPONSE_ABSENT, RESPONSE_ABSENT};

void response_head_init(struct response_head *head, struct response *response)
{
	*head = (struct response_head){
		.response = response,
		.retry_after_ms = {RESPONSE_ABSENT, RESPONSE_ABSENT},
	};
	*response = (struct response){
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
}

static int find_number(const char *name)
{
	for (size_t i = 0; i < N_NUMBERS; i++)
		if (!strcmp(numbers[i].name, name))
			return (int)i;
	return -1;
}

bool response_head_wants(const char *name)
{
	if (!strncmp(name, ANTHROPIC, strlen(ANTHROPIC)) || find_number(name) >= 0)
		return true;
	for (size_t i = 0; others[i]; i++)
		if (!strcmp(others[i], name))
			return true;
	return false;
}

// What cannot be understood is as if absent.
static void read_number(struct ratelimit_headers *family, enum part part, const char *value)
{
	if (part == PART_LIMIT)
		text_parse_u64(value, &family->limit);
	else if (part == PART_REMAINING)
		text_parse_u64(value, &family->remaining);
	else
		duration_parse(value, DURATION_MILLISECOND_NS, &family->reset_ms);
}

// RFC 3339 in UTC, as Anthropic writes it: "2026-11-25T19:47:00Z". 0: it is something else.
static int64_t read_time_ms(const char *value)
{
	struct tm time = {};
	const char *rest = strptime(value, "%Y-%m-%dT%H:%M:%S", &time);

	if (rest && *rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	return rest && !strcasecmp(rest, "Z") ? (int64_t)timegm(&time) * 1000 : 0;
}

// RFC 9110 section 5.6.7.
static int64_t read_date_s(const char *value)
{
	struct tm time = {};
	const char *rest = strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &time);

	return rest && !*rest ? (int64_t)timegm(&time) : 0;
}

// `name` without its prefix: "requests-limit", "input-tokens-reset", …
static void read_anthropic(struct response_head *head, const char *name, const char *value)
{
	struct response *r = head->response;
	bool is_input = !strncmp(name, "input-tokens-", 13);
	bool is_tokens = is_input || !strncmp(name, "tokens-", 7);
	const char *part = strrchr(name, '-');
	struct ratelimit_headers *family = is_tokens ? &r->tokens : &r->requests;

	if ((!is_tokens && strncmp(name, "requests-", 9)) ||
	    (head->has_input_tokens && !is_input && is_tokens))
		return;
	if (is_input && !head->has_input_tokens) { // what "tokens" said before is replaced
		head->has_input_tokens = true;
		*family = absent;
		head->resets_at_ms[1] = 0;
	}
	if (!strcmp(part, "-limit"))
		text_parse_u64(value, &family->limit);
	else if (!strcmp(part, "-remaining"))
		text_parse_u64(value, &family->remaining);
	else if (!strcmp(part, "-reset"))
		head->resets_at_ms[is_tokens] = read_time_ms(value);
}

static void read_content_type(struct response_head *head, char *value)
{
	head->is_json = text_is_json_type(value);
	value[strcspn(value, "; \t")] = '\0';
	head->response->is_event_stream = !strcasecmp(value, "text/event-stream");
}

static void read_content_encoding(struct response_head *head, const char *value)
{
	bool is_encoded = *value && strcasecmp(value, "identity") != 0;

	snprintf(head->content_encoding, sizeof(head->content_encoding), "%s",
		 is_encoded ? value : "");
}

static void read_other(struct response_head *head, const char *name, char *value)
{
	struct response *r = head->response;

	if (!strcmp(name, "retry-after-ms"))
		duration_parse(value, DURATION_MILLISECOND_NS, &head->retry_after_ms[0]);
	else if (!strcmp(name, "retry-after"))
		duration_parse(value, DURATION_SECOND_NS, &head->retry_after_ms[1]);
	else if (!strcmp(name, "openai-processing-ms"))
		text_parse_u64(value, &r->processing_ms);
	else if (!strcmp(name, "openai-organization"))
		text_copy(r->organization, sizeof(r->organization), value, strlen(value));
	else if (!strcmp(name, "x-request-id") || !strcmp(name, "request-id"))
		text_copy(r->request_id, sizeof(r->request_id), value, strlen(value));
	else if (!strcmp(name, "content-type"))
		read_content_type(head, value);
	else if (!strcmp(name, "content-encoding"))
		read_content_encoding(head, value);
	else if (!strcmp(name, "date"))
		head->date_s = read_date_s(value);
}

void response_head_field(struct response_head *head, const char *name, char *value)
{
	int number = find_number(name);

	text_trim_end(value);
	if (number >= 0)
		read_number((void *)((char *)head->response + numbers[number].family),
			    numbers[number].part, value);
	else if (!strncmp(name, ANTHROPIC, strlen(ANTHROPIC)))
		read_anthropic(head, name + strlen(ANTHROPIC), value);
	else
		read_other(head, name, value);
}

void response_head_end(struct response_head *head)
{
	struct response *r = head->response;
	struct ratelimit_headers *families[] = {&r->requests, &r->tokens};

	r->retry_after_ms = head->retry_after_ms[0] != RESPONSE_ABSENT ? head->retry_after_ms[0]
								       : head->retry_after_ms[1];
	for (int i = 0; i < 2 && head->date_s; i++) {
		int64_t wait_ms = head->resets_at_ms[i] - head->date_s * 1000;

		if (head->resets_at_ms[i])
			families[i]->reset_ms = wait_ms > CLOCK_STEP_MS ? (uint64_t)wait_ms : 0;
	}
}
