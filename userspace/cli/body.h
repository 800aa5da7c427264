// The estimate of a request from its body, by the code that sluiced estimates with.
#ifndef SLUICE_CLI_BODY_H
#define SLUICE_CLI_BODY_H

struct json_object;

// Reads the JSON body of a request to `endpoint` ("/v1/chat/completions") from the file, "-" for
// standard input. Adds to `labels` and `amounts` what it says (serve/question.h). CLI_OK, or
// CLI_FAILED: it has said why.
int body_read(const char *path, const char *endpoint, struct json_object *labels,
	      struct json_object *amounts);

#endif
