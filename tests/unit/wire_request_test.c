// If this fails, requests are missed, held at the wrong byte, or charged to the wrong key.
#include "wire_replay.h"

static struct request last; // as it was at the last event

static void on_event(void *owner, enum conversation_event event, const struct request *r)
{
	struct note *note = owner;

	if (r)
		last = *r;
	switch (event) {
	case REQUEST_STARTED:
		note_add(note, "STARTED at=%llu;", (unsigned long long)r->begin);
		break;
	case REQUEST_HEAD:
		note_add(note, "HEAD %s %s 1.%d", r->method, r->path, r->is_http11_or_later);
		note_text(note, "host", r->host);
		note_text(note, "key", r->api_key);
		note_text(note, "org", r->organization);
		note_text(note, "project", r->project);
		note_number(note, "retry", r->retry_count, 0);
		note_add(note, "%s body=%llu", r->has_json_body ? " json" : "",
			 (unsigned long long)r->body_begin);
		note_number(note, "end", r->end, REQUEST_UNKNOWN_LENGTH);
		note_add(note, ";");
		break;
	case REQUEST_COMPLETE:
		note_add(note, "COMPLETE end=%llu bytes=%llu", (unsigned long long)r->end,
			 (unsigned long long)r->body_bytes);
		note_text(note, "model", r->model);
		note_add(note, "%s;", r->body_json_whole ? " whole" : "");
		break;
	default:
		assert_int_equal(event, CONVERSATION_OPAQUE);
		note_add(note, "OPAQUE;");
		break;
	}
}

static void *request_open(struct note *note)
{
	void *reader = request_reader_new(on_event, note);

	assert_non_null(reader);
	return reader;
}

static void request_feed(void *reader, uint64_t at, const void *data, size_t len)
{
	request_reader_feed(reader, at, data, len);
}

static void request_close(void *reader)
{
	request_reader_free(reader);
}

static const struct replay replay = {request_open, request_feed, request_close};

#define HOST "Host: a\r\n"
#define JSON "Content-Type: application/json\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"

