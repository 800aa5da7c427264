// The HTTP API on a Unix socket: a table of endpoints, which the daemon gives, and GET /, which
// lists them. Answers are JSON, and so are all errors: {"error": "what is wrong"}.
#ifndef SLUICE_SERVE_API_H
#define SLUICE_SERVE_API_H

#include <stddef.h>

struct event_base;
struct json_object;
struct api_request;

// Answers a request within the call. *ret_code is an HTTP status, 200 when called. Returns a new
// object that the API puts (json_object_put); NULL: out of memory.
typedef struct json_object *api_handler(void *ctx, const struct api_request *request,
					int *ret_code);

struct api_endpoint {
	const char *method; // "GET" (which includes HEAD) or "POST"
	const char *path;   // NULL ends the table
	api_handler *handle;
	// NULL: JSON. Else the object of a 200 is a string, which is sent as it is with this
	// Content-Type.
	const char *text_type;
};

// The value of a parameter in the query, "%41" as "A"; NULL: it is not there. Good during the call.
const char *api_query(const struct api_request *request, const char *name);
// The body, at most 64 KB, with a NUL behind it. Good during the call.
const char *api_body(const struct api_request *request, size_t *ret_bytes);
// An answer that is an error with this status.
struct json_object *api_error(int *ret_code, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

struct api;

// Listens on `path` (mode 0660, group "sluice" if there is one, parent directory made if need be).
// A stale socket nobody answers on is replaced; a live one is -EADDRINUSE; a file that is no
// socket is -EEXIST and stays; a path longer than a Unix socket's is -ENAMETOOLONG. `endpoints` is
// borrowed, and `base` too; handlers are given `ctx`.
int api_open(struct api **ret, struct event_base *base, const char *path,
	     const struct api_endpoint *endpoints, void *ctx);
// Closes and unlinks the socket (but not one that another daemon has put in its place). NULL:
// nothing.
void api_close(struct api *api);

#endif
