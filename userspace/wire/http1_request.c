// Requests of HTTP/1.1, see http1_readers.h: framing's messages into a request_builder, one for
// each request.
#include <stdio.h>
#include <string.h>
#include "wire/framing.h"
#include "wire/http1_readers.h"
#include "wire/key_digest.h"
#include "wire/memory.h"
#include "wire/request_builder.h"

struct request_reader {
	request_event_fn fn;
	void *owner;
	struct framing framing;
	struct key_digest key;
	struct request_builder *builder; // NULL between requests
	const char *const *asked;        // headers to keep; borrowed, may be NULL
	const char *why;                 // it is opaque
	bool is_upgrade;                 // of the request that is being read
	bool waits;                      // behind it
};

static void tell(struct request_reader *reader, enum conversation_event event)
{
	reader->fn(reader->owner, event, reader->builder ? &reader->builder->request : NULL);
}

static void drop_builder(struct request_reader *reader)
{
	request_builder_free(reader->builder);
	reader->builder = NULL;
}

static void on_begin(void *owner, uint64_t at)
{
	struct request_reader *reader = owner;

	reader->builder = request_builder_new(&reader->key, reader->asked, at);
	if (!reader->builder)
		framing_give_up(&reader->framing, "no memory for it is left");
	else
		tell(reader, REQUEST_STARTED);
}

static void on_target(void *owner, const char *bytes, size_t len)
{
	struct request_reader *reader = owner;

	request_builder_target(reader->builder, bytes, len);
}

static enum framing_want wants(void *owner, const char *name)
{
	struct request_reader *reader = owner;

	switch (request_builder_wants(reader->builder, name)) {
	case REQUEST_FIELD_SECRET:
		return FRAMING_SECRET;
	case REQUEST_FIELD_WANTED:
		return FRAMING_WANTED;
	case REQUEST_FIELD_UNWANTED:
		break;
	}
	return FRAMING_UNWANTED;
}

static void on_header(void *owner, const char *name, char *value)
{
	struct request_reader *reader = owner;

	request_builder_field(reader->builder, name, value);
}

static void on_secret(void *owner, const char *name, const char *bytes, size_t len)
{
	struct request_reader *reader = owner;

	request_builder_secret(reader->builder, name, bytes, len);
}

static void on_secret_over(void *owner)
{
	struct request_reader *reader = owner;

	request_builder_secret_end(reader->builder);
}

static bool has_no_body(void *owner, const http_parser *parser)
{
	(void)owner;
	(void)parser;
	return false; // RFC 9112 section 6.3: only its headers say whether a request has a body
}

static void on_head(void *owner, uint64_t body_begin, enum framing_body kind, uint64_t length)
{
	struct request_reader *reader = owner;
	const http_parser *parser = &reader->framing.parser;
	const char *method = http_method_str(parser->method);
	struct request *r = &reader->builder->request;

	request_builder_method(reader->builder, method, strlen(method));
	r->is_http11_or_later =
		parser->http_major > 1 || (parser->http_major == 1 && parser->http_minor >= 1);
	r->body_begin = body_begin;
	r->end = kind == BODY_CHUNKED ? REQUEST_UNKNOWN_LENGTH : body_begin + length;
	reader->is_upgrade = parser->upgrade;
	request_builder_head(reader->builder, kind == BODY_CHUNKED ? REQUEST_ABSENT : length);
	tell(reader, REQUEST_HEAD);
}

static void on_body(void *owner, const char *bytes, size_t len)
{
	struct request_reader *reader = owner;

	request_builder_body(reader->builder, bytes, len);
}

static void on_body_lost(void *owner, uint64_t len)
{
	struct request_reader *reader = owner;

	request_builder_body_lost(reader->builder, len);
}

static bool on_complete(void *owner, uint64_t end)
{
	struct request_reader *reader = owner;

	reader->builder->request.end = end;
	request_builder_end(reader->builder);
	reader->waits = reader->is_upgrade;
	tell(reader, REQUEST_COMPLETE);
	drop_builder(reader);
	return !reader->waits;
}

static void on_opaque(void *owner, const char *why)
{
	struct request_reader *reader = owner;

	key_digest_abandon(&reader->key);
	reader->why = why;
	tell(reader, CONVERSATION_OPAQUE);
	drop_builder(reader);
}

static const struct framing_callbacks callbacks = {
	.type = HTTP_REQUEST,
	.begin = on_begin,
	.target = on_target,
	.wants = wants,
	.header = on_header,
	.secret = on_secret,
	.secret_over = on_secret_over,
	.has_no_body = has_no_body,
	.head = on_head,
	.body = on_body,
	.body_lost = on_body_lost,
	.complete = on_complete,
	.opaque = on_opaque,
};

struct request_reader *request_reader_new(request_event_fn fn, void *owner)
{
	struct request_reader *reader = wire_alloc(sizeof(*reader));

	if (!reader)
		return NULL;
	if (key_digest_init(&reader->key) < 0) {
		wire_free(reader);
		return NULL;
	}
	reader->fn = fn;
	reader->owner = owner;
	framing_init(&reader->framing, &callbacks, reader);
	return reader;
}

void request_reader_free(struct request_reader *reader)
{
	if (!reader)
		return;
	drop_builder(reader);
	key_digest_release(&reader->key);
	wire_free(reader);
}

int request_reader_keep_headers(struct request_reader *reader, const char *const *names)
{
	reader->asked = names;
	return reader->builder ? request_labels_keep(&reader->builder->labels, names) : 0;
}

void request_reader_feed(struct request_reader *reader, uint64_t at, const void *data, size_t len)
{
	framing_feed(&reader->framing, at, data, len);
}

void request_reader_skip(struct request_reader *reader, uint64_t at, uint64_t len)
{
	framing_skip(&reader->framing, at, len);
}

const struct request *request_reader_current(const struct request_reader *reader)
{
	return reader->builder ? &reader->builder->request : NULL;
}

const struct request_labels *request_reader_labels(const struct request_reader *reader)
{
	return reader->builder ? &reader->builder->labels : NULL;
}

const char *request_reader_why(const struct request_reader *reader)
{
	return reader->why;
}

uint64_t request_reader_reached(const struct request_reader *reader)
{
	return reader->framing.reached;
}

bool request_reader_waits(const struct request_reader *reader)
{
	return reader->waits;
}

void request_reader_go_on(struct request_reader *reader)
{
	reader->waits = false;
	framing_go_on(&reader->framing);
}
