// An HTTP client for one server: blocking, a connection for each request.
//
// libevent 2.1's own client cannot be given a connected Unix socket, and another library is too
// much for this: with "Connection: close" the body is what comes until the end of the file, and
// Content-Length tells whether that was all of it.
#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include "cli/cli.h"
#include "cli/client.h"
#include "base/cleanup.h"

#define TIMEOUT_S 10
#define MAX_ANSWER_BYTES (64UL << 20)
#define MAX_NESTING 32

static int connect_to(const char *path, int *ret_fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = TIMEOUT_S};
	CLEANUP_CLOSE int fd = -1;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

static int send_all(int fd, const char *bytes, size_t length)
{
	while (length) {
		ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		bytes += sent;
		length -= (size_t)sent;
	}
	return 0;
}

static int send_request(int fd, const char *method, const char *path, const char *body)
{
	CLEANUP_FREE char *request = NULL;
	int length = asprintf(&request,
			      "%s %s HTTP/1.1\r\n"
			      "Host: localhost\r\n"
			      "Connection: close\r\n"
			      "Content-Length: %zu\r\n"
			      "\r\n%s",
			      method, path, strlen(body), body);

	if (length < 0) {
		request = NULL;
		return -ENOMEM;
	}
	return send_all(fd, request, (size_t)length);
}

// Everything up to the end of the file, with a NUL behind it.
static int read_all(int fd, char **ret, size_t *ret_length)
{
	CLEANUP_FREE char *bytes = NULL;
	size_t length = 0, room = 0;

	for (;;) {
		ssize_t n;

		if (room - length < 2) {
			size_t more = room ? room * 2 : 65536;
			char *bigger = more > MAX_ANSWER_BYTES ? NULL : realloc(bytes, more);

			if (!bigger)
				return more > MAX_ANSWER_BYTES ? -EPROTO : -ENOMEM;
			bytes = bigger;
			room = more;
		}
		n = recv(fd, bytes + length, room - length - 1, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (n == 0)
			break;
		length += (size_t)n;
	}
	bytes[length] = '\0';
	*ret = TAKE_PTR(bytes);
	*ret_length = length;
	return 0;
}

// What stands behind "\r\nName:" in the header block that ends at `end`; NULL: it is not there.
static const char *header(const char *headers, const char *end, const char *name)
{
	for (const char *p = headers; p && p < end; p = strstr(p + 1, "\r\n"))
		if (!strncasecmp(p, name, strlen(name)))
			return p + strlen(name) + strspn(p + strlen(name), " ");
	return NULL;
}

static bool is_yaml(const char *headers, const char *end)
{
	static const char yaml[] = "application/yaml";
	const char *type = header(headers, end, "\r\nContent-Type:");

	return type && !strncasecmp(type, yaml, strlen(yaml));
}

static int parse_json(struct reply *reply)
{
	struct json_tokener *tokener = json_tokener_new_ex(MAX_NESTING);
	enum json_tokener_error error;

	if (!tokener)
		return -ENOMEM;
	// With its NUL, which ends a body that is nothing but a number.
	reply->json = json_tokener_parse_ex(tokener, reply->body, (int)reply->length + 1);
	error = json_tokener_get_error(tokener);
	json_tokener_free(tokener);
	return error == json_tokener_success ? 0 : -EBADMSG;
}

static int parse_answer(const char *bytes, size_t length, struct reply *ret)
{
	const char *end = strstr(bytes, "\r\n\r\n");
	struct reply reply = {0};
	const char *expected;
	bool is_text;
	int error = 0;

	if (!end || sscanf(bytes, "HTTP/1.%*1d %3d", &reply.status) != 1)
		return -EPROTO;
	expected = header(bytes, end, "\r\nContent-Length:");
	is_text = is_yaml(bytes, end);
	end += strlen("\r\n\r\n");
	reply.length = length - (size_t)(end - bytes);
	if (expected && strtoul(expected, NULL, 10) != reply.length)
		return -EPROTO;
	reply.body = strdup(end);
	if (!reply.body)
		return -ENOMEM;
	if (strlen(reply.body) != reply.length)
		error = -EBADMSG; // a NUL in it
	else if (!is_text)
		error = parse_json(&reply);
	if (error)
		reply_clear(&reply);
	else
		*ret = reply;
	return error;
}

static int exchange(const struct cli *cli, const char *method, const char *path, const char *body,
		    struct reply *ret)
{
	CLEANUP_CLOSE int fd = -1;
	CLEANUP_FREE char *bytes = NULL;
	size_t length = 0;
	int error = connect_to(cli->socket, &fd);

	if (!error)
		error = send_request(fd, method, path, body);
	if (!error)
		error = read_all(fd, &bytes, &length);
	if (!error)
		error = parse_answer(bytes, length, ret);
	return error;
}

int client_request(const struct cli *cli, const char *method, const char *path, struct reply *ret)
{
	return exchange(cli, method, path, "", ret);
}

int client_post(const struct cli *cli, const char *path, struct json_object *body,
		struct reply *ret)
{
	const char *text =
		body ? json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN) : NULL;

	return text ? exchange(cli, "POST", path, text, ret) : -ENOMEM;
}

int client_get(const struct cli *cli, const char *path, struct reply *ret)
{
	int error = client_request(cli, "GET", path, ret);

	if (error || ret->status == 200)
		return error;
	reply_clear(ret);
	return -EREMOTEIO;
}

void client_explain(const struct cli *cli, int error, char *text, size_t size)
{
	const char *at = cli->socket;

	switch (-error) {
	case ENOENT:
	case ECONNREFUSED:
		snprintf(text, size,
			 "cannot reach sluiced at %s: %s; is it not running? systemctl start "
			 "sluiced, or "
			 "give --socket PATH",
			 at, strerror(-error));
		return;
	case EACCES:
	case EPERM:
		snprintf(text, size,
			 "cannot reach sluiced at %s: %s; be root or in the group sluice", at,
			 strerror(-error));
		return;
	case ETIMEDOUT:
		snprintf(text, size,
			 "sluiced at %s does not answer within %d s; see journalctl -u sluiced", at,
			 TIMEOUT_S);
		return;
	case EPROTO:
	case EBADMSG:
		snprintf(text, size,
			 "what answers at %s does not talk as sluiced does; give --socket PATH",
			 at);
		return;
	case EREMOTEIO:
		snprintf(text, size,
			 "sluiced at %s refuses to answer that; are both of one version? compare "
			 "sluice --version, sluiced --version",
			 at);
		return;
	}
	snprintf(text, size, "cannot reach sluiced at %s: %s; give --socket PATH", at,
		 strerror(-error));
}

int client_failed(const struct cli *cli, int error)
{
	char text[512];

	client_explain(cli, error, text, sizeof(text));
	return cli_fail("%s", text);
}

void reply_clear(struct reply *reply)
{
	free(reply->body);
	json_object_put(reply->json);
	*reply = (struct reply){0};
}
