// What programs say of their requests, see request_labels.h.
#include "wire/request_labels.h"

#include <errno.h>
#include <string.h>
#include "wire/memory.h"
#include "wire/text.h"

bool request_header_is_secret(const char *name)
{
	// Whatever gateway or cloud it is for: "x-goog-api-key", "ocp-apim-subscription-key".
	static const char *const parts[] = {"authorization", "api-key",    "apikey",
					    "access-key",    "secret",     "subscription-key",
					    "cookie",        "auth-token", "password"};

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		if (strcasestr(name, parts[i]))
			return true;
	return false;
}

static struct request_header *find_header(const struct request_labels *labels, const char *name)
{
	for (size_t i = 0; i < labels->n_headers; i++)
		if (!strcmp(labels->headers[i].name, name))
			return &labels->headers[i];
	return NULL;
}

int request_labels_keep(struct request_labels *labels, const char *const *names)
{
	struct request_header *headers = NULL;
	size_t n_names = 0, n = 0;

	while (names && names[n_names])
		n_names++;
	if (n_names > REQUEST_MAX_HEADERS)
		n_names = REQUEST_MAX_HEADERS;
	if (n_names && !(headers = wire_alloc(n_names * sizeof(*headers))))
		return -ENOMEM;
	for (; n_names; n_names--, names++) {
		const struct request_header *before = find_header(labels, *names);

		if (strlen(*names) >= REQUEST_HEADER_NAME_SIZE || request_header_is_secret(*names))
			continue;
		if (before)
			headers[n] = *before;
		else
			strcpy(headers[n].name, *names);
		n++;
	}
	wire_free(labels->headers);
	labels->headers = headers;
	labels->n_headers = n;
	return 0;
}

void request_labels_release(struct request_labels *labels)
{
	wire_free(labels->headers);
	*labels = (struct request_labels){};
}

void request_labels_clear(struct request_labels *labels)
{
	for (size_t i = 0; i < labels->n_headers; i++)
		labels->headers[i].is_present = false;
	request_labels_clear_metadata(labels);
}

void request_labels_set_header(struct request_labels *labels, const char *name, const char *value)
{
	struct request_header *header = find_header(labels, name);
	size_t length = strlen(value);

	if (!header)
		return;
	while (length && (value[length - 1] == ' ' || value[length - 1] == '\t'))
		length--; // RFC 9110 section 5.5: not part of the value
	text_copy(header->value, sizeof(header->value), value, length);
	header->is_present = true;
}

void request_labels_clear_metadata(struct request_labels *labels)
{
	labels->n_metadata = 0;
}

static struct request_metadata *find_metadata(struct request_labels *labels, const char *key)
{
	for (size_t i = 0; i < labels->n_metadata; i++)
		if (!strcmp(labels->metadata[i].key, key))
			return &labels->metadata[i];
	return NULL;
}

void request_labels_set_metadata(struct request_labels *labels, const char *key, const char *value,
				 size_t value_bytes)
{
	struct request_metadata *entry = find_metadata(labels, key);

	if (!entry && labels->n_metadata == REQUEST_MAX_METADATA)
		return;
	if (!entry) {
		entry = &labels->metadata[labels->n_metadata++];
		strcpy(entry->key, key);
	}
	text_copy(entry->value, sizeof(entry->value), value, value_bytes);
}

const char *request_labels_header(const struct request_labels *labels, const char *name)
{
	const struct request_header *header = find_header(labels, name);

	return header && header->is_present ? header->value : NULL;
}

const char *request_labels_metadata(const struct request_labels *labels, const char *key)
{
	for (size_t i = 0; i < labels->n_metadata; i++)
		if (!strcmp(labels->metadata[i].key, key))
			return labels->metadata[i].value;
	return NULL;
}
