// Requests of both protocols, see request_builder.h.
#include "wire/request_builder.h"

#include <string.h>
#include <strings.h>
#include "wire/memory.h"
#include "wire/text.h"

enum field {
	FIELD_HOST,
	FIELD_AUTHORITY,
	FIELD_ORGANIZATION,
	FIELD_PROJECT,
	FIELD_CONTENT_TYPE,
	FIELD_CONTENT_ENCODING,
	FIELD_RETRY_COUNT,
	FIELD_NONE,
};

static const char *const fields[] = {
	[FIELD_HOST] = "host",
	[FIELD_AUTHORITY] = ":authority",
	[FIELD_ORGANIZATION] = "openai-organization",
	[FIELD_PROJECT] = "openai-project",
	[FIELD_CONTENT_TYPE] = "content-type",
	[FIELD_CONTENT_ENCODING] = "content-encoding",
	[FIELD_RETRY_COUNT] = "x-stainless-retry-count",
};

static enum field field_of(const char *name)
{
	for (size_t i = 0; i < FIELD_NONE; i++)
		if (!strcmp(fields[i], name))
			return (enum field)i;
	return FIELD_NONE;
}

static bool is_key(const char *name)
{
	return !strcmp(name, "authorization") || !strcmp(name, "api-key") || // Azure OpenAI
	       !strcmp(name, "x-api-key");                                   // Anthropic
}

struct request_builder *request_builder_new(struct key_digest *key, const char *const *asked,
					    uint64_t begin)
{
	struct request_builder *builder = wire_alloc(sizeof(*builder));

	if (!builder)
		return NULL;
	builder->key = key;
	builder->request = (struct request){
		.begin = begin,
		.end = REQUEST_UNKNOWN_LENGTH,
		.content_length = REQUEST_ABSENT,
		.max_tokens = REQUEST_ABSENT,
		.max_completion_tokens = REQUEST_ABSENT,
		.max_output_tokens = REQUEST_ABSENT,
		.n = REQUEST_ABSENT,
		.best_of = REQUEST_ABSENT,
	};
	if (request_labels_keep(&builder->labels, asked) < 0) {
		wire_free(builder);
		return NULL;
	}
	return builder;
}

void request_builder_free(struct request_builder *builder)
{
	if (!builder)
		return;
	if (builder->has_body)
		request_body_release(&builder->body);
	request_labels_release(&builder->labels);
	wire_free(builder);
}

void request_builder_method(struct request_builder *builder, const char *method, size_t len)
{
	text_copy(builder->request.method, sizeof(builder->request.method), method, len);
}

void request_builder_target(struct request_builder *builder, const char *bytes, size_t len)
{
	size_t room = REQUEST_TARGET_SIZE - 1 - builder->target_bytes;

	if (len > room)
		len = room;
	memcpy(builder->target + builder->target_bytes, bytes, len);
	builder->target_bytes += len;
	builder->target[builder->target_bytes] = '\0';
}

// RFC 9112 section 3.2: "/path?query", or "https://host/path?query" as proxies are sent it.
// Azure OpenAI names its models' deployments there: /openai/deployments/NAME/chat/completions. A
// body that names a model knows better.
static void read_deployment(struct request *r)
{
	static const char prefix[] = "/openai/deployments/";
	const char *name = r->path + sizeof(prefix) - 1;

	if (!strncmp(r->path, prefix, sizeof(prefix) - 1) && strchr(name, '/'))
		text_copy(r->model, sizeof(r->model), name, strcspn(name, "/"));
}

// A WebSocket has no body: /v1/realtime?model=NAME.
static void read_query(struct request *r, const char *query)
{
	static const char name[] = "model=";

	for (; query; query = strchr(query, '&')) {
		query++;
		if (!strncmp(query, name, sizeof(name) - 1)) {
			query += sizeof(name) - 1;
			text_copy(r->model, sizeof(r->model), query, strcspn(query, "&#"));
		}
	}
}

