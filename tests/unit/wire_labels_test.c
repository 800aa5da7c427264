// If this fails, labels that programs give their requests (http.header.*, body.metadata.*) are
// lost, taken from another request, or show a secret; or a retry is not known again and loses its
// place.
#include "wire_replay.h"

#define POST "POST / HTTP/1.1\r\nContent-Type: application/json\r\n"

static const char *const asked[] = {"x-user", "x-priority", "openai-organization", "authorization",
				    "cookie", "host",       "x-my-api-key",        NULL};
static struct request_reader *now_reading;
static struct request last;

static void on_event(void *owner, enum conversation_event event, const struct request *r)
{
	struct note *note = owner;
	const struct request_labels *labels = request_reader_labels(now_reading);

	if (r)
		last = *r;
	if (event != REQUEST_COMPLETE)
		return;
	for (size_t i = 0; i < LENGTH(asked) - 1; i++)
		if (request_labels_header(labels, asked[i]))
			note_add(note, " %s=%s", asked[i], request_labels_header(labels, asked[i]));
	for (size_t i = 0; i < labels->n_metadata; i++)
		note_add(note, " %s:%s", labels->metadata[i].key, labels->metadata[i].value);
	note_add(note, ";");
}

static void *labels_open(struct note *note)
{
	now_reading = request_reader_new(on_event, note);
	assert_non_null(now_reading);
	assert_int_equal(request_reader_keep_headers(now_reading, asked), 0);
	return now_reading;
}

static void labels_feed(void *reader, uint64_t at, const void *data, size_t len)
{
	request_reader_feed(reader, at, data, len);
}

static void labels_close(void *reader)
{
	request_reader_free(reader);
}

static const struct replay replay = {labels_open, labels_feed, labels_close};

static const struct {
	const char *headers;
	const char *json;
	const char *labels;
} requests[] = {
	{"X-User: alice \t\r\nX-Users: bob\r\nX-Priority:\r\n", "{}", " x-user=alice x-priority=;"},
	{"x-user: a\r\nX-USER: b\x1b\xff\r\n", "{}", " x-user=b??;"}, // the last, made harmless
	{"OpenAI-Organization: org-1\r\nHost: A:1\r\n", "{}",
	 " openai-organization=org-1 host=A:1;"},
	{"Authorization: Bearer sk-SECRET\r\nCookie: SECRET\r\nX-My-API-Key: SECRET\r\n", "{}",
	 ";"},
	{"", "{\"metadata\":{\"team\":\"red\",\"n\":5,\"\\u00e9\":\"a\\nb\"}}",
	 " team:red n:5 \xc3\xa9:a?b;"},
	{"",
	 "{\"metadata\":{\"a\":\"1\",\"b\":null,\"c\":true,\"d\":{\"e\":\"f\"},\"g\":[\"h\"],\"a\":"
	 "\"2\"}}",
	 " a:2;"},
	{"", "{\"a\":{\"metadata\":{\"b\":\"c\"}},\"messages\":[{\"metadata\":{\"d\":\"e\"}}]}",
	 ";"},
	{"", "{\"metadata\":{\"a\":\"b\"},\"metadata\":{\"c\":\"d\"}}", " c:d;"},
	{"", "{\"metadata\":{\"a\":\"b\"},\"metadata\":null}", ";"},
	{"", "{\"metadata\":{\"a\":\"b\"},\"metadata\":[\"a\"],\"x\":\"y\"}", ";"},
	// A key that is too long is left out, and does not lend its value to another.
	{"",
	 "{\"metadata\":{\"a\":\"b\","
	 "\"0123456789012345678901234567890123456789012345678901234567890123"
	 "\":\"fits\",\"01234567890123456789012345678901234567890123456789012345678901234\":"
	 "\"not\"}}",
	 " a:b 0123456789012345678901234567890123456789012345678901234567890123:fits;"},
};

static void labels_of_requests(void **state)
{
	static struct note note;
	char bytes[1024];

	(void)state;
	for (size_t i = 0; i < LENGTH(requests); i++) {
		snprintf(bytes, sizeof(bytes), POST "%sContent-Length: %zu\r\n\r\n%s",
			 requests[i].headers, strlen(requests[i].json), requests[i].json);
		replay_all_ways(&replay, bytes, strlen(bytes), &note);
		assert_string_equal(note.text, requests[i].labels);
		assert_null(memmem(&last, sizeof(last), "SECRET", 6));
	}
}

static void labels_are_of_one_request_only(void **state)
{
	static const char bytes[] =
		POST "X-User: a\r\nContent-Length: 24\r\n\r\n{\"metadata\":{\"a\":\"b\"}}  " POST
		     "X-Priority: 1\r\nContent-Length: 2\r\n\r\n{}";
	static struct note note;

	(void)state;
	replay_all_ways(&replay, bytes, sizeof(bytes) - 1, &note);
	assert_string_equal(note.text, " x-user=a a:b; x-priority=1;");
}

