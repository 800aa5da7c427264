// See websocket.h. Frames are RFC 6455 section 5.2's:
//
//     FIN RSV1-3 opcode │ MASK length-7 │ length-16 or -64, if length-7 is 126 or 127 │ payload
#include "wire/websocket.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>
#include "wire/duration.h"
#include "wire/json.h"
#include "wire/memory.h"
#include "wire/text.h"

#define PIECE_BYTES 4096
#define WINDOW_BITS_RAW (-15)

enum opcode { OPCODE_CONTINUATION, OPCODE_TEXT, OPCODE_BINARY, OPCODE_CONTROL = 8 };

enum key {
	KEY_TYPE = 1,
	KEY_RESPONSE,
	KEY_USAGE,
	KEY_INPUT_TOKENS,
	KEY_OUTPUT_TOKENS,
	KEY_INPUT_DETAILS,
	KEY_INPUTS_DETAILS,
	KEY_CACHED_TOKENS,
	KEY_RATE_LIMITS,
	KEY_NAME,
	KEY_LIMIT,
	KEY_REMAINING,
	KEY_RESET,
	KEY_MODEL,
};

static const char *const keys[] = {
	[KEY_TYPE - 1] = "type",
	[KEY_RESPONSE - 1] = "response",
	[KEY_USAGE - 1] = "usage",
	[KEY_INPUT_TOKENS - 1] = "input_tokens",
	[KEY_OUTPUT_TOKENS - 1] = "output_tokens",
	[KEY_INPUT_DETAILS - 1] = "input_token_details",
	[KEY_INPUTS_DETAILS - 1] = "input_tokens_details", // so in /responses
	[KEY_CACHED_TOKENS - 1] = "cached_tokens",
	[KEY_RATE_LIMITS - 1] = "rate_limits",
	[KEY_NAME - 1] = "name",
	[KEY_LIMIT - 1] = "limit",
	[KEY_REMAINING - 1] = "remaining",
	[KEY_RESET - 1] = "reset_seconds",
	[KEY_MODEL - 1] = "model",
	NULL,
};

struct websocket {
	websocket_turn_fn fn;
	void *owner;
	bool failed;

	uint8_t header[10]; // of the frame
	size_t header_bytes;
	uint64_t left;      // of its payload
	bool is_control;    // its payload is of no interest
	bool is_final;      // the last frame of its message
	bool is_text;       // the message is
	bool is_in_message; // a frame of it was read, and it is not over
	bool is_compressed; // the message is

	bool deflates; // permessage-deflate
	bool forgets;  // without taking its context over to the next message
	z_stream inflater;

	struct json_scanner json;
	bool is_done; // the message is of type response.done
	struct response turn;
	struct ratelimit_headers limit; // an element of rate_limits, while it is read
	enum response_limit limit_kind; // by its name
};

static const struct ratelimit_headers absent = {RESPONSE_ABSENT, RESPONSE_ABSENT, RESPONSE_ABSENT};

static void clear_usage(struct response *turn)
{
	turn->tokens_in = turn->tokens_out = turn->cached_tokens_in = RESPONSE_ABSENT;
	turn->model[0] = '\0';
}

static void clear_turn(struct websocket *ws)
{
	ws->turn = (struct response){
		.status = 101,
		.requests = absent,
		.tokens = absent,
		.images = absent,
		.project_tokens = absent,
		.retry_after_ms = RESPONSE_ABSENT,
		.processing_ms = RESPONSE_ABSENT,
		.retry_message_ms = RESPONSE_ABSENT,
	};
	clear_usage(&ws->turn);
}

static void read_usage(struct websocket *ws)
{
	const struct json_scanner *json = &ws->json;
	const unsigned char *path = json->path;

	if (path[0] != KEY_RESPONSE || path[1] != KEY_USAGE)
		return;
	if (json->depth == 3 && path[2] == KEY_INPUT_TOKENS)
		text_parse_u64(json->text, &ws->turn.tokens_in);
	else if (json->depth == 3 && path[2] == KEY_OUTPUT_TOKENS)
		text_parse_u64(json->text, &ws->turn.tokens_out);
	else if (json->depth == 4 &&
		 (path[2] == KEY_INPUT_DETAILS || path[2] == KEY_INPUTS_DETAILS) &&
		 path[3] == KEY_CACHED_TOKENS)
		text_parse_u64(json->text, &ws->turn.cached_tokens_in);
}