static const struct {
	const char *bytes;
	const char *said;
} streams[] = {
	// No body: complete where the head ends.
	{"GET /v1/models HTTP/1.1\r\n" HOST "\r\n",
	 "STARTED at=0;HEAD GET /v1/models 1.1 host=a body=36 end=36;COMPLETE end=36 bytes=0;"},
	{"POST /v1/x HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
	 "STARTED at=0;HEAD POST /v1/x 1.1 body=42 end=42;COMPLETE end=42 bytes=0;"},
	// A length. The query is not kept.
	{"POST /v1/x?a=b#c HTTP/1.0\r\n" JSON "Content-Length: 13\r\n\r\n{\"model\":\"m\"}",
	 "STARTED at=0;HEAD POST /v1/x 1.0 json body=81 end=94;"
	 "COMPLETE end=94 bytes=13 model=m whole;"},
	// Chunks, with an extension and trailers, which change nothing.
	{"POST /v1/x HTTP/1.1\r\n" JSON CHUNKED "\r\n"
	 "7;name=\"value\"\r\n{\"model\r\n006\r\n\":\"m\"}\r\n0\r\n"
	 "OpenAI-Project: fake\r\nX-Sum: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
	 "STARTED at=0;HEAD POST /v1/x 1.1 json body=83;"
	 "COMPLETE end=158 bytes=13 model=m whole;"
	 "STARTED at=158;HEAD GET / 1.1 body=176 end=176;COMPLETE end=176 bytes=0;"},
	// Pipelined; empty lines between requests are passed over (RFC 9112 section 2.2).
	{"POST /1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc\r\n"
	 "POST /2 HTTP/1.1\r\nContent-Length: 1\r\n\r\nzGET /3 HTTP/1.1\r\n\r\n",
	 "STARTED at=0;HEAD POST /1 1.1 body=39 end=42;COMPLETE end=42 bytes=3;"
	 "STARTED at=44;HEAD POST /2 1.1 body=83 end=84;COMPLETE end=84 bytes=1;"
	 "STARTED at=84;HEAD GET /3 1.1 body=103 end=103;COMPLETE end=103 bytes=0;"},
	// A client that goes on in spite of its own "close" is still read.
	{"GET /1 HTTP/1.1\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\n\r\n",
	 "STARTED at=0;HEAD GET /1 1.1 body=38 end=38;COMPLETE end=38 bytes=0;"
	 "STARTED at=38;HEAD GET /2 1.1 body=57 end=57;COMPLETE end=57 bytes=0;"},
	// The body waits for a 100 response; to a reader of bytes nothing is special.
	{"POST /v1/x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
	 "STARTED at=0;HEAD POST /v1/x 1.1 body=64 end=66;COMPLETE end=66 bytes=2;"},
	// Headers: case, port, white space, absolute form, obsolete line ends.
	{"POST https://api.openai.com:443/v1/x?q HTTP/1.1\r\nHOST: API.OpenAI.com:443\r\n"
	 "openai-organization:  org-1 \t\r\nOpenAI-Project: proj_2\r\n"
	 "x-stainless-retry-count: 2\r\nContent-Type: Application/JSON; charset=utf-8\r\n\r\n",
	 "STARTED at=0;HEAD POST /v1/x 1.1 host=api.openai.com org=org-1 project=proj_2 retry=2 "
	 "json"
	 " body=207 end=207;COMPLETE end=207 bytes=0;"},
	{"GET http://a HTTP/1.1\nHost: [::1]:8080\n\n",
	 "STARTED at=0;HEAD GET / 1.1 host=[::1] body=40 end=40;COMPLETE end=40 bytes=0;"},
	{"GET /\x1b[2J HTTP/1.1\r\nOpenAI-Project: a\xff\x1b[2Jb\r\n\r\n",
	 "STARTED at=0;OPAQUE;"}, // not a URL
	{"GET / HTTP/1.1\r\nOpenAI-Project: a\xff\x1b[2Jb\xc2\x9b\r\n\r\n",
	 "STARTED at=0;HEAD GET / 1.1 project=a??[2Jb?? body=45 end=45;COMPLETE end=45 bytes=0;"},
	// Key: 16 digits of `printf sk-test | sha256sum`.
	{"GET / HTTP/1.1\r\nAuthorization: Bearer sk-test\r\n\r\n",
	 "STARTED at=0;HEAD GET / 1.1 key=f3abf2a6cc4f0098 body=49 end=49;COMPLETE end=49 "
	 "bytes=0;"},
	{"GET / HTTP/1.1\r\nauthorization:\tbEARER   sk-test  \r\n\r\n",
	 "STARTED at=0;HEAD GET / 1.1 key=f3abf2a6cc4f0098 body=53 end=53;COMPLETE end=53 "
	 "bytes=0;"},
	{"GET / HTTP/1.1\r\nAuthorization: Basic sk-test\r\napi-key: sk-test\r\n\r\n",
	 "STARTED at=0;HEAD GET / 1.1 key=f3abf2a6cc4f0098 body=66 end=66;COMPLETE end=66 "
	 "bytes=0;"},
	{"GET / HTTP/1.1\r\nx-api-key: sk-test\r\nAuthorization: Basic sk-test\r\n\r\n",
	 "STARTED at=0;HEAD GET / 1.1 key=f3abf2a6cc4f0098 body=68 end=68;COMPLETE end=68 "
	 "bytes=0;"},
	{"GET / HTTP/1.1\r\nAuthorization: Bearer \r\nAuthorization: Bearersk-test\r\n"
	 "Authorization:\r\napi-key:\r\nX-Authorization: Bearer sk-test\r\n\r\n",
	 "STARTED at=0;HEAD GET / 1.1 body=131 end=131;COMPLETE end=131 bytes=0;"},
	// A body that is compressed, or not JSON, is counted but not read.
	{"POST / HTTP/1.1\r\n" JSON "Content-Encoding: gzip\r\nContent-Length: 13\r\n\r\n"
	 "{\"model\":\"m\"}GET / HTTP/1.1\r\n\r\n",
	 "STARTED at=0;HEAD POST / 1.1 json body=95 end=108;COMPLETE end=108 bytes=13;"
	 "STARTED at=108;HEAD GET / 1.1 body=126 end=126;COMPLETE end=126 bytes=0;"},
	{"POST / HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: "
	 "13\r\n\r\n{\"model\":\"m\"}",
	 "STARTED at=0;HEAD POST / 1.1 body=65 end=78;COMPLETE end=78 bytes=13;"},
	// A length that is too short: the JSON breaks off, and what follows is no request.
	{"POST / HTTP/1.1\r\n" JSON "Content-Length: 12\r\n\r\n{\"model\":\"m\"}",
	 "STARTED at=0;HEAD POST / 1.1 json body=71 end=83;COMPLETE end=83 bytes=12 "
	 "model=m;OPAQUE;"},
	// A length that is too long swallows the next request, as it would on the server.
	{"POST / HTTP/1.1\r\n" JSON
	 "Content-Length: 31\r\n\r\n{\"model\":\"m\"}GET / HTTP/1.1\r\n\r\n",
	 "STARTED at=0;HEAD POST / 1.1 json body=71 end=102;COMPLETE end=102 bytes=31 model=m;"},
	// Upgrades, with and without a body: what follows may be another protocol, and waits.
	{"GET /v1/realtime HTTP/1.1\r\nUpgrade: websocket\r\nConnection: "
	 "Upgrade\r\n\r\n\x82\x05hello",
	 "STARTED at=0;HEAD GET /v1/realtime 1.1 body=70 end=70;COMPLETE end=70 bytes=0;"},
	{"POST / HTTP/1.1\r\nUpgrade: h\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nhiGET",
	 "STARTED at=0;HEAD POST / 1.1 body=71 end=73;COMPLETE end=73 bytes=2;"},
	{"CONNECT a:443 HTTP/1.1\r\n\r\n\x16\x03\x01",
	 "STARTED at=0;HEAD CONNECT a:443 1.1 body=26 end=26;COMPLETE end=26 bytes=0;"},
	// What two readers may read in two ways is not read at all.
	{"POST / HTTP/1.1\r\nContent-Length: 3\r\n" CHUNKED "\r\n0\r\n\r\n",
	 "STARTED at=0;OPAQUE;"},
	{"POST / HTTP/1.1\r\n" CHUNKED "Content-Length: 3\r\n\r\n0\r\n\r\n",
	 "STARTED at=0;OPAQUE;"},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
	 "STARTED at=0;OPAQUE;"},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", "STARTED at=0;OPAQUE;"},
	{"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
	 "STARTED at=0;OPAQUE;"},
	{"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "STARTED at=0;OPAQUE;"},
	{"POST / HTTP/1.1\r\nContent-Length: 18446744073709551600\r\n\r\n", "STARTED at=0;OPAQUE;"},
	{"POST / HTTP/1.1\r\n" CHUNKED "\r\nxyz\r\n",
	 "STARTED at=0;HEAD POST / 1.1 body=47;OPAQUE;"},
	{"POST / HTTP/1.1\r\n" CHUNKED "\r\n3\r\nabcd\r\n",
	 "STARTED at=0;HEAD POST / 1.1 body=47;OPAQUE;"},
	// Not HTTP/1.x.
	{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "STARTED at=0;OPAQUE;"},
	{"\x16\x03\x01\x02", "OPAQUE;"},
	{"hello\r\n", "OPAQUE;"},
	{"GET / HTTP/1.1\r\nno colon\r\n\r\n", "STARTED at=0;OPAQUE;"},
	{"GET / HTTP/1.1\r\n\r\n\x01\x02\x03",
	 "STARTED at=0;HEAD GET / 1.1 body=18 end=18;COMPLETE end=18 bytes=0;OPAQUE;"},
	// Still under way.
	{"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab",
	 "STARTED at=0;HEAD POST / 1.1 body=38 end=43;"},
	{"", ""},
};

