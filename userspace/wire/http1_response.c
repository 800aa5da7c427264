// Responses of HTTP/1.1, see http1_readers.h: framing's messages into a response_builder, one for
// each response.
#include <string.h>
#include <strings.h>
#include "wire/framing.h"
#include "wire/http1_readers.h"
#include "wire/memory.h"
#include "wire/response_builder.h"

// Requests sent whose response has not begun. Clients hardly ever pipeline; one that has more than
// this under way is given up rather than misread.
#define MAX_EXPECTED 64

// What of a request's method changes how its response is framed.
enum method { METHOD_OTHER, METHOD_HEAD, METHOD_CONNECT };

struct upgrade {
	bool is_websocket;
	char extensions[FRAMING_VALUE_SIZE]; // Sec-WebSocket-Extensions
};

// One response.
struct message {
	struct response_builder *builder;
	struct upgrade upgrade;
	bool is_final;   // not 1xx
	bool is_upgrade; // 101, or 2xx to CONNECT
	bool is_current; // its head was told
};

struct response_reader {
	response_event_fn fn;
	void *owner;
	struct framing framing;
	struct message *message; // NULL between responses
	// enum method, of the requests number `answered` to `expected` - 1; a ring.
	unsigned char methods[MAX_EXPECTED];
	uint64_t answered, expected;
};

static void tell(struct response_reader *reader, enum conversation_event event)
{
	reader->fn(reader->owner, event,
		   reader->message ? &reader->message->builder->response : NULL);
}

static void drop_message(struct response_reader *reader)
{
	if (reader->message)
		response_builder_free(reader->message->builder);
	wire_free(reader->message);
	reader->message = NULL;
}

static struct message *message_new(void)
{
	struct message *message = wire_alloc(sizeof(*message));

	if (!message)
		return NULL;
	message->builder = response_builder_new();
	if (message->builder)
		return message;
	wire_free(message);
	return NULL;
}

static void on_begin(void *owner, uint64_t at)
{
	struct response_reader *reader = owner;

	(void)at;
	reader->message = message_new();
	if (!reader->message)
		framing_give_up(&reader->framing, "no memory for it is left");
}

static enum framing_want wants(void *owner, const char *name)
{
	(void)owner;
	return response_head_wants(name) || !strcmp(name, "upgrade") ||
			       !strcmp(name, "sec-websocket-extensions")
		       ? FRAMING_WANTED
		       : FRAMING_UNWANTED;
}

// RFC 6455 section 9.1: the header may be given several times, which is as one list. One that does
// not fit is not cut, which would change its meaning: such a WebSocket is not read as one.
static void add_extensions(struct upgrade *upgrade, const char *value)
{
	size_t used = strlen(upgrade->extensions), len = strlen(value);

	if (len >= FRAMING_VALUE_SIZE - 1 || used + len + 3 > sizeof(upgrade->extensions)) {
		memcpy(upgrade->extensions, "?", 2); // no extension's name
		return;
	}
	if (used) {
		memcpy(upgrade->extensions + used, ", ", 2);
		used += 2;
	}
	memcpy(upgrade->extensions + used, value, len + 1);
}