static enum response_limit limit_kind(const char *name)
{
	if (!strcmp(name, "tokens"))
		return LIMIT_TOKENS;
	return !strcmp(name, "requests") ? LIMIT_REQUESTS : LIMIT_UNKNOWN;
}

static void read_limit(struct websocket *ws, enum json_event event)
{
	const struct json_scanner *json = &ws->json;

	if (json->path[0] != KEY_RATE_LIMITS || json->path[1] != JSON_ELEMENT)
		return;
	if (json->depth == 2 && event == JSON_OBJECT_BEGIN) {
		ws->limit = absent;
		ws->limit_kind = LIMIT_UNKNOWN;
	} else if (json->depth == 2 && event == JSON_OBJECT_END) {
		if (ws->limit_kind == LIMIT_TOKENS)
			ws->turn.tokens = ws->limit;
		else if (ws->limit_kind == LIMIT_REQUESTS)
			ws->turn.requests = ws->limit;
	} else if (json->depth == 3 && event == JSON_STRING && json->path[2] == KEY_NAME) {
		ws->limit_kind = limit_kind(json->text);
	} else if (json->depth == 3 && event == JSON_NUMBER) {
		if (json->path[2] == KEY_LIMIT)
			text_parse_u64(json->text, &ws->limit.limit);
		else if (json->path[2] == KEY_REMAINING)
			text_parse_u64(json->text, &ws->limit.remaining);
		else if (json->path[2] == KEY_RESET)
			duration_parse(json->text, DURATION_SECOND_NS, &ws->limit.reset_ms);
	}
}

// Of the realtime API, and of /responses.
static bool is_end_of_turn(const char *type)
{
	return !strcmp(type, "response.done") || !strcmp(type, "response.completed") ||
	       !strcmp(type, "response.incomplete") || !strcmp(type, "response.failed");
}

static void on_json(void *owner, const struct json_scanner *json, enum json_event event)
{
	struct websocket *ws = owner;

	if (json->depth == 1 && json->path[0] == KEY_TYPE && event == JSON_STRING)
		ws->is_done = is_end_of_turn(json->text);
	else if (json->depth == 2 && json->path[0] == KEY_RESPONSE && json->path[1] == KEY_MODEL &&
		 event == JSON_STRING)
		text_copy(ws->turn.model, sizeof(ws->turn.model), json->text, json->text_bytes);
	else if (json->depth >= 3 && event == JSON_NUMBER)
		read_usage(ws);
	if (json->depth >= 2)
		read_limit(ws, event);
}

static void begin_message(struct websocket *ws)
{
	json_scanner_reset(&ws->json);
	ws->is_done = false;
	clear_usage(&ws->turn);
}

// A turn that was cancelled may say no usage: it took nothing that is known.
static void end_message(struct websocket *ws)
{
	bool has_usage =
		ws->turn.tokens_in != RESPONSE_ABSENT || ws->turn.tokens_out != RESPONSE_ABSENT;

	if (!ws->is_text || json_scanner_end(&ws->json) || !ws->is_done || !has_usage)
		return;
	ws->fn(ws->owner, &ws->turn);
	clear_turn(ws);
}

static void inflate_piece(struct websocket *ws, const uint8_t *data, size_t len)
{
	z_stream *z = &ws->inflater;
	uint8_t piece[PIECE_BYTES];
	int code;

	z->next_in = (uint8_t *)data;
	z->avail_in = (unsigned)len;
	do {
		z->next_out = piece;
		z->avail_out = sizeof(piece);
		code = inflate(z, Z_SYNC_FLUSH);
		if (code == Z_STREAM_END) // a final block is allowed (RFC 7692 section 7.2.3.4)
			inflateReset(z);
		else if (code != Z_OK && code != Z_BUF_ERROR)
			ws->failed = true;
		if (ws->is_text && !ws->failed)
			json_scanner_feed(&ws->json, piece, sizeof(piece) - z->avail_out);
	} while (!ws->failed && code != Z_BUF_ERROR && (z->avail_in || !z->avail_out));
}

static void take_payload(struct websocket *ws, const uint8_t *data, size_t len)
{
	if (ws->is_control)
		return;
	if (ws->is_compressed)
		inflate_piece(ws, data, len);
	else if (ws->is_text)
		json_scanner_feed(&ws->json, data, len);
}

