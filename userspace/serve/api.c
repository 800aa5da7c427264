// The HTTP API: evhttp in the daemon's own event loop, on a Unix socket.
//
// A request is answered within its callback: handlers know all they need from what the daemon has
// in memory, so none of them waits for anything. Bodies are bounded; idle connections are closed.
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "serve/api.h"
#include "serve/listener.h"
#include "serve/utf8.h"

#define MAX_REQUEST_BYTES (64 * 1024)
#define MAX_HEADER_BYTES (16 * 1024)
#define IDLE_TIMEOUT_S 30

#define ALL_METHODS                                                                                \
	(EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | \
	 EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH)

struct api {
	struct evhttp *http;
	const struct api_endpoint *endpoints;
	void *ctx;
	char *path;
	dev_t device; // of the socket's file, to know it again
	ino_t inode;
};

struct api_request {
	struct evkeyvalq query;
	const char *body;
	size_t body_bytes;
};

const char *api_query(const struct api_request *request, const char *name)
{
	return evhttp_find_header(&request->query, name);
}

const char *api_body(const struct api_request *request, size_t *ret_bytes)
{
	*ret_bytes = request->body_bytes;
	return request->body;
}

static struct json_object *error_object(const char *what)
{
	struct json_object *object = json_object_new_object();

	if (object)
		json_object_object_add(object, "error", json_object_new_string(what));
	return object;
}

struct json_object *api_error(int *ret_code, int code, const char *format, ...)
{
	CLEANUP_FREE char *what = NULL;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vasprintf(&what, format, arguments);
	va_end(arguments);
	*ret_code = code;
	if (length < 0)
		what = NULL;
	return what ? error_object(what) : NULL;
}

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

static void send_text(struct evhttp_request *request, int code, const char *type, const char *text)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	struct evbuffer *out = evhttp_request_get_output_buffer(request);
	size_t length_of_text = strlen(text);
	char length[32];

	add_repaired(out, text, length_of_text);
	if (!length_of_text || text[length_of_text - 1] != '\n')
		evbuffer_add(out, "\n", 1);
	// Said here because evhttp says it neither to HEAD nor to HTTP/1.0.
	snprintf(length, sizeof(length), "%zu", evbuffer_get_length(out));
	evhttp_add_header(headers, "Content-Length", length);
	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	if (evhttp_request_get_command(request) == EVHTTP_REQ_HEAD)
		evbuffer_drain(out, evbuffer_get_length(out));
	evhttp_send_reply(request, code, NULL, NULL);
}

// Sends `body` as one line, or as the text that it is if there is a text_type. Puts it.
static void answer(struct evhttp_request *request, int code, struct json_object *body,
		   const char *text_type)
{
	const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
	const char *type = "application/json", *text;

	if (text_type && code == 200 && json_object_is_type(body, json_type_string)) {
		type = text_type;
		text = json_object_get_string(body);
	} else {
		text = body ? json_object_to_json_string_ext(body, flags) : NULL;
	}
	if (text)
		send_text(request, code, type, text);
	else
		send_text(request, 503, "application/json", "{\"error\":\"out of memory\"}");
	json_object_put(body);
}

static void answer_error(struct evhttp_request *request, int code, const char *what)
{
	answer(request, code, error_object(what), NULL);
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

static void handle(struct api *api, const struct api_endpoint *endpoint,
		   struct evhttp_request *request)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	struct evbuffer *in = evhttp_request_get_input_buffer(request);
	struct api_request asked = {.body_bytes = evbuffer_get_length(in)};
	const char *query = evhttp_uri_get_query(uri);
	struct json_object *body;
	int code = 200;

	TAILQ_INIT(&asked.query);
	evbuffer_add(in, "", 1); // the NUL
	asked.body = (const char *)evbuffer_pullup(in, -1);
	if (query)
		evhttp_parse_query_str(query, &asked.query); // none if it is not name=value&...
	body = asked.body ? endpoint->handle(api->ctx, &asked, &code) : NULL;
	answer(request, code, body, endpoint->text_type);
	evhttp_clear_headers(&asked.query);
}

static void answer_index(struct api *api, struct evhttp_request *request)
{
	struct json_object *body = json_object_new_object();
	struct json_object *list = json_object_new_array();

	for (const struct api_endpoint *e = api->endpoints; body && list && e->path; e++) {
		struct json_object *endpoint = json_object_new_object();

		if (!endpoint)
			break;
		json_object_object_add(endpoint, "method", json_object_new_string(e->method));
		json_object_object_add(endpoint, "path", json_object_new_string(e->path));
		json_object_array_add(list, endpoint);
	}
	if (body)
		json_object_object_add(body, "endpoints", list);
	else
		json_object_put(list);
	answer(request, 200, body, NULL);
}

static const char *allowed_by(const struct api_endpoint *endpoint)
{
	return strcmp(endpoint->method, "GET") ? endpoint->method : "GET, HEAD";
}

static void on_request(struct evhttp_request *request, void *ctx)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	const struct api_endpoint *e;
	struct api *api = ctx;

	if (!path || !*path || !strcmp(path, "/")) {
		if (is_get(request))
			answer_index(api, request);
		else
			answer_not_allowed(request, "GET, HEAD");
		return;
	}
	for (e = api->endpoints; e->path && strcmp(path, e->path) != 0;)
		e++;
	if (!e->path)
		answer_error(request, 404, "no such endpoint; GET / lists them");
	else if (strcmp(e->method, "GET") ? evhttp_request_get_command(request) != EVHTTP_REQ_POST
					  : !is_get(request))
		answer_not_allowed(request, allowed_by(e));
	else
		handle(api, e, request);
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
	     const struct api_endpoint *endpoints, void *ctx)
{
	struct api *api = calloc(1, sizeof(*api));
	int error = -ENOMEM;

	if (!api)
		return -ENOMEM;
	*api = (struct api){
		.endpoints = endpoints,
		.ctx = ctx,
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
