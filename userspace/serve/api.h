// The HTTP API on a Unix socket: GET /v1/status, /v1/flows, /v1/queue, /v1/limits, /v1/teams;
// POST /v1/reload. GET / lists them. Each answer is JSON. It asks its source for the content and
// knows no other part of the daemon.
#ifndef SLUICE_SERVE_API_H
#define SLUICE_SERVE_API_H

struct event_base;
struct json_object;

// Each view returns a new object that the API puts (json_object_put), NULL: out of memory.
struct api_source {
	void *ctx;
	struct json_object *(*status)(void *ctx);
	struct json_object *(*flows)(void *ctx);
	struct json_object *(*queue)(void *ctx);
	struct json_object *(*limits)(void *ctx);
	struct json_object *(*teams)(void *ctx);
	// 0, or a negative errno with *ret_error a malloc'd text that says what is wrong, which
	// the API frees.
	int (*reload)(void *ctx, char **ret_error);
};

struct api;

// Listens on `path` (mode 0660, group "sluice" if there is one, parent directory made if need be).
// A stale socket nobody answers on is replaced; a live one is -EADDRINUSE; a file that is no
// socket is -EEXIST and stays; a path longer than a Unix socket's is -ENAMETOOLONG. `source` is
// borrowed, and `base` too.
int api_open(struct api **ret, struct event_base *base, const char *path,
	     const struct api_source *source);
// Closes and unlinks the socket (but not one that another daemon has put in its place). NULL:
// nothing.
void api_close(struct api *api);

#endif