static void end_frame(struct websocket *ws)
{
	static const uint8_t tail[] = {0x00, 0x00, 0xff, 0xff}; // RFC 7692 section 7.2.2

	ws->header_bytes = 0;
	if (ws->is_control || !ws->is_final)
		return;
	if (ws->is_compressed) {
		inflate_piece(ws, tail, sizeof(tail));
		if (ws->forgets)
			inflateReset(&ws->inflater);
	}
	ws->is_in_message = false;
	if (!ws->failed)
		end_message(ws);
}

static size_t header_size(const struct websocket *ws)
{
	uint8_t length = ws->header_bytes > 1 ? ws->header[1] & 0x7f : 0;

	return 2 + (length == 126 ? 2 : length == 127 ? 8 : 0);
}

static void begin_data(struct websocket *ws, enum opcode opcode, bool is_compressed)
{
	if ((opcode == OPCODE_CONTINUATION) != ws->is_in_message ||
	    (is_compressed && (!ws->deflates || ws->is_in_message))) {
		ws->failed = true;
		return;
	}
	ws->is_final = ws->header[0] & 0x80;
	if (ws->is_in_message)
		return;
	ws->is_in_message = true;
	ws->is_text = opcode == OPCODE_TEXT;
	ws->is_compressed = is_compressed;
	begin_message(ws);
}

// All of a frame's header is in.
static void begin_frame(struct websocket *ws)
{
	enum opcode opcode = ws->header[0] & 0x0f;
	size_t bytes = header_size(ws);

	ws->left = ws->header[1] & 0x7f;
	if (bytes > 2)
		ws->left = 0;
	for (size_t i = 2; i < bytes; i++)
		ws->left = ws->left << 8 | ws->header[i];
	ws->is_control = opcode >= OPCODE_CONTROL;
	// A server never masks, only RSV1 was ever agreed on, and control frames are short, whole
	// and not compressed (RFC 6455 section 5.5, RFC 7692 section 6.1).
	if (ws->header[1] & 0x80 || ws->header[0] & 0x30 || ws->left >> 63 ||
	    (ws->is_control && (ws->left > 125 || (ws->header[0] & 0xc0) != 0x80)) ||
	    (opcode > OPCODE_BINARY && opcode < OPCODE_CONTROL))
		ws->failed = true;
	else if (!ws->is_control)
		begin_data(ws, opcode, ws->header[0] & 0x40);
	if (!ws->failed && !ws->left)
		end_frame(ws);
}

int websocket_feed(struct websocket *ws, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len && !ws->failed) {
		size_t n = 1;

		if (ws->header_bytes < header_size(ws)) {
			ws->header[ws->header_bytes++] = *p;
			if (ws->header_bytes >= 2 && ws->header_bytes == header_size(ws))
				begin_frame(ws);
		} else {
			n = len < ws->left ? len : (size_t)ws->left;
			take_payload(ws, p, n);
			ws->left -= n;
			if (!ws->left)
				end_frame(ws);
		}
		p += n;
		len -= n;
	}
	return ws->failed ? -EBADMSG : 0;
}

static void *allocate_items(void *nothing, unsigned items, unsigned bytes)
{
	(void)nothing;
	return wire_alloc((size_t)items * bytes);
}

static void release(void *nothing, void *memory)
{
	(void)nothing;
	wire_free(memory);
}

static bool agree(struct websocket *ws, const char *extensions)
{
	if (!*extensions)
		return true;
	if (strncasecmp(extensions, "permessage-deflate", 18) || strchr(extensions, ','))
		return false;
	ws->deflates = true;
	ws->forgets = strcasestr(extensions, "server_no_context_takeover");
	ws->inflater.zalloc = allocate_items;
	ws->inflater.zfree = release;
	return inflateInit2(&ws->inflater, WINDOW_BITS_RAW) == Z_OK;
}

struct websocket *websocket_new(const char *extensions, websocket_turn_fn fn, void *owner)
{
	struct websocket *ws = wire_alloc(sizeof(*ws));

	if (!ws)
		return NULL;
	ws->fn = fn;
	ws->owner = owner;
	json_scanner_init(&ws->json, keys, on_json, ws);
	clear_turn(ws);
	if (agree(ws, extensions))
		return ws;
	websocket_free(ws);
	return NULL;
}

void websocket_free(struct websocket *ws)
{
	if (!ws)
		return;
	if (ws->deflates)
		inflateEnd(&ws->inflater);
	wire_free(ws);
}