static void on_header(void *owner, const char *name, char *value)
{
	struct response_reader *reader = owner;
	struct message *message = reader->message;
	size_t len = strlen(value);

	while (len && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		value[--len] = '\0';
	if (!strcmp(name, "upgrade"))
		message->upgrade.is_websocket = !strcasecmp(value, "websocket");
	else if (!strcmp(name, "sec-websocket-extensions"))
		add_extensions(&message->upgrade, value);
	else
		response_head_field(&message->builder->head, name, value);
}

static enum method take_expected(struct response_reader *reader)
{
	uint64_t number = reader->answered++;

	// Else one that nobody asked for (408 on an idle connection), or that came before the end
	// of the request's head.
	return number < reader->expected ? reader->methods[number % MAX_EXPECTED] : METHOD_OTHER;
}

// RFC 9112 section 6.3, first two rules. Asked once for each response, as its head ends.
static bool has_no_body(void *owner, const http_parser *parser)
{
	struct response_reader *reader = owner;
	struct message *message = reader->message;
	unsigned int status = parser->status_code;
	enum method method;

	message->is_upgrade = status == 101;
	message->is_final = status >= 200;
	if (status < 200 && status != 101)
		return true; // the request still waits for its final response
	method = take_expected(reader);
	if (method == METHOD_CONNECT && status >= 200 && status < 300)
		message->is_upgrade = true;
	return message->is_upgrade || method == METHOD_HEAD || status == 204 || status == 304;
}

static void on_head(void *owner, uint64_t body_begin, enum framing_body kind, uint64_t length)
{
	struct response_reader *reader = owner;
	struct message *message = reader->message;

	(void)body_begin;
	(void)length;
	response_builder_head(message->builder, reader->framing.parser.status_code,
			      kind != BODY_NONE);
	message->is_current = message->is_final && !message->is_upgrade;
	if (message->is_current)
		tell(reader, RESPONSE_HEAD);
}

static void on_body(void *owner, const char *bytes, size_t len)
{
	struct response_reader *reader = owner;

	response_builder_body(reader->message->builder, bytes, len);
}

static void on_body_lost(void *owner, uint64_t len)
{
	struct response_reader *reader = owner;

	response_builder_body_lost(reader->message->builder, len);
}

static bool on_complete(void *owner, uint64_t end)
{
	struct response_reader *reader = owner;
	bool is_upgrade = reader->message->is_upgrade;

	(void)end;
	if (reader->message->is_current)
		response_builder_end(reader->message->builder);
	if (is_upgrade || reader->message->is_current)
		tell(reader, is_upgrade ? UPGRADED_WEBSOCKET : RESPONSE_COMPLETE);
	drop_message(reader);
	return !is_upgrade;
}

static void on_opaque(void *owner, const char *why)
{
	(void)why;
	tell(owner, RESPONSES_UNKNOWN);
}

static const struct framing_callbacks callbacks = {
	.type = HTTP_RESPONSE,
	.begin = on_begin,
	.wants = wants,
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
	struct response_reader *reader = wire_alloc(sizeof(*reader));

	if (!reader)
		return NULL;
	reader->fn = fn;
	reader->owner = owner;
	framing_init(&reader->framing, &callbacks, reader);
	return reader;
}

void response_reader_free(struct response_reader *reader)
{
	if (!reader)
		return;
	drop_message(reader);
	wire_free(reader);
}

void response_reader_expect(struct response_reader *reader, const char *method)
{
	enum method kind = !strcmp(method, "HEAD")      ? METHOD_HEAD
			   : !strcmp(method, "CONNECT") ? METHOD_CONNECT
							: METHOD_OTHER;

	if (reader->expected >= reader->answered + MAX_EXPECTED) {
		response_reader_give_up(reader);
		return;
	}
	reader->methods[reader->expected++ % MAX_EXPECTED] = kind;
}

void response_reader_feed(struct response_reader *reader, uint64_t at, const void *data, size_t len)
{
	framing_feed(&reader->framing, at, data, len);
	if (reader->framing.state == FRAMING_CLOSED)
		drop_message(reader);
}

void response_reader_skip(struct response_reader *reader, uint64_t at, uint64_t len)
{
	framing_skip(&reader->framing, at, len);
	if (reader->framing.state == FRAMING_CLOSED)
		drop_message(reader);
}

const struct response *response_reader_current(const struct response_reader *reader)
{
	const struct message *message = reader->message;

	return message && message->is_current ? &message->builder->response : NULL;
}

void response_reader_end(struct response_reader *reader)
{
	framing_end(&reader->framing);
}

void response_reader_give_up(struct response_reader *reader)
{
	framing_give_up(&reader->framing, "");
}

uint64_t response_reader_reached(const struct response_reader *reader)
{
	return reader->framing.reached;
}

const char *response_reader_websocket(const struct response_reader *reader)
{
	const struct message *message = reader->message;

	return message && message->is_upgrade && message->upgrade.is_websocket
		       ? message->upgrade.extensions
		       : NULL;
}