static void streams_are_framed_however_they_are_cut(void **state)
{
	static struct note note;

	(void)state;
	for (size_t i = 0; i < LENGTH(streams); i++) {
		replay_all_ways(&replay, streams[i].bytes, strlen(streams[i].bytes), &note);
		assert_string_equal(note.text, streams[i].said);
	}
}

#define POST_100 "POST / HTTP/1.1\r\n" JSON "Content-Length: 100\r\n\r\n" // 72 bytes; ends at 172

static struct request_reader *open_post_100(struct note *note)
{
	struct request_reader *reader = request_reader_new(on_event, note);

	assert_non_null(reader);
	note->used = 0;
	request_reader_feed(reader, 0, POST_100, 72);
	note->used = 0;
	note->text[0] = '\0';
	return reader;
}

static void a_gap_in_a_body_of_known_length_is_survived(void **state)
{
	static struct note note;
	struct request_reader *reader = open_post_100(&note);

	(void)state;
	request_reader_feed(reader, 72, "{\"model\":\"m\",", 13);
	request_reader_skip(reader, 85, 40);             // told
	request_reader_feed(reader, 135, "\"n\":2}", 6); // found: 125 to 135 are missing
	assert_int_equal(request_reader_current(reader)->body_bytes, 69);
	request_reader_skip(reader, 141, 31);
	assert_string_equal(note.text, "COMPLETE end=172 bytes=100 model=m;");
	assert_null(request_reader_current(reader));
	note.used = 0;
	request_reader_feed(reader, 172, "GET / HTTP/1.1\r\n\r\n", 18);
	assert_string_equal(note.text, "STARTED at=172;HEAD GET / 1.1 body=190 end=190;"
				       "COMPLETE end=190 bytes=0;");
	request_reader_free(reader);
}

