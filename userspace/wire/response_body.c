// Bodies of responses, see response_body.h.
#include "wire/response_body.h"

#include <string.h>
#include "wire/text.h"

enum key {
	KEY_USAGE = 1,
	KEY_ERROR,
	KEY_RESPONSE,
	KEY_PROMPT_TOKENS,
	KEY_COMPLETION_TOKENS,
	KEY_INPUT_TOKENS,
	KEY_OUTPUT_TOKENS,
	KEY_CODE,
	KEY_TYPE,
	KEY_MESSAGE,
	KEY_PROMPT_TOKENS_DETAILS,
	KEY_INPUT_TOKENS_DETAILS,
	KEY_CACHED_TOKENS,
	KEY_CACHE_CREATION,
	KEY_CACHE_READ,
	KEY_CHOICES,
	KEY_DELTA,
	KEY_TEXT,
	KEY_ROLE,
	KEY_ID,
	KEY_NAME,
	KEY_OBJECT,
};

static const char *const keys[] = {
	[KEY_USAGE - 1] = "usage",
	[KEY_ERROR - 1] = "error",
	[KEY_RESPONSE - 1] = "response",
	[KEY_PROMPT_TOKENS - 1] = "prompt_tokens",
	[KEY_COMPLETION_TOKENS - 1] = "completion_tokens",
	[KEY_INPUT_TOKENS - 1] = "input_tokens",
	[KEY_OUTPUT_TOKENS - 1] = "output_tokens",
	[KEY_CODE - 1] = "code",
	[KEY_TYPE - 1] = "type",
	[KEY_MESSAGE - 1] = "message",
	[KEY_PROMPT_TOKENS_DETAILS - 1] = "prompt_tokens_details",
	[KEY_INPUT_TOKENS_DETAILS - 1] = "input_tokens_details",
	[KEY_CACHED_TOKENS - 1] = "cached_tokens",
	[KEY_CACHE_CREATION - 1] = "cache_creation_input_tokens",
	[KEY_CACHE_READ - 1] = "cache_read_input_tokens",
	[KEY_CHOICES - 1] = "choices",
	[KEY_DELTA - 1] = "delta",
	[KEY_TEXT - 1] = "text",
	[KEY_ROLE - 1] = "role",
	[KEY_ID - 1] = "id",
	[KEY_NAME - 1] = "name",
	[KEY_OBJECT - 1] = "object",
	NULL,
};

// Where the scanner stands, below the object that says usage and error.
struct place {
	const unsigned char *path;
	unsigned int depth;
};

static struct place place_of(const struct response_body *body)
{
	const struct json_scanner *json = &body->json;

	if (body->response->is_event_stream && json->depth &&
	    (json->path[0] == KEY_RESPONSE || json->path[0] == KEY_MESSAGE))
		return (struct place){json->path + 1, json->depth - 1u};
	return (struct place){json->path, json->depth};
}

// A number of the usage in an event's "message".
static bool is_first_of_message(const struct response_body *body, unsigned char key)
{
	return body->response->is_event_stream && body->json.path[0] == KEY_MESSAGE &&
	       key == KEY_OUTPUT_TOKENS;
}

static void read_cache(struct response_body *body, unsigned char key, const char *number)
{
	struct response *r = body->response;

	text_parse_u64(number,
		       key == KEY_CACHE_READ ? &body->cache_read_in : &body->cache_written_in);
	r->cached_tokens_in = body->cache_read_in;
	if (r->tokens_in != RESPONSE_ABSENT)
		r->tokens_in = body->own_tokens_in + body->cache_read_in + body->cache_written_in;
}

static void read_usage(struct response_body *body, struct place at, const char *number)
{
	struct response *r = body->response;
	uint64_t *field = NULL;
	unsigned char key = at.path[1];

	if (at.depth == 2 && (key == KEY_CACHE_CREATION || key == KEY_CACHE_READ)) {
		read_cache(body, key, number);
		return;
	}
	if (is_first_of_message(body, key)) // Anthropic's message_start: some output is begun
		return;

	if (at.depth == 3 && at.path[2] == KEY_CACHED_TOKENS &&
	    (key == KEY_PROMPT_TOKENS_DETAILS || key == KEY_INPUT_TOKENS_DETAILS))
		field = &r->cached_tokens_in;
	else if (at.depth == 2 && (key == KEY_PROMPT_TOKENS || key == KEY_INPUT_TOKENS))
		field = &r->tokens_in;
	else if (at.depth == 2 && (key == KEY_COMPLETION_TOKENS || key == KEY_OUTPUT_TOKENS))
		field = &r->tokens_out;
	if (field)
		text_parse_u64(number, field);
	if (field == &r->tokens_in && r->tokens_in != RESPONSE_ABSENT) {
		body->own_tokens_in = r->tokens_in;
		r->tokens_in += body->cache_read_in + body->cache_written_in;
	}
}

static bool is_exhausted(const char *name)
{
	static const char *const names[] = {"insufficient_quota", "credit_balance_exhausted",
					    "billing_hard_limit_reached"};
	static const char suffix[] = "_spend_limit_exceeded";
	size_t length = strlen(name);

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(name, names[i]))
			return true;
	return length >= sizeof(suffix) - 1 &&
	       !strcmp(name + length - (sizeof(suffix) - 1), suffix);
}

static void read_type(struct response *r, const struct json_scanner *json)
{
	text_copy(r->error_type, sizeof(r->error_type), json->text, json->text_bytes);
	if (r->refused_by != LIMIT_UNKNOWN) // the message knows better
		return;
	if (!strcmp(r->error_type, "tokens"))
		r->refused_by = LIMIT_TOKENS;
	else if (!strcmp(r->error_type, "requests"))
		r->refused_by = LIMIT_REQUESTS;
	else if (!strcmp(r->error_type, "input-images"))
		r->refused_by = LIMIT_IMAGES;
}

