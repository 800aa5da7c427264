// If this fails, curl and scripts cannot read the daemon: the endpoints, their errors, and the
// socket itself with its mode, its leftovers, and its rival.
#include "cli_fake.h"
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

static int dial(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = 10};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, path);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

// Sends the text; returns all that comes back until the end. Malloc'd.
static char *talk(const char *path, const char *request, size_t length)
{
	size_t used = 0, room = 1 << 20;
	char *answer = calloc(1, room);
	int fd = dial(path);
	ssize_t n;

	assert_non_null(answer);
	send(fd, request, length, MSG_NOSIGNAL);
	while ((n = recv(fd, answer + used, room - used - 1, 0)) > 0)
		used += (size_t)n;
	close(fd);
	return answer;
}

static char *ask(struct fake *fake, const char *method, const char *path)
{
	char request[256];
	int length = snprintf(request, sizeof(request),
			      "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
			      "Connection: close\r\n\r\n",
			      method, path);

	return talk(fake->socket, request, (size_t)length);
}

static void expect_json(struct fake *fake, const char *path, const char *json)
{
	struct json_object *wanted = json_tokener_parse(json), *got;
	char *answer = ask(fake, "GET", path);
	char *body = strstr(answer, "\r\n\r\n");

	assert_non_null(strstr(answer, "HTTP/1.1 200 "));
	assert_non_null(strstr(answer, "Content-Type: application/json"));
	assert_non_null(body);
	got = json_tokener_parse(body + 4);
	assert_non_null(got);
	assert_true(json_object_equal(got, wanted));
	json_object_put(got);
	json_object_put(wanted);
	free(answer);
}

// The answer has this status, an error in JSON, and holds the text.
static void expect_error(struct fake *fake, const char *method, const char *path, int status,
			 const char *text)
{
	char *answer = ask(fake, method, path), *body = strstr(answer, "\r\n\r\n");
	struct json_object *json, *error;

	assert_int_equal(atoi(answer + strlen("HTTP/1.1 ")), status);
	assert_non_null(body);
	json = json_tokener_parse(body + 4);
	assert_true(json_object_object_get_ex(json, "error", &error));
	assert_non_null(strstr(answer, text));
	json_object_put(json);
	free(answer);
}

static void test_views(void **state)
{
	expect_json(*state, "/v1/status", FAKE_STATUS);
	expect_json(*state, "/v1/queue", FAKE_QUEUE);
	expect_json(*state, "/v1/limits", FAKE_LIMITS);
	expect_json(*state, "/v1/teams", FAKE_TEAMS);
	expect_json(*state, "/v1/teams?pretty", FAKE_TEAMS);
}

static void test_broken_text_becomes_utf8(void **state)
{
	char *answer = ask(*state, "GET", "/v1/flows");

	assert_non_null(strstr(answer, "\"comm\":\"j\xef\xbf\xbd\""));
	assert_non_null(strstr(answer, "\"id\":18446744073709551615"));
	free(answer);
}

static void test_index(void **state)
{
	char *answer = ask(*state, "GET", "/");

	assert_non_null(strstr(answer, "{\"method\":\"GET\",\"path\":\"/v1/limits\"}"));
	assert_non_null(strstr(answer, "{\"method\":\"POST\",\"path\":\"/v1/reload\"}"));
	free(answer);
}

static void test_head(void **state)
{
	char *answer = ask(*state, "HEAD", "/v1/status");
	char *length = strstr(answer, "Content-Length: ");

	assert_non_null(strstr(answer, "HTTP/1.1 200 "));
	assert_non_null(length);
	assert_true(atoi(length + strlen("Content-Length: ")) > 100);
	assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
	free(answer);
}

static void test_errors(void **state)
{
	expect_error(*state, "GET", "/v1/nothing", 404, "no such endpoint");
	expect_error(*state, "GET", "/v1/status/", 404, "no such endpoint");
	expect_error(*state, "POST", "/v1/status", 405, "Allow: GET, HEAD\r\n");
	expect_error(*state, "DELETE", "/v1/flows", 405, "use GET, HEAD");
	expect_error(*state, "GET", "/v1/reload", 405, "Allow: POST\r\n");
	expect_error(*state, "POST", "/v1/policy", 405, "Allow: GET, HEAD\r\n");
	expect_error(*state, "POST", "/", 405, "Allow: GET, HEAD\r\n");
}

static void test_queries_are_decoded(void **state)
{
	expect_json(*state, "/v1/explain?flow=5", FAKE_EXPLAIN);
	expect_json(*state, "/v1/explain?x=%31&request=%31%32", FAKE_EXPLAIN);
	expect_error(*state, "GET", "/v1/explain?flow=9", 404, "no flow 9");
	expect_error(*state, "GET", "/v1/explain?flow", 404, "no flow ?");
}

static void test_bodies_arrive(void **state)
{
	static const char body[] = "{\"policy\":\"gpt-4\",\"key\":\"3f2a\"}";
	struct fake *fake = *state;
	char request[256], *answer;
	int length = snprintf(request, sizeof(request),
			      "POST /v1/reset HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n"
			      "Connection: close\r\n\r\n%s",
			      strlen(body), body);

	answer = talk(fake->socket, request, (size_t)length);
	assert_non_null(strstr(answer, "HTTP/1.1 200 "));
	assert_non_null(strstr(answer, "{\"reset\":1}"));
	free(answer);
}