static void a_gap_that_may_hide_a_request_is_not(void **state)
{
	static struct note note;
	struct request_reader *reader = open_post_100(&note);

	(void)state;
	request_reader_skip(reader, 72, 101); // one more than the body
	assert_string_equal(note.text, "OPAQUE;");
	assert_null(request_reader_current(reader));
	request_reader_feed(reader, 173, "GET / HTTP/1.1\r\n\r\n", 18); // once is enough
	request_reader_skip(reader, 500, 1);
	assert_string_equal(note.text, "OPAQUE;");
	request_reader_free(reader);

	reader = request_reader_new(on_event, &note); // at the start
	note.used = 0;
	request_reader_feed(reader, 1, "GET / HTTP/1.1\r\n\r\n", 18);
	assert_string_equal(note.text, "OPAQUE;");
	request_reader_free(reader);

	reader = request_reader_new(on_event, &note); // within a head
	note.used = 0;
	request_reader_feed(reader, 0, "GET / HT", 8);
	request_reader_skip(reader, 8, 1);
	assert_string_equal(note.text, "STARTED at=0;OPAQUE;");
	request_reader_free(reader);

	reader = request_reader_new(on_event, &note); // within a chunk, but one byte too long
	note.used = 0;
	request_reader_feed(reader, 0, "POST / HTTP/1.1\r\n" CHUNKED "\r\n5\r\nab", 52);
	request_reader_skip(reader, 52, 4);
	assert_string_equal(note.text, "STARTED at=0;HEAD POST / 1.1 body=47;OPAQUE;");
	request_reader_free(reader);
}

static void a_gap_within_a_chunk_is_survived(void **state)
{
	static const char head[] = "POST / HTTP/1.1\r\n" JSON CHUNKED "\r\n";
	static const char end[] = "\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n";
	static struct note note;

	(void)state;
	for (size_t lost_from = 0; lost_from < 13; lost_from++)
		for (size_t lost = 1; lost_from + lost <= 13; lost++) {
			struct request_reader *reader = request_reader_new(on_event, &note);
			size_t at = sizeof(head) - 1;

			note.used = 0;
			request_reader_feed(reader, 0, head, at);
			request_reader_feed(reader, at, "d\r\n", 3);
			request_reader_feed(reader, at + 3, "{\"model\":\"m\"}", lost_from);
			request_reader_skip(reader, at + 3 + lost_from, lost);
			request_reader_feed(reader, at + 3 + lost_from + lost,
					    &"{\"model\":\"m\"}"[lost_from + lost],
					    13 - lost_from - lost);
			request_reader_feed(reader, at + 16, end, sizeof(end) - 1);
			assert_non_null(strstr(note.text, "bytes=13"));
			assert_null(strstr(note.text, "whole"));
			assert_non_null(strstr(note.text, "STARTED at=102;HEAD GET /"));
			request_reader_free(reader);
		}
}

