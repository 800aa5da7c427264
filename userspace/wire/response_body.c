// Bodies of responses, see response_body.h.
#include "wire/response_body.h"

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
	NULL,
};

static void read_usage(struct response *r, unsigned char key, const char *number)
{
	uint64_t *field = NULL;

	if (key == KEY_PROMPT_TOKENS || key == KEY_INPUT_TOKENS)
		field = &r->tokens_in;
	else if (key == KEY_COMPLETION_TOKENS || key == KEY_OUTPUT_TOKENS)
		field = &r->tokens_out;
	if (field)
		text_parse_u64(number, field);
}

// Some providers give the code as a number.
static void read_error(struct response *r, unsigned char key, const struct json_scanner *json)
{
	if (key == KEY_CODE)
		text_copy(r->error_code, sizeof(r->error_code), json->text, json->text_bytes);
	else if (key == KEY_TYPE)
		text_copy(r->error_type, sizeof(r->error_type), json->text, json->text_bytes);
}

static void on_json(void *owner, const struct json_scanner *json, enum json_event event)
{
	struct response_body *body = owner;
	const unsigned char *path = json->path;
	unsigned int depth = json->depth;

	if (body->response->is_event_stream && depth == 0 && event == JSON_OBJECT_BEGIN)
		body->response->stream_events++;
	if (body->response->is_event_stream && depth == 3 && path[0] == KEY_RESPONSE) {
		path++;
		depth--;
	}
	if (depth != 2 || (event != JSON_STRING && event != JSON_NUMBER))
		return;
	if (path[0] == KEY_USAGE && event == JSON_NUMBER)
		read_usage(body->response, path[1], json->text);
	else if (path[0] == KEY_ERROR)
		read_error(body->response, path[1], json);
}

// Data lines of one event are joined by newlines, which are white space to JSON. Servers that leave
// out the blank line between events are understood as well: a whole document ends an event.
static void on_data_begin(void *owner)
{
	struct response_body *body = owner;

	if (!json_scanner_feed(&body->json, "\n", 1) && body->json.depth)
		return;
	json_scanner_reset(&body->json);
}

static void on_data(void *owner, const char *bytes, size_t len)
{
	struct response_body *body = owner;

	json_scanner_feed(&body->json, bytes, len); // "[DONE]" is not JSON, and that is fine
}

static void on_event_end(void *owner)
{
	struct response_body *body = owner;

	json_scanner_reset(&body->json);
}

static const struct sse_callbacks sse_callbacks = {on_data_begin, on_data, on_event_end};

void response_body_init(struct response_body *body, struct response *response)
{
	*body = (struct response_body){.response = response};
	json_scanner_init(&body->json, keys, on_json, body);
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
	json_scanner_reset(&body->json);
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
