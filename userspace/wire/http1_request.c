// Requests of HTTP/1.1, see http1.h: framing and headers into `struct request`, the JSON body
// through wire/request_body.c.
#include "wire/http1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "wire/body_hash.h"
#include "wire/framing.h"
#include "wire/key_digest.h"
#include "wire/request_body.h"
#include "wire/text.h"

#define TARGET_SIZE 512 // of the request target only the path is kept, and it comes first

struct request_reader {
	request_event_fn fn;
	void *owner;
	struct framing framing;
	struct key_digest key;
	struct request request;
	struct request_labels labels;
	struct request_body body;
	struct body_hash hash;
	char target[TARGET_SIZE];
	size_t target_bytes;
	bool is_current;      // between STARTED and COMPLETE
	bool is_encoded;      // Content-Encoding: the body is not plain JSON
	bool is_reading_body; // JSON, not encoded, and no byte of it was lost
	bool has_gap;         // a byte of the body was lost
	bool is_upgrade;
};

enum header {
	HEADER_HOST,
	HEADER_AUTHORIZATION,
	HEADER_API_KEY,
	HEADER_X_API_KEY,
	HEADER_ORGANIZATION,
	HEADER_PROJECT,
	HEADER_CONTENT_TYPE,
	HEADER_CONTENT_ENCODING,
	HEADER_RETRY_COUNT,
};

static const struct framing_header wanted[] = {
	[HEADER_HOST] = {"host", false},
	[HEADER_AUTHORIZATION] = {"authorization", true},
	[HEADER_API_KEY] = {"api-key", true},     // Azure OpenAI
	[HEADER_X_API_KEY] = {"x-api-key", true}, // Anthropic
	[HEADER_ORGANIZATION] = {"openai-organization", false},
	[HEADER_PROJECT] = {"openai-project", false},
	[HEADER_CONTENT_TYPE] = {"content-type", false},
	[HEADER_CONTENT_ENCODING] = {"content-encoding", false},
	[HEADER_RETRY_COUNT] = {"x-stainless-retry-count", false},
	{NULL, false},
};

static void tell(struct request_reader *reader, enum request_event event)
{
	reader->fn(reader->owner, event, &reader->request);
}

static void clear_request(struct request_reader *reader)
{
	reader->request = (struct request){
		.end = REQUEST_UNKNOWN_LENGTH,
		.max_tokens = REQUEST_ABSENT,
		.max_completion_tokens = REQUEST_ABSENT,
		.max_output_tokens = REQUEST_ABSENT,
		.n = REQUEST_ABSENT,
		.best_of = REQUEST_ABSENT,
	};
	reader->target_bytes = 0;
	reader->target[0] = '\0';
	reader->is_current = reader->is_encoded = false;
	reader->is_reading_body = reader->is_upgrade = reader->has_gap = false;
	request_labels_clear(&reader->labels);
}

static void on_begin(void *owner, uint64_t at)
{
	struct request_reader *reader = owner;

	clear_request(reader);
	reader->request.begin = at;
	reader->is_current = true;
	tell(reader, REQUEST_STARTED);
}

static void on_target(void *owner, const char *bytes, size_t len)
{
	struct request_reader *reader = owner;
	size_t room = TARGET_SIZE - 1 - reader->target_bytes;

	if (len > room)
		len = room;
	memcpy(reader->target + reader->target_bytes, bytes, len);
	reader->target_bytes += len;
	reader->target[reader->target_bytes] = '\0';
}

// RFC 9112 section 3.2: "/path?query", or "https://host/path?query" as proxies are sent it.
static void read_path(struct request *r, char *target)
{
	const char *path = target;
	char *authority;

	target[strcspn(target, "?#")] = '\0';
	authority = *target == '/' ? NULL : strstr(target, "://");
	if (authority) {
		path = strchr(authority + 3, '/');
		if (!path)
			path = "/";
	}
	text_copy(r->path, sizeof(r->path), path, strlen(path));
}

// "Name", "name:443", "[::1]:443".
static void read_host(struct request *r, char *value)
{
	char *name_end = *value == '[' ? strchr(value, ']') : NULL;
	char *port = strchr(name_end ? name_end : value, ':');

	if (port)
		*port = '\0';
	text_lower(value);
	text_copy(r->host, sizeof(r->host), value, strlen(value));
}

static void on_secret(void *owner, size_t index, const char *bytes, size_t len)
{
	struct request_reader *reader = owner;

	if (reader->key.stage == KEY_IDLE)
		key_digest_begin(&reader->key, index == HEADER_AUTHORIZATION);
	key_digest_feed(&reader->key, bytes, len);
}

// An Authorization of another kind (Basic) does not hide an api-key header.
static void read_key(struct request_reader *reader)
{
	char text[KEY_DIGEST_TEXT];

	key_digest_finish(&reader->key, text);
	if (*text)
		memcpy(reader->request.api_key, text, sizeof(text));
}

