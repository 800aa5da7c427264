// Bodies of requests, see request_body.h. JSON:
//
//     path                                  what stands there
//     model, stream, n, …                   depth 1: facts of their own
//     messages E content                    a string: text; an array: parts
//     metadata K                            a string or number: kept for labels
//     tools, functions                      an array (or object): its bytes count
//     messages E content E {type,text}      a part: text, or an image
//     messages E content E content, … E     as content: a tool's result (Anthropic)
//     messages E content E input …          a tool's call (Anthropic): every string in it is text
//     input                                 a string: text
//     input E                               a string: text; a number: a token; an object: an item
//     input E {type,text}                   an item that is a part by itself (moderations)
//     input E content, … E {type,text}      as in messages
//     input E E                             a number: a token of one of several inputs
//     prompt, prompt E, prompt E E          as input
//     input E output, arguments, input      as content (a tool's result and call)
//     instructions                          a string: text
//     system                                a string: text; an array: parts (Anthropic)
//
// (E: any element of an array. K: any key.)
#include "wire/request_body.h"

#include <stdlib.h>
#include <string.h>
#include "wire/request_form.h"
#include "wire/text.h"

enum key {
	KEY_MESSAGES = 1,
	KEY_PROMPT,
	KEY_INPUT,
	KEY_INSTRUCTIONS,
	KEY_SYSTEM, // the first five own a tally each
	KEY_CONTENT,
	KEY_TEXT,
	KEY_TYPE,
	KEY_MODEL,
	KEY_USER,
	KEY_STREAM,
	KEY_MAX_TOKENS,
	KEY_MAX_COMPLETION_TOKENS,
	KEY_MAX_OUTPUT_TOKENS,
	KEY_N,
	KEY_BEST_OF,
	KEY_SAFETY_IDENTIFIER,
	KEY_METADATA,
	KEY_TOOLS,
	KEY_FUNCTIONS,
	KEY_OUTPUT,
	KEY_ARGUMENTS,
};

static const char *const keys[] = {
	[KEY_MESSAGES - 1] = "messages",
	[KEY_PROMPT - 1] = "prompt",
	[KEY_INPUT - 1] = "input",
	[KEY_INSTRUCTIONS - 1] = "instructions",
	[KEY_SYSTEM - 1] = "system",
	[KEY_CONTENT - 1] = "content",
	[KEY_TEXT - 1] = "text",
	[KEY_TYPE - 1] = "type",
	[KEY_MODEL - 1] = "model",
	[KEY_USER - 1] = "user",
	[KEY_STREAM - 1] = "stream",
	[KEY_MAX_TOKENS - 1] = "max_tokens",
	[KEY_MAX_COMPLETION_TOKENS - 1] = "max_completion_tokens",
	[KEY_MAX_OUTPUT_TOKENS - 1] = "max_output_tokens",
	[KEY_N - 1] = "n",
	[KEY_BEST_OF - 1] = "best_of",
	[KEY_SAFETY_IDENTIFIER - 1] = "safety_identifier",
	[KEY_METADATA - 1] = "metadata",
	[KEY_TOOLS - 1] = "tools",
	[KEY_FUNCTIONS - 1] = "functions",
	[KEY_OUTPUT - 1] = "output",
	[KEY_ARGUMENTS - 1] = "arguments",
	NULL,
};

static bool is_end(enum json_event event)
{
	return event == JSON_OBJECT_END || event == JSON_ARRAY_END;
}

// Of the field in which the scanner stands; NULL outside those five.
static struct request_tally *tally_of(struct request_body *body)
{
	const struct json_scanner *json = &body->json;

	if (!json->depth || json->path[0] < KEY_MESSAGES || json->path[0] > KEY_SYSTEM)
		return NULL;
	return &body->tallies[json->path[0] - KEY_MESSAGES];
}

// Whether the path, behind its first key, is `depth - 1` levels of elements.
static bool is_element(const struct json_scanner *json, unsigned int depth)
{
	if (json->depth != depth)
		return false;
	for (unsigned int i = 1; i < depth; i++)
		if (json->path[i] != JSON_ELEMENT)
			return false;
	return true;
}

static bool is_in_content(const struct json_scanner *json)
{
	if (json->depth < 3 || json->path[1] != JSON_ELEMENT)
		return false;
	// What a tool was called with, and what it gave, in /responses.
	if (json->path[0] == KEY_INPUT &&
	    (json->path[2] == KEY_OUTPUT || json->path[2] == KEY_ARGUMENTS ||
	     json->path[2] == KEY_INPUT))
		return true;
	return (json->path[0] == KEY_MESSAGES || json->path[0] == KEY_INPUT) &&
	       json->path[2] == KEY_CONTENT;
}

// The part that begins or ends at `depth`, the path's first `depth` levels being its own.
static struct request_part *part_at(struct request_body *body, unsigned int depth)
{
	const struct json_scanner *json = &body->json;

	if (depth == 2 && (json->path[0] == KEY_INPUT || json->path[0] == KEY_SYSTEM) &&
	    json->path[1] == JSON_ELEMENT)
		return &body->item;
	if (depth == 4 && is_in_content(json) && json->path[3] == JSON_ELEMENT)
		return &body->part;
	return NULL;
}

