// The HTTP API: evhttp in the daemon's own event loop, on a Unix socket.
//
// A request is answered within its callback: the views are counted from what the daemon has in
// memory, so none of them waits for anything. Errors are JSON too: {"error": "what is wrong"}.
// Bodies sent to us carry no meaning and are bounded; idle connections are closed.
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "serve/api.h"
#include "serve/listener.h"
#include "serve/utf8.h"

#define MAX_REQUEST_BYTES (64 * 1024)
#define MAX_HEADER_BYTES (16 * 1024)
#define IDLE_TIMEOUT_S 30
#define RELOAD_PATH "/v1/reload"

#define ALL_METHODS                                                                                \
	(EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | \
	 EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH)

struct view {
	const char *path;
	struct json_object *(*content)(void *ctx);
};

struct api {
	struct evhttp *http;
	const struct api_source *source;
	struct view views[5];
	char *path;
	dev_t device; // of the socket's file, to know it again
	ino_t inode;
};

#define N_VIEWS (sizeof(((struct api *)0)->views) / sizeof(struct view))

static void add_repaired(struct evbuffer *out, const char *text, size_t length)
{
	size_t good = 0, n;

	for (size_t i = 0; i < length; i += n ? n : 1) {
		n = utf8_character(text + i, length - i);
		if (n)
			continue;
		evbuffer_add(out, text + good, i - good);
		evbuffer_add(out, "\xef\xbf\xbd", 3); // U+FFFD, the replacement character
		good = i + 1;
	}
	evbuffer_add(out, text + good, length - good);
}

// Sends `body` as one line. Puts it.
static void answer(struct evhttp_request *request, int code, struct json_object *body)
{
	const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	struct evbuffer *out = evhttp_request_get_output_buffer(request);
	const char *text = body ? json_object_to_json_string_ext(body, flags) : NULL;
	char length[32];

	if (!text) {
		code = 503;
		text = "{\"error\":\"out of memory\"}";
	}
	add_repaired(out, text, strlen(text));
	evbuffer_add(out, "\n", 1);
	json_object_put(body);

	// Said here because evhttp says it neither to HEAD nor to HTTP/1.0.
	snprintf(length, sizeof(length), "%zu", evbuffer_get_length(out));
	evhttp_add_header(headers, "Content-Length", length);
	evhttp_add_header(headers, "Content-Type", "application/json");
	evhttp_add_header(headers, "Cache-Control", "no-store");
	if (evhttp_request_get_command(request) == EVHTTP_REQ_HEAD)
		evbuffer_drain(out, evbuffer_get_length(out));
	evhttp_send_reply(request, code, NULL, NULL);
}

static void answer_error(struct evhttp_request *request, int code, const char *what)
{
	struct json_object *body = json_object_new_object();

	if (body)
		json_object_object_add(body, "error", json_object_new_string(what));
	answer(request, code, body);
}

static void answer_not_allowed(struct evhttp_request *request, const char *allowed)
{
	char what[80];

	evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", allowed);
	snprintf(what, sizeof(what), "method not allowed; use %s", allowed);
	answer_error(request, 405, what);
}

static bool is_get(struct evhttp_request *request)
{
	enum evhttp_cmd_type method = evhttp_request_get_command(request);

	return method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD;
}

static void answer_view(struct api *api, const struct view *view, struct evhttp_request *request)
{
	if (is_get(request))
		answer(request, 200, view->content(api->source->ctx));
	else
		answer_not_allowed(request, "GET, HEAD");
}

static void answer_reload(struct api *api, struct evhttp_request *request)
{
	struct json_object *body;
	char *what = NULL;
	int error;

	if (evhttp_request_get_command(request) != EVHTTP_REQ_POST) {
		answer_not_allowed(request, "POST");
		return;
	}
	error = api->source->reload(api->source->ctx, &what);
	if (error) {
		answer_error(request, 422, what ? what : strerror(-error));
	} else {
		body = json_object_new_object();
		if (body)
			json_object_object_add(body, "reloaded", json_object_new_boolean(true));
		answer(request, 200, body);
	}
	free(what);
}

static void add_endpoint(struct json_object *list, const char *method, const char *path)
{
	struct json_object *endpoint = json_object_new_object();

	if (!endpoint)
		return;
	json_object_object_add(endpoint, "method", json_object_new_string(method));
	json_object_object_add(endpoint, "path", json_object_new_string(path));
	json_object_array_add(list, endpoint);
}

static void answer_index(struct api *api, struct evhttp_request *request)
{
	struct json_object *body, *list;

	if (!is_get(request)) {
		answer_not_allowed(request, "GET, HEAD");
		return;
	}
	body = json_object_new_object();
	list = json_object_new_array();
	if (!body || !list) {
		json_object_put(list);
		json_object_put(body);
		answer(request, 503, NULL);
		return;
	}
	for (size_t i = 0; i < N_VIEWS; i++)
		add_endpoint(list, "GET", api->views[i].path);
	add_endpoint(list, "POST", RELOAD_PATH);
	json_object_object_add(body, "endpoints", list);
	answer(request, 200, body);
}

static void on_request(struct evhttp_request *request, void *ctx)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	struct api *api = ctx;

	if (!path || !*path || !strcmp(path, "/")) {
		answer_index(api, request);
		return;
	}
	for (size_t i = 0; i < N_VIEWS; i++) {
		if (!strcmp(path, api->views[i].path)) {
			answer_view(api, &api->views[i], request);
			return;
		}
	}
	if (!strcmp(path, RELOAD_PATH))
		answer_reload(api, request);
	else
		answer_error(request, 404, "no such endpoint; GET / lists them");
}

static struct evhttp *new_server(struct event_base *base, struct api *api)
{
	struct evhttp *http = evhttp_new(base);

	if (!http)
		return NULL;
	evhttp_set_max_headers_size(http, MAX_HEADER_BYTES);
	evhttp_set_max_body_size(http, MAX_REQUEST_BYTES);
	evhttp_set_timeout(http, IDLE_TIMEOUT_S);
	evhttp_set_allowed_methods(http, ALL_METHODS); // so that 405 is ours to say, as JSON
	evhttp_set_gencb(http, on_request, api);
	return http;
}

static int listen_at(struct api *api)
{
	struct stat st;
	int fd = listener_open(api->path);

	if (fd < 0)
		return fd;
	if (lstat(api->path, &st) == 0) {
		api->device = st.st_dev;
		api->inode = st.st_ino;
	}
	if (evhttp_accept_socket(api->http, fd) < 0) {
		close(fd);
		return -ENOMEM;
	}
	return 0;
}

int api_open(struct api **ret, struct event_base *base, const char *path,
	     const struct api_source *source)
{
	struct api *api = calloc(1, sizeof(*api));
	int error = -ENOMEM;

	if (!api)
		return -ENOMEM;
	*api = (struct api){
		.source = source,
		.views = {{"/v1/status", source->status},
			  {"/v1/flows", source->flows},
			  {"/v1/queue", source->queue},
			  {"/v1/limits", source->limits},
			  {"/v1/teams", source->teams}},
		.path = strdup(path),
		.http = new_server(base, api),
	};
	if (api->path && api->http)
		error = listen_at(api);
	if (error) {
		api_close(api);
		return error;
	}
	*ret = api;
	return 0;
}

void api_close(struct api *api)
{
	struct stat st;

	if (!api)
		return;
	if (api->inode && lstat(api->path, &st) == 0 && st.st_dev == api->device &&
	    st.st_ino == api->inode)
		unlink(api->path);
	if (api->http)
		evhttp_free(api->http);
	free(api->path);
	free(api);
}