static void on_header(void *owner, size_t index, char *value)
{
	struct request_reader *reader = owner;
	struct request *r = &reader->request;

	text_trim_end(value);
	switch ((enum header)index) {
	case HEADER_HOST:
		read_host(r, value);
		break;
	case HEADER_AUTHORIZATION:
	case HEADER_API_KEY:
	case HEADER_X_API_KEY:
		read_key(reader);
		break;
	case HEADER_ORGANIZATION:
		text_copy(r->organization, sizeof(r->organization), value, strlen(value));
		break;
	case HEADER_PROJECT:
		text_copy(r->project, sizeof(r->project), value, strlen(value));
		break;
	case HEADER_CONTENT_TYPE:
		r->has_json_body = text_is_json_type(value);
		break;
	case HEADER_CONTENT_ENCODING:
		reader->is_encoded = *value && strcasecmp(value, "identity") != 0;
		break;
	case HEADER_RETRY_COUNT:
		text_parse_u64(value, &r->retry_count);
		break;
	}
}

static bool keeps_header(void *owner, const char *name)
{
	struct request_reader *reader = owner;

	for (size_t i = 0; i < reader->labels.n_headers; i++)
		if (!strcmp(reader->labels.headers[i].name, name))
			return true;
	return false;
}

static void on_kept_header(void *owner, const char *name, const char *value)
{
	struct request_reader *reader = owner;

	request_labels_set_header(&reader->labels, name, value);
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
	struct request *r = &reader->request;

	snprintf(r->method, sizeof(r->method), "%s", http_method_str(parser->method));
	read_path(r, reader->target);
	r->is_http11_or_later =
		parser->http_major > 1 || (parser->http_major == 1 && parser->http_minor >= 1);
	r->body_begin = body_begin;
	r->end = kind == BODY_CHUNKED ? REQUEST_UNKNOWN_LENGTH : body_begin + length;
	reader->is_upgrade = parser->upgrade;
	reader->is_reading_body = r->has_json_body && !reader->is_encoded;
	request_body_init(&reader->body, r, &reader->labels);
	body_hash_init(&reader->hash, kind == BODY_CHUNKED ? REQUEST_UNKNOWN_LENGTH : length);
	tell(reader, REQUEST_HEAD);
}

static void on_body(void *owner, const char *bytes, size_t len)
{
	struct request_reader *reader = owner;

	reader->request.body_bytes += len;
	if (reader->is_reading_body)
		request_body_feed(&reader->body, bytes, len);
	if (reader->has_gap)
		return;
	body_hash_feed(&reader->hash, bytes, len);
	if (!reader->hash.left)
		reader->request.body_hash = body_hash_value(&reader->hash);
}

static void on_body_lost(void *owner, uint64_t len)
{
	struct request_reader *reader = owner;

	reader->request.body_bytes += len;
	reader->is_reading_body = false;
	reader->has_gap = true;
}

static bool on_complete(void *owner, uint64_t end)
{
	struct request_reader *reader = owner;

	reader->request.end = end;
	reader->request.is_whole = !reader->has_gap;
	if (!reader->has_gap)
		reader->request.body_hash = body_hash_value(&reader->hash);
	if (reader->is_reading_body)
		request_body_end(&reader->body);
	reader->is_current = false;
	tell(reader, REQUEST_COMPLETE);
	if (reader->is_upgrade)
		framing_give_up(&reader->framing); // WebSocket, a CONNECT tunnel
	return !reader->is_upgrade;
}

static void on_opaque(void *owner)
{
	struct request_reader *reader = owner;

	key_digest_abandon(&reader->key);
	tell(reader, REQUEST_OPAQUE);
	reader->is_current = false;
}

static const struct framing_callbacks callbacks = {
	.type = HTTP_REQUEST,
	.wanted = wanted,
	.begin = on_begin,
	.target = on_target,
	.header = on_header,
	.secret = on_secret,
	.keeps = keeps_header,
	.kept = on_kept_header,
	.has_no_body = has_no_body,
	.head = on_head,
	.body = on_body,
	.body_lost = on_body_lost,
	.complete = on_complete,
	.opaque = on_opaque,
};

struct request_reader *request_reader_new(request_event_fn fn, void *owner)
{
	struct request_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return NULL;
	if (key_digest_init(&reader->key) < 0) {
		free(reader);
		return NULL;
	}
	reader->fn = fn;
	reader->owner = owner;
	clear_request(reader);
	framing_init(&reader->framing, &callbacks, reader);
	return reader;
}

void request_reader_free(struct request_reader *reader)
{
	if (!reader)
		return;
	key_digest_release(&reader->key);
	request_labels_release(&reader->labels);
	free(reader);
}

int request_reader_keep_headers(struct request_reader *reader, const char *const *names)
{
	return request_labels_keep(&reader->labels, names);
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
	return reader->is_current ? &reader->request : NULL;
}

const struct request_labels *request_reader_labels(const struct request_reader *reader)
{
	return &reader->labels;
}
