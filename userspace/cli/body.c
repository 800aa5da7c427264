// See body.h.
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "cli/body.h"
#include "cli/cli.h"
#include "govern/cost.h"
#include "wire/request_body.h"

#define CHUNK_BYTES 65536

static int feed(FILE *in, const char *name, struct request_body *body, struct request *request)
{
	static char chunk[CHUNK_BYTES];
	size_t n;

	while ((n = fread(chunk, 1, sizeof(chunk), in)) > 0) {
		request_body_feed(body, chunk, n);
		request->body_bytes += n;
	}
	if (ferror(in))
		return cli_fail("cannot read %s: %s", name, strerror(errno));
	request_body_end(body);
	request->is_whole = true;
	if (!request->body_json_whole)
		return cli_fail("%s is not a JSON object from its beginning to its end", name);
	return CLI_OK;
}

static void add_text(struct json_object *o, const char *key, const char *text)
{
	if (*text)
		json_object_object_add(o, key, json_object_new_string(text));
}

static void add_labels(struct json_object *o, const struct request *request,
		       const struct request_labels *labels)
{
	add_text(o, "model", request->model);
	add_text(o, "stream", request->stream ? "true" : "false");
	if (request->max_tokens != REQUEST_ABSENT)
		json_object_object_add(o, "max_tokens",
				       json_object_new_uint64(request->max_tokens));
	add_text(o, "body.user", request->user);
	add_text(o, "body.safety_identifier", request->safety_identifier);
	for (size_t i = 0; i < labels->n_metadata; i++) {
		const struct request_metadata *metadata = &labels->metadata[i];
		char name[sizeof("body.metadata.") + REQUEST_METADATA_KEY_SIZE];

		snprintf(name, sizeof(name), "body.metadata.%s", metadata->key);
		add_text(o, name, metadata->value);
	}
}

// Not the cost: what a model costs is in the policy.
static void add_amounts(struct json_object *o, const struct request *request)
{
	static const enum resource estimated[] = {
		RESOURCE_TOKENS,        RESOURCE_IMAGES,       RESOURCE_INPUT_TOKENS,
		RESOURCE_OUTPUT_TOKENS, RESOURCE_TOTAL_TOKENS,
	};
	double amounts[N_RESOURCES];

	cost_of_request(request, 0, NULL, amounts);
	for (size_t i = 0; i < sizeof(estimated) / sizeof(estimated[0]); i++)
		json_object_object_add(o, resource_name(estimated[i]),
				       json_object_new_double(amounts[estimated[i]]));
}

int body_read(const char *path, const char *endpoint, struct json_object *labels,
	      struct json_object *amounts)
{
	static struct request_labels said;
	static struct request_body body;
	struct request request = {
		.method = "POST",
		.has_json_body = true,
		.max_tokens = REQUEST_ABSENT,
		.max_completion_tokens = REQUEST_ABSENT,
		.max_output_tokens = REQUEST_ABSENT,
		.n = REQUEST_ABSENT,
		.best_of = REQUEST_ABSENT,
	};
	bool is_stdin = !strcmp(path, "-");
	CLEANUP_FCLOSE FILE *file = is_stdin ? NULL : fopen(path, "re");
	int result;

	if (!is_stdin && !file)
		return cli_fail("cannot read %s: %s", path, strerror(errno));
	snprintf(request.path, sizeof(request.path), "%s", endpoint);
	request_body_init(&body, &request, &said, "application/json");
	result = feed(is_stdin ? stdin : file, is_stdin ? "standard input" : path, &body, &request);
	if (result)
		return result;
	add_labels(labels, &request, &said);
	add_amounts(amounts, &request);
	return CLI_OK;
}
