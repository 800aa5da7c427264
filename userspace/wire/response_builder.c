// Responses of both protocols, see response_builder.h.
#include "wire/response_builder.h"

#include <string.h>
#include "wire/memory.h"

struct response_builder *response_builder_new(void)
{
	struct response_builder *builder = wire_alloc(sizeof(*builder));

	if (builder)
		response_head_init(&builder->head, &builder->response);
	return builder;
}

void response_builder_free(struct response_builder *builder)
{
	if (!builder)
		return;
	decoder_free(builder->decoder);
	wire_free(builder);
}

static void on_decoded(void *owner, const void *data, size_t len)
{
	struct response_builder *builder = owner;

	response_body_feed(&builder->body, data, len);
}

// What was read of it stands. is_encoded says that the rest was not.
static void stop_decoding(struct response_builder *builder)
{
	decoder_free(builder->decoder);
	builder->decoder = NULL;
	builder->is_reading_body = false;
	builder->response.is_encoded = true;
}

void response_builder_head(struct response_builder *builder, int status, bool has_body)
{
	struct response *r = &builder->response;
	const char *encoding = builder->head.content_encoding;

	response_head_end(&builder->head);
	r->status = status;
	builder->is_reading_body = has_body && (builder->head.is_json || r->is_event_stream);
	response_body_init(&builder->body, r);
	if (!builder->is_reading_body || !*encoding)
		return;
	builder->decoder = decoder_new(encoding, on_decoded, builder);
	if (!builder->decoder)
		stop_decoding(builder);
}

void response_builder_body(struct response_builder *builder, const void *data, size_t len)
{
	builder->response.body_bytes += len;
	if (!builder->is_reading_body)
		return;
	if (!builder->decoder)
		response_body_feed(&builder->body, data, len);
	else if (decoder_feed(builder->decoder, data, len) < 0)
		stop_decoding(builder);
}

// A coding's bytes mean nothing without those before them.
void response_builder_body_lost(struct response_builder *builder, uint64_t len)
{
	builder->response.body_bytes += len;
	if (builder->decoder)
		stop_decoding(builder);
	else if (builder->is_reading_body)
		response_body_lost(&builder->body);
}

void response_builder_end(struct response_builder *builder)
{
	if (builder->is_reading_body)
		response_body_end(&builder->body);
}