static void read_message(struct response_body *body)
{
	struct response *r = body->response;
	struct refusal *refusal = &body->refusal;

	refusal_end(refusal);
	r->retry_message_ms = refusal->retry_ms;
	if (refusal->limit != LIMIT_UNKNOWN) {
		r->refused_by = refusal->limit;
		r->refused_by_day = refusal->by_day;
	}
	refusal_begin(refusal);
}

// Some providers give the code as a number.
static void read_error(struct response_body *body, unsigned char key, enum json_event event)
{
	struct response *r = body->response;
	const struct json_scanner *json = &body->json;

	if (key == KEY_CODE)
		text_copy(r->error_code, sizeof(r->error_code), json->text, json->text_bytes);
	else if (key == KEY_TYPE)
		read_type(r, json);
	else if (key == KEY_MESSAGE && event == JSON_STRING)
		read_message(body);
	if (key == KEY_CODE || key == KEY_TYPE)
		r->quota_is_exhausted |= is_exhausted(json->text);
}

static bool ends_in_delta(const struct json_scanner *json)
{
	static const char end[] = "delta";
	size_t n = sizeof(end) - 1;

	// message_delta says how a message ends, and holds no piece of it.
	return !json->text_is_cut && json->text_bytes >= n &&
	       !memcmp(json->text + json->text_bytes - n, end, n) &&
	       strcmp(json->text, "message_delta") != 0;
}

// Text of a choice: in choices[].delta, whatever it is called there (content, refusal, arguments of
// a tool's call, reasoning), or in choices[].text.
static bool is_choice_text(const struct json_scanner *json)
{
	unsigned char last = json->path[json->depth - 1];

	if (json->depth < 3 || json->path[0] != KEY_CHOICES || !json->text_bytes)
		return false;
	if (json->path[2] == KEY_TEXT)
		return json->depth == 3;
	return json->depth > 3 && json->path[2] == KEY_DELTA && last != KEY_ROLE &&
	       last != KEY_ID && last != KEY_NAME && last != KEY_TYPE;
}

static void count_delta(struct response_body *body, enum json_event event)
{
	const struct json_scanner *json = &body->json;

	if (json->depth == 0 && event == JSON_OBJECT_BEGIN)
		body->is_delta = false;
	if (event == JSON_STRING && json->depth == 1 && json->path[0] == KEY_TYPE)
		body->is_delta |= ends_in_delta(json);
	else if (event == JSON_STRING && json->depth)
		body->is_delta |= is_choice_text(json);
	if (json->depth == 0 && event == JSON_OBJECT_END)
		body->response->stream_events += body->is_delta;
}

static void on_json(void *owner, const struct json_scanner *json, enum json_event event)
{
	struct response_body *body = owner;
	struct place at = place_of(body);

	if (body->response->is_event_stream)
		count_delta(body, event);
	if (event == JSON_STRING && json->depth == 1 && json->path[0] == KEY_OBJECT)
		body->is_batch = !strcmp(json->text, "batch");
	if (at.depth < 2 || (event != JSON_STRING && event != JSON_NUMBER))
		return;
	if (at.path[0] == KEY_USAGE && event == JSON_NUMBER && !body->is_batch)
		read_usage(body, at, json->text);
	else if (at.path[0] == KEY_ERROR && at.depth == 2)
		read_error(body, at.path[1], event);
}

static void on_piece(void *owner, const struct json_scanner *json, const char *bytes, size_t len)
{
	struct response_body *body = owner;
	struct place at = place_of(body);

	(void)json;
	if (at.depth == 2 && at.path[0] == KEY_ERROR && at.path[1] == KEY_MESSAGE)
		refusal_feed(&body->refusal, bytes, len);
}

static void begin_document(struct response_body *body)
{
	json_scanner_reset(&body->json);
	refusal_begin(&body->refusal);
}

// Data lines of one event are joined by newlines, which are white space to JSON. Servers that leave
// out the blank line between events are understood as well: a whole document ends an event.
static void on_data_begin(void *owner)
{
	struct response_body *body = owner;

	if (!json_scanner_feed(&body->json, "\n", 1) && body->json.depth)
		return;
	begin_document(body);
}

static void on_data(void *owner, const char *bytes, size_t len)
{
	struct response_body *body = owner;

	json_scanner_feed(&body->json, bytes, len); // "[DONE]" is not JSON, and that is fine
}

static void on_event_end(void *owner)
{
	struct response_body *body = owner;

	begin_document(body);
}

static const struct sse_callbacks sse_callbacks = {on_data_begin, on_data, on_event_end};

void response_body_init(struct response_body *body, struct response *response)
{
	*body = (struct response_body){.response = response};
	json_scanner_init(&body->json, keys, on_json, body);
	body->json.piece = on_piece;
	refusal_begin(&body->refusal);
	sse_reader_init(&body->sse, &sse_callbacks, body);
}

void response_body_feed(struct response_body *body, const void *data, size_t len)
{
	if (body->response->is_event_stream)
		sse_reader_feed(&body->sse, data, len);
	else
		json_scanner_feed(&body->json, data, len);
}

void response_body_lost(struct response_body *body)
{
	begin_document(body);
	if (body->response->is_event_stream)
		sse_reader_lost(&body->sse);
	else
		json_scanner_feed(&body->json, "]", 1); // fails it for good
}

void response_body_end(struct response_body *body)
{
	if (!body->response->is_event_stream)
		body->response->body_json_whole = !json_scanner_end(&body->json);
}