// Whether a string where the scanner stands is text of the request by itself (not a part's).
static bool is_text(const struct json_scanner *json)
{
	switch (json->path[0]) {
	case KEY_INSTRUCTIONS:
	case KEY_SYSTEM:
		return json->depth == 1;
	case KEY_PROMPT:
		return is_element(json, 1) || is_element(json, 2);
	case KEY_INPUT:
		if (is_element(json, 1) || is_element(json, 2))
			return true;
		__attribute__((fallthrough));
	case KEY_MESSAGES:
		return json->depth == 3 && is_in_content(json);
	default:
		return false;
	}
}

static bool is_part_text(struct request_body *body)
{
	const struct json_scanner *json = &body->json;

	return json->path[json->depth - 1] == KEY_TEXT && part_at(body, json->depth - 1u);
}

// What a tool was called with or has answered, in the part that is open. OpenAI's parts have no
// such fields.
static bool is_tool_text(const struct json_scanner *json)
{
	if (json->depth < 5 || json->path[0] != KEY_MESSAGES || !is_in_content(json) ||
	    json->path[3] != JSON_ELEMENT)
		return false;
	if (json->path[4] == KEY_INPUT)
		return true;
	return json->path[4] == KEY_CONTENT &&
	       (json->depth == 5 ||
		(json->depth == 7 && json->path[5] == JSON_ELEMENT && json->path[6] == KEY_TEXT));
}

static bool is_tool_part_type(const struct json_scanner *json)
{
	return json->depth == 7 && json->path[0] == KEY_MESSAGES && is_in_content(json) &&
	       json->path[3] == JSON_ELEMENT && json->path[4] == KEY_CONTENT &&
	       json->path[5] == JSON_ELEMENT && json->path[6] == KEY_TYPE;
}

static bool is_image_type(const char *type)
{
	return !strcmp(type, "image_url") || !strcmp(type, "input_image") || !strcmp(type, "image");
}

// A whole number that is not negative, however it is written (16, 16.0, 1.6e1); else
// REQUEST_ABSENT.
static uint64_t number_of(const struct json_scanner *json, enum json_event event)
{
	uint64_t whole;
	double value;

	if (event != JSON_NUMBER || json->text_is_cut)
		return REQUEST_ABSENT;
	if (!text_parse_u64(json->text, &whole))
		return whole;
	value = strtod(json->text, NULL);
	if (!(value >= 0 && value <= 0x1p53)) // beyond it, doubles skip whole numbers
		return REQUEST_ABSENT;
	whole = (uint64_t)value;
	return (double)whole == value ? whole : REQUEST_ABSENT;
}

static void string_of(const struct json_scanner *json, enum json_event event, char *dst,
		      size_t size)
{
	text_copy(dst, size, json->text, event == JSON_STRING ? json->text_bytes : 0);
}

static bool is_tools(const struct json_scanner *json)
{
	return json->path[0] == KEY_TOOLS || json->path[0] == KEY_FUNCTIONS;
}

// A value of the outermost object.
static void read_field(struct request_body *body, enum json_event event)
{
	const struct json_scanner *json = &body->json;
	struct request *r = body->request;

	switch (json->path[0]) {
	case KEY_MODEL:
		string_of(json, event, r->model, sizeof(r->model));
		break;
	case KEY_USER:
		string_of(json, event, r->user, sizeof(r->user));
		break;
	case KEY_STREAM:
		r->stream = event == JSON_TRUE;
		break;
	case KEY_MAX_TOKENS:
		r->max_tokens = number_of(json, event);
		break;
	case KEY_MAX_COMPLETION_TOKENS:
		r->max_completion_tokens = number_of(json, event);
		break;
	case KEY_MAX_OUTPUT_TOKENS:
		r->max_output_tokens = number_of(json, event);
		break;
	case KEY_N:
		r->n = number_of(json, event);
		break;
	case KEY_BEST_OF:
		r->best_of = number_of(json, event);
		break;
	case KEY_SAFETY_IDENTIFIER:
		string_of(json, event, r->safety_identifier, sizeof(r->safety_identifier));
		break;
	case KEY_METADATA:
		request_labels_clear_metadata(body->labels);
		body->metadata_key[0] = '\0';
		break;
	case KEY_TOOLS:
	case KEY_FUNCTIONS:
		body->tools_begin = json->offset;
		r->tools_bytes = 0;
		break;
	}
}

// An object that may be a part begins or ends.
static void read_part_edge(struct request_body *body, struct request_tally *tally,
			   enum json_event event)
{
	struct request_part *part = part_at(body, body->json.depth);

	if (!part)
		return;
	if (event == JSON_OBJECT_END && part->is_image)
		tally->images++;
	else if (event == JSON_OBJECT_END)
		tally->text_chars += part->text_chars;
	*part = (struct request_part){};
}