static void read_path(struct request *r, char *target)
{
	const char *path = target;
	char *authority;

	read_query(r, strchr(target, '?'));
	target[strcspn(target, "?#")] = '\0';
	authority = *target == '/' ? NULL : strstr(target, "://");
	if (authority) {
		path = strchr(authority + 3, '/');
		if (!path)
			path = "/";
	}
	text_copy(r->path, sizeof(r->path), path, strlen(path));
	read_deployment(r);
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

static bool is_asked(const struct request_builder *builder, const char *name)
{
	for (size_t i = 0; i < builder->labels.n_headers; i++)
		if (!strcmp(builder->labels.headers[i].name, name))
			return true;
	return false;
}

enum request_field request_builder_wants(const struct request_builder *builder, const char *name)
{
	if (is_key(name))
		return REQUEST_FIELD_SECRET;
	if (field_of(name) != FIELD_NONE || is_asked(builder, name))
		return REQUEST_FIELD_WANTED;
	return REQUEST_FIELD_UNWANTED;
}

void request_builder_field(struct request_builder *builder, const char *name, char *value)
{
	struct request *r = &builder->request;
	enum field field = field_of(name);

	text_trim_end(value);
	// A label says what HTTP/1.1 would have sent.
	request_labels_set_header(&builder->labels, field == FIELD_AUTHORITY ? "host" : name,
				  value);
	switch (field) {
	case FIELD_AUTHORITY:
		builder->has_authority = true;
		read_host(r, value);
		break;
	case FIELD_HOST:
		if (!builder->has_authority)
			read_host(r, value);
		break;
	case FIELD_ORGANIZATION:
		text_copy(r->organization, sizeof(r->organization), value, strlen(value));
		break;
	case FIELD_PROJECT:
		text_copy(r->project, sizeof(r->project), value, strlen(value));
		break;
	case FIELD_CONTENT_TYPE:
		text_copy(builder->content_type, sizeof(builder->content_type), value,
			  strlen(value));
		break;
	case FIELD_CONTENT_ENCODING:
		builder->is_encoded = *value && strcasecmp(value, "identity") != 0;
		break;
	case FIELD_RETRY_COUNT:
		text_parse_u64(value, &r->retry_count);
		break;
	case FIELD_NONE:
		break;
	}
}

void request_builder_secret(struct request_builder *builder, const char *name, const char *bytes,
			    size_t len)
{
	if (builder->key->stage == KEY_IDLE)
		key_digest_begin(builder->key, !strcmp(name, "authorization"));
	key_digest_feed(builder->key, bytes, len);
}

// An Authorization of another kind (Basic) does not hide an api-key header.
void request_builder_secret_end(struct request_builder *builder)
{
	char text[KEY_DIGEST_TEXT];

	key_digest_finish(builder->key, text);
	if (*text)
		memcpy(builder->request.api_key, text, sizeof(text));
}

void request_builder_head(struct request_builder *builder, uint64_t content_length)
{
	struct request *r = &builder->request;

	read_path(r, builder->target);
	r->has_json_body = text_is_json_type(builder->content_type);
	r->content_length = content_length;
	builder->is_reading_body =
		request_body_is_readable(builder->content_type) && !builder->is_encoded;
	request_body_init(&builder->body, r, &builder->labels, builder->content_type);
	builder->has_body = true;
	body_hash_init(&builder->hash, content_length);
}

void request_builder_body(struct request_builder *builder, const void *data, size_t len)
{
	struct request *r = &builder->request;

	r->body_bytes += len;
	if (builder->is_reading_body)
		request_body_feed(&builder->body, data, len);
	if (builder->has_gap) {
		r->unread_bytes += builder->lost_text ? len : 0;
		return;
	}
	body_hash_feed(&builder->hash, data, len);
	if (!builder->hash.left)
		r->body_hash = body_hash_value(&builder->hash);
}

void request_builder_body_lost(struct request_builder *builder, uint64_t len)
{
	builder->request.body_bytes += len;
	if (builder->is_reading_body)
		builder->lost_text = request_body_expects_text(&builder->body);
	if (builder->lost_text)
		builder->request.unread_bytes += len;
	builder->is_reading_body = false;
	builder->has_gap = true;
}

void request_builder_end(struct request_builder *builder)
{
	struct request *r = &builder->request;

	r->is_whole = !builder->has_gap;
	if (!builder->has_gap)
		r->body_hash = body_hash_value(&builder->hash);
	if (builder->is_reading_body)
		request_body_end(&builder->body);
}