static void test_text_comes_as_it_is(void **state)
{
	char *answer = ask(*state, "GET", "/v1/policy");

	assert_non_null(strstr(answer, "Content-Type: application/yaml\r\n"));
	assert_string_equal(strstr(answer, "\r\n\r\n") + 4, FAKE_YAML);
	free(answer);
}

static void test_reload(void **state)
{
	struct fake *fake = *state;
	char *answer = ask(fake, "POST", "/v1/reload");
	FILE *refuse;

	assert_non_null(strstr(answer, "HTTP/1.1 200 "));
	assert_non_null(strstr(answer, "{\"reloaded\":true}"));
	free(answer);

	refuse = fopen(fake->refuse, "w");
	assert_non_null(refuse);
	fclose(refuse);
	expect_error(fake, "POST", "/v1/reload", 422, "sluice.yaml:7: unknown key");
	unlink(fake->refuse);
}

static void test_large_body_is_refused(void **state)
{
	struct fake *fake = *state;
	static const char head[] = "POST /v1/reload HTTP/1.1\r\nHost: x\r\n"
				   "Content-Length: 199000\r\n\r\n";
	size_t size = 199000 + strlen(head);
	char *request = malloc(size), *answer;

	assert_non_null(request);
	memset(request, 'x', size);
	memcpy(request, head, strlen(head));
	answer = talk(fake->socket, request, size);
	assert_null(strstr(answer, "HTTP/1.1 200"));
	free(answer);
	free(request);
	expect_json(fake, "/v1/queue", FAKE_QUEUE); // and lives
}

static void test_nonsense_is_survived(void **state)
{
	struct fake *fake = *state;
	static const char nonsense[] = "\x16\x03\x01 hello\r\n\r\n\r\n";

	free(talk(fake->socket, nonsense, sizeof(nonsense)));
	expect_json(fake, "/v1/queue", FAKE_QUEUE);
}

static void test_two_requests_on_one_connection(void **state)
{
	struct fake *fake = *state;
	static const char both[] =
		"GET /v1/queue HTTP/1.1\r\nHost: x\r\n\r\n"
		"GET /v1/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	char *answer = talk(fake->socket, both, strlen(both));

	assert_non_null(strstr(answer, "HTTP/1.1 200 "));
	assert_non_null(strstr(answer, "HTTP/1.1 404 "));
	free(answer);
}

static void test_socket_mode(void **state)
{
	struct fake *fake = *state;
	struct stat st;

	assert_int_equal(stat(fake->socket, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
}

// Opens a second API at the same path, in this process.
static int open_second(struct fake *fake, const char *path, struct api **ret)
{
	struct event_base *base = event_base_new();
	int error = api_open(ret, base, path, fake_endpoints, fake);

	if (!error)
		api_close(*ret);
	event_base_free(base);
	return error;
}

static void test_live_socket_is_left_alone(void **state)
{
	struct fake *fake = *state;
	struct api *api;

	assert_int_equal(open_second(fake, fake->socket, &api), -EADDRINUSE);
	expect_json(fake, "/v1/queue", FAKE_QUEUE);
}

static void test_stale_socket_is_replaced(void **state)
{
	struct fake *fake = *state;

	fake_end(fake, SIGKILL);
	assert_int_equal(access(fake->socket, F_OK), 0);
	fake_start(fake);
	expect_json(fake, "/v1/queue", FAKE_QUEUE);
	fake_end(fake, SIGTERM);
	assert_int_equal(access(fake->socket, F_OK), -1); // nothing left
	fake_start(fake);
}

static void test_bad_paths(void **state)
{
	struct fake *fake = *state;
	char path[300];
	struct api *api;
	FILE *file = fopen(fake->refuse, "w");

	assert_non_null(file);
	fclose(file);
	assert_int_equal(open_second(fake, fake->refuse, &api), -EEXIST);
	assert_int_equal(unlink(fake->refuse), 0); // it is still there
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(open_second(fake, path, &api), -ENAMETOOLONG);
	assert_int_equal(open_second(fake, "", &api), -EINVAL);
	assert_int_equal(open_second(fake, "/dev/null/x", &api), -ENOTDIR);
}

// Whoever closes late must not take away the socket of who came after.
static void test_close_leaves_a_successor_alone(void **state)
{
	struct fake *fake = *state, second;

	assert_int_equal(unlink(fake->socket), 0);
	second = *fake;
	fake_start(&second);
	fake_end(fake, SIGTERM);
	expect_json(&second, "/v1/queue", FAKE_QUEUE);
	*fake = second;
}

static int setup(void **state)
{
	static struct fake fake;

	fake_make(&fake);
	fake_start(&fake);
	*state = &fake;
	return 0;
}

static int teardown(void **state)
{
	fake_remove(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_views),
		cmocka_unit_test(test_broken_text_becomes_utf8),
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_queries_are_decoded),
		cmocka_unit_test(test_bodies_arrive),
		cmocka_unit_test(test_text_comes_as_it_is),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_large_body_is_refused),
		cmocka_unit_test(test_nonsense_is_survived),
		cmocka_unit_test(test_two_requests_on_one_connection),
		cmocka_unit_test(test_socket_mode),
		cmocka_unit_test(test_live_socket_is_left_alone),
		cmocka_unit_test(test_stale_socket_is_replaced),
		cmocka_unit_test(test_bad_paths),
		cmocka_unit_test(test_close_leaves_a_successor_alone),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
