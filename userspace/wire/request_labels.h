// What a program says of its own request, for labels: headers that somebody asked for by name
// (http.header.*), and the body's "metadata" (body.metadata.*). Filled by wire/request_builder.c
// and wire/request_body.c, and good until the next request of the connection begins. Values are as
// in request.h: valid UTF-8 without control characters, cut off where they do not fit.
//
// Memory: 304 bytes for each header asked for, 16 at most, and 3.1 KB for the metadata.
#ifndef SLUICE_WIRE_REQUEST_LABELS_H
#define SLUICE_WIRE_REQUEST_LABELS_H

#include <stdbool.h>
#include <stddef.h>

#define REQUEST_MAX_HEADERS 16
#define REQUEST_HEADER_NAME_SIZE 47 // terminator included; longer ones cannot be asked for
#define REQUEST_HEADER_VALUE_SIZE 256
// OpenAI takes 16 pairs, keys of up to 64 characters and values of up to 512.
#define REQUEST_MAX_METADATA 16
#define REQUEST_METADATA_KEY_SIZE 65
#define REQUEST_METADATA_VALUE_SIZE 128

struct request_header {
	char name[REQUEST_HEADER_NAME_SIZE]; // lower case
	char value[REQUEST_HEADER_VALUE_SIZE];
	bool is_present; // the request has it
};

struct request_metadata {
	char key[REQUEST_METADATA_KEY_SIZE];
	char value[REQUEST_METADATA_VALUE_SIZE];
};

struct request_labels {
	struct request_header *headers; // those asked for
	size_t n_headers;
	struct request_metadata metadata[REQUEST_MAX_METADATA];
	size_t n_metadata;
};

// Whether a header is one that carries a key or a session, whose value is never stored.
bool request_header_is_secret(const char *name);

// Asks for headers: `names` is ended by NULL, in lower case, and is copied; NULL: none. Those
// behind the 16th, and of these the too long and the secret ones, are left out. What is known of
// headers that were asked for before stays. 0 or -ENOMEM (nothing has changed then).
int request_labels_keep(struct request_labels *labels, const char *const *names);
void request_labels_release(struct request_labels *labels);

// Forgets a request's values.
void request_labels_clear(struct request_labels *labels);
// A header that is given twice: the last counts. Headers not asked for are ignored.
void request_labels_set_header(struct request_labels *labels, const char *name, const char *value);
void request_labels_clear_metadata(struct request_labels *labels);
// Of a key given twice the last counts. What is more than 16 is ignored.
void request_labels_set_metadata(struct request_labels *labels, const char *key, const char *value,
				 size_t value_bytes);

// NULL: the request has none, or it was not asked for.
const char *request_labels_header(const struct request_labels *labels, const char *name);
const char *request_labels_metadata(const struct request_labels *labels, const char *key);

#endif
