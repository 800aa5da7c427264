// Makes a struct request, and its labels, of what a request consists of in HTTP/1.1 and HTTP/2
// alike: method, target, header fields, pieces of the body. Which bytes these are, the protocol's
// reader knows.
//
// In the order of calls: new; method, target and fields; head; body and body_lost; end. A builder
// is freed when its request is complete, so that a connection or stream that only waits for its
// response costs little.
#ifndef SLUICE_WIRE_REQUEST_BUILDER_H
#define SLUICE_WIRE_REQUEST_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "wire/body_hash.h"
#include "wire/key_digest.h"
#include "wire/request.h"
#include "wire/request_body.h"
#include "wire/request_labels.h"

#define REQUEST_TARGET_SIZE 512 // of the request target only the path is kept; it comes first
#define REQUEST_FIELD_SIZE 256  // longer values are cut

struct request_builder {
	struct key_digest *key; // borrowed: of the connection
	struct request request;
	struct request_labels labels;
	struct request_body body;
	struct body_hash hash;
	char target[REQUEST_TARGET_SIZE];
	size_t target_bytes;
	char content_type[REQUEST_FIELD_SIZE];
	bool has_authority;   // HTTP/2's :authority, which goes before Host (RFC 9113 §8.3.1)
	bool is_encoded;      // Content-Encoding: the body is not plain
	bool is_reading_body; // it can be read, is not encoded, and no byte of it was lost
	bool lost_text;       // the gap began in what seems to be text
	bool has_gap;         // a byte of the body was lost
	bool has_body;        // request_builder_head() has made it ready to be read
};

// `asked`: headers to keep, as for request_labels_keep(). NULL: no memory.
struct request_builder *request_builder_new(struct key_digest *key, const char *const *asked,
					    uint64_t begin);
void request_builder_free(struct request_builder *builder);

void request_builder_method(struct request_builder *builder, const char *method, size_t len);
// A piece of the request target, or HTTP/2's :path.
void request_builder_target(struct request_builder *builder, const char *bytes, size_t len);

// What is to be done with a header field's value. Names are in lower case.
enum request_field { REQUEST_FIELD_UNWANTED, REQUEST_FIELD_WANTED, REQUEST_FIELD_SECRET };
enum request_field request_builder_wants(const struct request_builder *builder, const char *name);
// A whole field; `value` may be cut after REQUEST_FIELD_SIZE - 1 bytes, and is changed.
void request_builder_field(struct request_builder *builder, const char *name, char *value);
// A piece of a secret's value, which is hashed at once and never stored; then its end.
void request_builder_secret(struct request_builder *builder, const char *name, const char *bytes,
			    size_t len);
void request_builder_secret_end(struct request_builder *builder);

// All fields are in. `content_length`: the body's, 0 if there is none, REQUEST_ABSENT if that is
// not known.
void request_builder_head(struct request_builder *builder, uint64_t content_length);
void request_builder_body(struct request_builder *builder, const void *data, size_t len);
void request_builder_body_lost(struct request_builder *builder, uint64_t len);
// The body was read to its end.
void request_builder_end(struct request_builder *builder);

#endif
