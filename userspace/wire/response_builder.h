// Makes a struct response of what a response consists of in HTTP/1.1 and HTTP/2 alike: status,
// header fields, pieces of the body, which is decoded here (Content-Encoding) if it is one that is
// read. Which bytes these are, the protocol's reader knows.
//
// In the order of calls: new; fields; head; body and body_lost; end.
#ifndef SLUICE_WIRE_RESPONSE_BUILDER_H
#define SLUICE_WIRE_RESPONSE_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "wire/decode.h"
#include "wire/response.h"
#include "wire/response_body.h"
#include "wire/response_head.h"

struct response_builder {
	struct response response;
	struct response_head head;
	struct response_body body;
	struct decoder *decoder; // NULL: the body is sent as it is, or is not read
	bool is_reading_body;
};

struct response_builder *response_builder_new(void); // NULL: no memory
void response_builder_free(struct response_builder *builder);

// All fields are in: response_head_field(&builder->head, …) was called for each that
// response_head_wants().
void response_builder_head(struct response_builder *builder, int status, bool has_body);
void response_builder_body(struct response_builder *builder, const void *data, size_t len);
void response_builder_body_lost(struct response_builder *builder, uint64_t len);
// The body was read to its end.
void response_builder_end(struct response_builder *builder);

#endif