static void a_gap_of_any_size_costs_nothing(void **state)
{
	static const char head[] = "POST / HTTP/1.1\r\nContent-Length: 1000000000000000000\r\n\r\n";
	static struct note note;
	struct request_reader *reader = request_reader_new(on_event, &note);
	uint64_t end = sizeof(head) - 1 + UINT64_C(1000000000000000000);

	(void)state;
	note.used = 0;
	request_reader_feed(reader, 0, head, sizeof(head) - 1);
	request_reader_skip(reader, sizeof(head) - 1, UINT64_C(1000000000000000000) - 1);
	assert_int_equal(last.end, end);
	request_reader_feed(reader, end - 1, "x", 1);
	assert_non_null(strstr(note.text, "COMPLETE"));
	request_reader_skip(reader, 0, UINT64_MAX); // nonsense
	assert_non_null(strstr(note.text, "OPAQUE"));
	request_reader_free(reader);
}

static void long_values_are_cut(void **state)
{
	static struct note note;
	char bytes[2000], long_name[600];

	(void)state;
	memset(long_name, 'x', sizeof(long_name));
	long_name[599] = '\0';
	snprintf(bytes, sizeof(bytes),
		 "GET /%s HTTP/1.1\r\nHost: %s\r\n%s: y\r\nOpenAI-Project: p\r\n\r\n", long_name,
		 long_name, long_name);
	replay_all_ways(&replay, bytes, strlen(bytes), &note);
	assert_int_equal(strlen(last.path), sizeof(last.path) - 1);
	assert_int_equal(strlen(last.host), sizeof(last.host) - 1);
	assert_string_equal(last.project, "p");
}

static void endless_headers_are_refused(void **state)
{
	static struct note note;
	static char header[1002];
	struct request_reader *reader = request_reader_new(on_event, &note);
	uint64_t at = 16;

	(void)state;
	memset(header, 'a', 1000);
	memcpy(header + 1000, "\r\n", 2);
	header[1] = ':';
	note.used = 0;
	request_reader_feed(reader, 0, "GET / HTTP/1.1\r\n", 16);
	for (; at < 200000 && !strstr(note.text, "OPAQUE"); at += 1002)
		request_reader_feed(reader, at, header, 1002);
	assert_in_range(at, 70000, 100000);
	request_reader_free(reader);
}

// The hash of a key of any length, and no trace of the key itself in what is handed out.
static void keys_are_hashed_and_never_shown(void **state)
{
	static struct note note;
	char bytes[6000] = "GET / HTTP/1.1\r\nAuthorization: Bearer ";
	size_t used = strlen(bytes);

	(void)state;
	for (size_t i = 0; i < 5000; i++)
		bytes[used + i] = (char)('a' + i % 26);
	strcpy(bytes + used + 5000, "\r\nHost: a\r\n\r\n");
	for (size_t cut = used - 10; cut < used + 5010; cut += 61) {
		replay_twice(&replay, bytes, strlen(bytes), cut, 0, &note);
		assert_string_equal(last.api_key, "de6e4191ff15d048");
		assert_null(memmem(&last, sizeof(last), "abcdefgh", 8));
	}
	strcpy(bytes, "POST / HTTP/1.1\r\nAuthorization: Bearer sk-SECRET\r\napi-key: sk-SECRET\r\n"
		      "Content-Length: 2\r\n\r\n{}");
	replay_all_ways(&replay, bytes, strlen(bytes), &note);
	assert_null(memmem(&last, sizeof(last), "SECRET", 6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_are_framed_however_they_are_cut),
		cmocka_unit_test(a_gap_in_a_body_of_known_length_is_survived),
		cmocka_unit_test(a_gap_that_may_hide_a_request_is_not),
		cmocka_unit_test(a_gap_within_a_chunk_is_survived),
		cmocka_unit_test(a_gap_of_any_size_costs_nothing),
		cmocka_unit_test(long_values_are_cut),
		cmocka_unit_test(endless_headers_are_refused),
		cmocka_unit_test(keys_are_hashed_and_never_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