static void what_is_kept_is_bounded(void **state)
{
	static struct note note;
	const char *names[20];
	char long_name[60], bytes[4096], text[20][8];
	size_t used;
	struct request_reader *reader = labels_open(&note);
	const struct request_labels *labels;

	(void)state;
	note.used = 0;
	memset(long_name, 'n', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	names[0] = long_name;
	for (int i = 1; i < 19; i++) {
		snprintf(text[i], sizeof(text[i]), "x-%d", i);
		names[i] = text[i];
	}
	names[19] = NULL;
	assert_int_equal(request_reader_keep_headers(reader, names), 0);
	used = (size_t)sprintf(bytes,
			       POST "%s: a\r\nx-1: %0300d\r\nx-15: b\r\nx-16: c\r\n"
				    "Content-Length: 1000\r\n\r\n{\"metadata\":{\"v\":\"%0200d\"",
			       long_name, 0, 0);
	for (int i = 0; i < 20; i++)
		used += (size_t)sprintf(bytes + used, ",\"k%d\":\"v\"", i);
	request_reader_feed(reader, 0, bytes, used);
	labels = request_reader_labels(reader);
	assert_null(request_labels_header(labels, long_name));
	assert_int_equal(strlen(request_labels_header(labels, "x-1")), 255);
	assert_string_equal(request_labels_header(labels, "x-15"), "b");
	assert_null(request_labels_header(labels, "x-16")); // the 17th name
	assert_int_equal(strlen(request_labels_metadata(labels, "v")), 127);
	assert_string_equal(request_labels_metadata(labels, "k14"), "v");
	assert_null(request_labels_metadata(labels, "k15"));
	request_reader_free(reader);
}

// A new policy asks for other headers while a request is being read.
static void headers_may_be_asked_for_at_any_time(void **state)
{
	static const char head[] = POST "X-User: a\r\nHost: b\r\nContent-Length: 100\r\n\r\n";
	static const char *const other[] = {"host", "x-new", NULL};
	static struct note note;
	struct request_reader *reader = labels_open(&note);
	const struct request_labels *labels;

	(void)state;
	request_reader_feed(reader, 0, head, sizeof(head) - 1);
	labels = request_reader_labels(reader);
	assert_string_equal(request_labels_header(labels, "x-user"), "a");
	assert_int_equal(request_reader_keep_headers(reader, other), 0);
	assert_null(request_labels_header(labels, "x-user"));
	assert_null(request_labels_header(labels, "x-new"));
	assert_string_equal(request_labels_header(labels, "host"), "b");
	assert_int_equal(request_reader_keep_headers(reader, NULL), 0);
	assert_null(request_labels_header(labels, "host"));
	request_reader_free(reader);
}

// Of a POST with a body of `length` bytes that begins with `body`, of which `seen` are read in
// pieces of `piece`; the rest is `fill`.
static uint64_t hash_of(const char *body, size_t length, size_t seen, size_t piece, char fill)
{
	static struct note note;
	struct request_reader *reader = labels_open(&note);
	char head[200], *bytes = malloc(length + 1);
	uint64_t hash;
	size_t at =
		(size_t)snprintf(head, sizeof(head), POST "Content-Length: %zu\r\n\r\n", length);

	assert_non_null(bytes);
	memset(bytes, fill, length);
	memcpy(bytes, body, strlen(body));
	note.used = 0;
	request_reader_feed(reader, 0, head, at);
	for (size_t n = 0; n < seen; n += piece)
		request_reader_feed(reader, at + n, bytes + n, seen - n < piece ? seen - n : piece);
	hash = last.body_hash;
	if (request_reader_current(reader))
		hash = request_reader_current(reader)->body_hash;
	else
		assert_true(last.is_whole);
	request_reader_free(reader);
	free(bytes);
	return hash;
}

static void a_retry_has_the_same_hash(void **state)
{
	uint64_t hash = hash_of("{\"a\":1}", 7, 7, 7, ' ');

	(void)state;
	assert_int_not_equal(hash, 0);
	assert_true(hash == hash_of("{\"a\":1}", 7, 7, 1, ' '));
	assert_true(hash != hash_of("{\"a\":2}", 7, 7, 7, ' '));
	assert_true(hash != hash_of("{\"a\":1}", 8, 8, 8, ' '));
	assert_int_equal(hash_of("{\"a\":1}", 8, 7, 7, ' '), 0); // not known yet
}

// A large request is decided when 64 KB of it are in, wherever the pieces were cut.
static void a_large_body_s_hash_is_known_at_64_kb(void **state)
{
	uint64_t hash = hash_of("{", 1000000, 65536, 16384, 'a');

	(void)state;
	assert_int_not_equal(hash, 0);
	assert_true(hash == hash_of("{", 1000000, 70001, 999, 'a'));
	assert_true(hash == hash_of("{", 1000000, 1000000, 16384, 'a'));
	assert_true(hash != hash_of("{", 1000001, 65536, 16384, 'a'));
	assert_true(hash != hash_of("{", 1000000, 65536, 16384, 'b'));
	assert_int_equal(hash_of("{", 1000000, 65535, 16384, 'a'), 0);
}

static void a_gap_leaves_no_hash(void **state)
{
	static const char head[] = POST "Content-Length: 100\r\n\r\n";
	static struct note note;
	struct request_reader *reader = labels_open(&note);
	size_t at = sizeof(head) - 1;

	(void)state;
	note.used = 0;
	request_reader_feed(reader, 0, head, at);
	request_reader_skip(reader, at, 99);
	request_reader_feed(reader, at + 99, "}", 1);
	assert_null(request_reader_current(reader));
	assert_false(last.is_whole);
	assert_int_equal(last.body_hash, 0);
	request_reader_free(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(labels_of_requests),
		cmocka_unit_test(labels_are_of_one_request_only),
		cmocka_unit_test(what_is_kept_is_bounded),
		cmocka_unit_test(headers_may_be_asked_for_at_any_time),
		cmocka_unit_test(a_retry_has_the_same_hash),
		cmocka_unit_test(a_large_body_s_hash_is_known_at_64_kb),
		cmocka_unit_test(a_gap_leaves_no_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