static void read_string(struct request_body *body, struct request_tally *tally)
{
	const struct json_scanner *json = &body->json;
	struct request_part *part = part_at(body, json->depth - 1u);

	if (is_text(json))
		tally->text_chars += json->code_points;
	else if (is_tool_text(json))
		body->part.text_chars += json->code_points;
	else if (is_tool_part_type(json))
		tally->images += is_image_type(json->text);
	else if (part && json->path[json->depth - 1] == KEY_TEXT)
		part->text_chars = json->code_points;
	else if (part && json->path[json->depth - 1] == KEY_TYPE)
		part->is_image = is_image_type(json->text);
}

// A key that does not fit is not kept: cut, it would pass for another.
static void read_metadata_key(struct request_body *body)
{
	const struct json_scanner *json = &body->json;

	body->metadata_key[0] = '\0';
	if (!json->text_is_cut && json->text_bytes < sizeof(body->metadata_key))
		text_copy(body->metadata_key, sizeof(body->metadata_key), json->text,
			  json->text_bytes);
}

static void read_metadata(struct request_body *body, enum json_event event)
{
	const struct json_scanner *json = &body->json;

	if (event == JSON_KEY)
		read_metadata_key(body);
	else if ((event == JSON_STRING || event == JSON_NUMBER) && body->metadata_key[0])
		request_labels_set_metadata(body->labels, body->metadata_key, json->text,
					    json->text_bytes);
}

static void on_event(void *owner, const struct json_scanner *json, enum json_event event)
{
	struct request_body *body = owner;
	struct request_tally *tally = tally_of(body);

	if (json->depth == 2 && json->path[0] == KEY_METADATA)
		read_metadata(body, event);
	if (event == JSON_KEY)
		return;
	if (json->depth == 1 && !is_end(event)) {
		read_field(body, event);
		if (tally)
			*tally = (struct request_tally){};
	} else if (json->depth == 1 && is_tools(json)) { // the end of them
		body->request->tools_bytes = json->offset + 1 - body->tools_begin;
	}
	if (!tally)
		return;
	if (json->path[0] == KEY_MESSAGES && is_element(json, 2) && !is_end(event))
		tally->messages++;
	if (event == JSON_STRING)
		read_string(body, tally);
	else if (event == JSON_OBJECT_BEGIN || event == JSON_OBJECT_END)
		read_part_edge(body, tally, event);
	else if (event == JSON_NUMBER &&
		 (json->path[0] == KEY_PROMPT || json->path[0] == KEY_INPUT))
		tally->tokens += is_element(json, 2) || is_element(json, 3);
}

// The sums so far. A string or part that is still open counts as what it seems to be: a request is
// decided before its end when it is large, and its text must not look like nothing until then.
static void publish(struct request_body *body)
{
	const struct json_scanner *json = &body->json;
	struct request_tally sum = {};

	for (size_t i = 0; i < REQUEST_TALLIES; i++) {
		sum.text_chars += body->tallies[i].text_chars;
		sum.messages += body->tallies[i].messages;
		sum.images += body->tallies[i].images;
		sum.tokens += body->tallies[i].tokens;
	}
	sum.text_chars += body->item.text_chars + body->part.text_chars;
	if (json->depth && json_scanner_in_string(json) &&
	    (is_text(json) || is_part_text(body) || is_tool_text(json)))
		sum.text_chars += json->code_points;
	if (json->depth > 1 && is_tools(json))
		body->request->tools_bytes = json->offset - body->tools_begin;
	body->request->text_chars = sum.text_chars;
	body->request->messages = sum.messages;
	body->request->images_in = sum.images;
	body->request->input_tokens = sum.tokens;
}

bool request_body_expects_text(const struct request_body *body)
{
	const struct json_scanner *json = &body->json;

	if (body->kind != REQUEST_BODY_JSON || !json->depth)
		return false;
	return !json_scanner_in_string(json) || is_text(json) || is_tool_text(json) ||
	       json->path[json->depth - 1] == KEY_TEXT;
}

bool request_body_is_readable(const char *content_type)
{
	struct multipart form;

	return text_is_json_type(content_type) || !multipart_init(&form, content_type, NULL, NULL);
}

void request_body_init(struct request_body *body, struct request *request,
		       struct request_labels *labels, const char *content_type)
{
	*body = (struct request_body){.request = request, .labels = labels};
	json_scanner_init(&body->json, keys, on_event, body);
	body->json.tells_keys = true;
	if (text_is_json_type(content_type))
		body->kind = REQUEST_BODY_JSON;
	else if (!multipart_init(&body->form, content_type, request_form_field, request))
		body->kind = REQUEST_BODY_FORM;
}

void request_body_feed(struct request_body *body, const void *data, size_t len)
{
	if (body->kind == REQUEST_BODY_FORM)
		multipart_feed(&body->form, data, len);
	if (body->kind != REQUEST_BODY_JSON)
		return;
	json_scanner_feed(&body->json, data, len);
	publish(body);
}

void request_body_end(struct request_body *body)
{
	if (body->kind != REQUEST_BODY_JSON)
		return;
	body->request->body_json_whole = !json_scanner_end(&body->json);
	publish(body);
}

void request_body_release(struct request_body *body)
{
	(void)body;
}
