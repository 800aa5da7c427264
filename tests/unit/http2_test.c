// If this fails, what a program says over HTTP/2 is missed, taken for another request's, or charged
// to the wrong key; or one program's connection takes more memory than it may.
#include "wire_http2.h"

static void one_request(void **state)
{
	struct talk *talk = begun();
	size_t body;

	(void)state;
	assert_int_equal(client_bytes(talk), FIRST);
	talk_headers(talk, CLIENT, 0, 1, FIELDS(REQUEST_FIELDS, "content-length", "13"));
	body = client_bytes(talk);
	talk_data(talk, CLIENT, HTTP2_END_STREAM, 1, BODY);
	talk_headers(talk, SERVER, 0, 1, FIELDS(OK_FIELDS));
	talk_data(talk, SERVER, HTTP2_END_STREAM, 1, USAGE);
	talk_headers(talk, CLIENT, HTTP2_END_STREAM, 3, // by the tables as they are now
		     FIELDS(":method", "GET", ":authority", "API.openai.com:443", ":path",
			    "/v1/models", "authorization", "Bearer sk-test"));
	talk_headers(talk, SERVER, HTTP2_END_STREAM, 3, FIELDS(":status", "204"));
	expect_at(talk,
		  "1 STARTED at=48;1 " HEAD_SAID " length=13;"
		  "1 COMPLETE bytes=13 model=m body=%zu x-user=me json;"
		  "1 ANSWER status=200 limit=30000;"
		  "1 ANSWERED status=200 bytes=46 in=5 out=6 limit=30000;"
		  "3 STARTED at=%zu;3 HEAD GET /v1/models host=api.openai.com key=" KEY
		  " length=0;3 COMPLETE bytes=0;3 ANSWER status=204;3 ANSWERED status=204;",
		  body, body + 9 + 13);
}

// Frames of several requests come in any order; padding, priority, and what is of no interest.
static void interleaved(void **state)
{
	static struct note note;
	static const char padded[] = "\3{\"model\"\0\0\0";
	static const char padding_only[] = "\2\0\0";
	struct talk *talk = begun();
	unsigned char block[2048] = "\5\0\0\0\0\x10"; // pad length, priority
	size_t len;

	(void)state;
	len = 6 + talk_block(talk, CLIENT, FIELDS(REQUEST_FIELDS), block + 6, sizeof(block) - 16);
	talk_frame(talk, CLIENT, HTTP2_HEADERS,
		   HTTP2_END_HEADERS | HTTP2_PADDED | HTTP2_HAS_PRIORITY, 1, block, len + 5);
	talk_frame(talk, CLIENT, HTTP2_PING, 0, 0, "12345678", 8);
	talk_headers(talk, CLIENT, 0, 5, FIELDS(REQUEST_FIELDS));
	talk_frame(talk, CLIENT, HTTP2_DATA, HTTP2_PADDED, 5, padded, sizeof(padded) - 1);
	talk_u32(talk, CLIENT, HTTP2_WINDOW_UPDATE, 0, 70000, 4);
	talk_data(talk, CLIENT, 0, 1, "{\"mod");
	talk_frame(talk, CLIENT, HTTP2_PRIORITY, 0, 3, "\0\0\0\1\5", 5);
	talk_frame(talk, CLIENT, HTTP2_DATA, HTTP2_PADDED, 5, padding_only, 3);
	talk_data(talk, CLIENT, HTTP2_END_STREAM, 5, ":\"five\"}");
	talk_frame(talk, CLIENT, 0xfa, 0xff, 77, "whatever", 8);
	talk_data(talk, CLIENT, 0, 1, "el\":\"one\"}");
	talk_data(talk, CLIENT, HTTP2_END_STREAM, 1, "");
	talk_headers(talk, SERVER, 0, 5, FIELDS(OK_FIELDS));
	talk_frame(talk, SERVER, HTTP2_SETTINGS, 0, 0, "\0\1\0\0\0\0", 6);
	talk_headers(talk, SERVER, 0, 1, FIELDS(OK_FIELDS));
	talk_data(talk, SERVER, 0, 1, USAGE);
	talk_data(talk, SERVER, HTTP2_END_STREAM, 5, "{}");
	talk_headers(talk, SERVER, HTTP2_END_STREAM, 1, // trailers
		     FIELDS("x-ratelimit-limit-tokens", "1", ":status", "500"));
	talk_play_all_ways(talk, &note);
	assert_non_null(strstr(note.text, "1 COMPLETE bytes=15 model=one"));
	assert_non_null(strstr(note.text, "5 COMPLETE bytes=16 model=five"));
	assert_non_null(strstr(note.text, "5 ANSWER status=200 limit=30000;"
					  "1 ANSWER status=200 limit=30000;"
					  "5 ANSWERED status=200 bytes=2 limit=30000;"
					  "1 ANSWERED status=200 bytes=46 in=5 out=6 "
					  "limit=30000;"));
	assert_null(strstr(note.text, "OPAQUE"));
	assert_null(strstr(note.text, "UNKNOWN"));
	talk_free(talk);
}

static void continuations(void **state)
{
	struct talk *talk = begun();
	unsigned char block[2048];
	size_t len = talk_block(talk, CLIENT, FIELDS(REQUEST_FIELDS), block, sizeof(block));

	(void)state;
	talk_frame(talk, CLIENT, HTTP2_HEADERS, HTTP2_END_STREAM, 1, block, 20);
	talk_frame(talk, CLIENT, HTTP2_CONTINUATION, 0, 1, block + 20, 0);
	talk_frame(talk, CLIENT, HTTP2_CONTINUATION, 0, 1, block + 20, 1);
	talk_frame(talk, CLIENT, HTTP2_CONTINUATION, HTTP2_END_HEADERS, 1, block + 21, len - 21);
	len = talk_block(talk, SERVER, FIELDS(OK_FIELDS), block, sizeof(block));
	talk_frame(talk, SERVER, HTTP2_HEADERS, 0, 1, block, 0);
	talk_frame(talk, SERVER, HTTP2_CONTINUATION, HTTP2_END_HEADERS, 1, block, len);
	talk_data(talk, SERVER, HTTP2_END_STREAM, 1, "{}");
	talk_expect(talk, "1 STARTED at=48;1 " HEAD_SAID " length=0;1 COMPLETE bytes=0 x-user=me;"
			  "1 ANSWER status=200 limit=30000;1 ANSWERED status=200 bytes=2 "
			  "limit=30000;");
}

static void what_comes_before_and_beside_a_response(void **state)
{
	static struct note note;
	struct talk *talk = asked_once();
	unsigned char block[2048] = "\0\0\0\2";
	size_t len;

	(void)state;
	talk_headers(talk, SERVER, 0, 1, FIELDS(":status", "103", "x-ratelimit-limit-tokens", "1"));
	len = 4 + talk_block(talk, SERVER, FIELDS(":method", "GET", "x-pushed", "yes"), block + 4,
			     sizeof(block) - 4);
	talk_frame(talk, SERVER, HTTP2_PUSH_PROMISE, HTTP2_END_HEADERS, 1, block, len);
	talk_headers(talk, SERVER, 0, 2, FIELDS(":status", "200", "x-pushed", "yes"));
	talk_headers(talk, SERVER, 0, 1, FIELDS(OK_FIELDS, "x-pushed", "yes"));
	talk_data(talk, SERVER, HTTP2_END_STREAM, 2, "{\"usage\":{\"input_tokens\":99}}");
	talk_data(talk, SERVER, HTTP2_END_STREAM, 1, USAGE);
	talk_expect(talk, STARTED_1 "1 ANSWER status=200 limit=30000;"
				    "1 ANSWERED status=200 bytes=46 in=5 out=6 limit=30000;");

	talk = asked_once(); // the server speaks first
	memmove(&talk->parts[1], &talk->parts[0], 2 * sizeof(talk->parts[0]));
	talk->parts[0] = (struct talk_part){SERVER, 24 + 15, 9, false};
	talk_headers(talk, SERVER, HTTP2_END_STREAM, 1, FIELDS(":status", "503"));
	// the parts are not in the order of bytes any more
	talk_play(talk, SIZE_MAX, 0, false, &note);
	assert_string_equal(note.text, STARTED_1 "1 ANSWER status=503;1 ANSWERED status=503;");
	talk_play(talk, 1, 0, true, &note);
	assert_string_equal(note.text, STARTED_1 "1 ANSWER status=503;1 ANSWERED status=503;");
	talk_free(talk);
}

static void streams_that_end_early(void **state)
{
	struct talk *talk = asked_once();

	(void)state;
	talk_headers(talk, SERVER, 0, 1, FIELDS(OK_FIELDS)); // the client has enough
	talk_data(talk, SERVER, 0, 1, USAGE);
	talk_u32(talk, CLIENT, HTTP2_RST_STREAM, 1, NGHTTP2_CANCEL, 4);
	talk_data(talk, SERVER, HTTP2_END_STREAM, 1, "was under way");
	talk_expect(talk, STARTED_1 "1 ANSWER status=200 limit=30000;"
				    "1 LOST status=200 bytes=46 in=5 out=6 limit=30000;");

	talk = asked_once(); // the server will not
	talk_u32(talk, SERVER, HTTP2_RST_STREAM, 1, NGHTTP2_REFUSED_STREAM, 4);
	talk_u32(talk, SERVER, HTTP2_RST_STREAM, 1, NGHTTP2_REFUSED_STREAM, 4);
	talk_expect(talk, STARTED_1 "1 LOST;");

	talk = begun(); // it answers before it has all, and wants no more: section 8.1
	talk_headers(talk, CLIENT, 0, 1, FIELDS(REQUEST_FIELDS));
	talk_headers(talk, SERVER, HTTP2_END_STREAM, 1, FIELDS(":status", "413"));
	talk_u32(talk, SERVER, HTTP2_RST_STREAM, 1, NGHTTP2_NO_ERROR, 4);
	talk_data(talk, CLIENT, HTTP2_END_STREAM, 1, BODY);
	talk_expect(talk, "1 STARTED at=48;1 " HEAD_SAID ";1 ANSWER status=413;"
			  "1 ANSWERED status=413;1 LOST;");

	talk = asked_once(); // no final response
	talk_headers(talk, SERVER, HTTP2_END_STREAM, 1, FIELDS(":status", "100"));
	talk_expect(talk, STARTED_1 "1 LOST;");

	talk = begun(); // GOAWAY: 3 will not be answered, 1 will; nor what comes later
	talk_headers(talk, CLIENT, HTTP2_END_STREAM, 1, FIELDS(":method", "GET", ":path", "/1"));
	talk_headers(talk, CLIENT, 0, 3, FIELDS(":method", "PUT", ":path", "/3"));
	talk_u32(talk, SERVER, HTTP2_GOAWAY, 0, INT32_MAX, 8);
	talk_u32(talk, SERVER, HTTP2_GOAWAY, 0, 1, 12);
	talk_headers(talk, SERVER, HTTP2_END_STREAM, 1, FIELDS(":status", "204"));
	talk_data(talk, CLIENT, HTTP2_END_STREAM, 3, "ab");
	talk_headers(talk, CLIENT, HTTP2_END_STREAM, 5, FIELDS(":method", "GET", ":path", "/5"));
	talk_u32(talk, CLIENT, HTTP2_GOAWAY, 0, 0, 8); // says nothing of its own requests
	expect_at(talk,
		  "1 STARTED at=48;1 HEAD GET /1 length=0;1 COMPLETE bytes=0;"
		  "3 STARTED at=%zu;3 HEAD PUT /3;3 LOST;1 ANSWER status=204;1 ANSWERED status=204;"
		  "5 STARTED at=%zu;5 LOST;",
		  FIRST + 14, FIRST + 14 + 18 + 11);
}

static void host_is_the_authority(void **state)
{
	struct talk *talk = begun();

	(void)state;
	talk_headers(talk, CLIENT, HTTP2_END_STREAM, 1,
		     FIELDS(":method", "GET", ":path", "/", ":authority", "a:1", "host", "b"));
	talk_headers(talk, SERVER, HTTP2_END_STREAM, 1, FIELDS(":status", "200"));
	talk_expect(talk, "1 STARTED at=48;1 HEAD GET / host=a length=0;1 COMPLETE bytes=0;"
			  "1 ANSWER status=200;1 ANSWERED status=200;");
	talk = begun();
	talk_headers(talk, CLIENT, HTTP2_END_STREAM, 1,
		     FIELDS(":method", "GET", ":path", "/", "host", "b", "api-key", "sk-test"));
	talk_expect(talk,
		    "1 STARTED at=48;1 HEAD GET / host=b key=" KEY " length=0;1 COMPLETE bytes=0;");
}

static void gaps(void **state)
{
	static struct note note;
	static const char padded[] = "\3{\"model\":\"m\"}\0\0\0";
	struct talk *talk = begun();
	size_t begin;

	(void)state;
	talk_headers(talk, CLIENT, 0, 1, FIELDS(REQUEST_FIELDS)); // in bodies, to their ends
	talk_frame(talk, CLIENT, HTTP2_DATA, HTTP2_PADDED | HTTP2_END_STREAM, 1, padded,
		   sizeof(padded) - 1);
	talk_lose_last(talk, 6);
	talk_headers(talk, SERVER, 0, 1, FIELDS(":status", "200"));
	talk_data(talk, SERVER, 0, 1, "0123456789");
	talk_lose_last(talk, 10);
	talk_data(talk, SERVER, HTTP2_END_STREAM, 1, "0");
	talk_play_all_ways(talk, &note);
	assert_non_null(strstr(note.text, "1 COMPLETE bytes=13"));
	assert_non_null(strstr(note.text, " gap;1 ANSWER status=200;"
					  "1 ANSWERED status=200 bytes=11;"));
	talk_free(talk);

	talk = begun(); // in frames of no interest
	talk_frame(talk, CLIENT, HTTP2_PING, 0, 0, "12345678", 8);
	talk_lose_last(talk, 8);
	talk_headers(talk, CLIENT, HTTP2_END_STREAM, 1, FIELDS(":method", "GET", ":path", "/"));
	talk_expect(talk, "1 STARTED at=65;1 HEAD GET / length=0;1 COMPLETE bytes=0;");

	talk = asked_once(); // in a header block
	begin = client_bytes(talk);
	talk_headers(talk, CLIENT, HTTP2_END_STREAM, 3, FIELDS(REQUEST_FIELDS));
	talk_lose_last(talk, 1);
	talk_headers(talk, SERVER, HTTP2_END_STREAM, 1, FIELDS(":status", "200"));
	expect_at(talk, STARTED_1 "3 STARTED at=%zu;OPAQUE its HPACK state is unknown;", begin, 0);

	talk = asked_once(); // where a frame may have been
	talk_data(talk, CLIENT, 0, 1, "ab");
	talk_lose_last(talk, 3);
	talk_expect(talk, STARTED_1 "OPAQUE not all of it was seen;");

	talk = asked_once(); // of the server: requests are still read
	talk_headers(talk, SERVER, 0, 1, FIELDS(OK_FIELDS));
	talk_lose_last(talk, 1);
	begin = client_bytes(talk);
	talk_headers(talk, CLIENT, HTTP2_END_STREAM, 3, FIELDS(":method", "GET", ":path", "/3"));
	talk_headers(talk, SERVER, HTTP2_END_STREAM, 3, FIELDS(":status", "200"));
	expect_at(talk,
		  STARTED_1 "UNKNOWN;3 STARTED at=%zu;3 HEAD GET /3 length=0;3 COMPLETE bytes=0;",
		  begin, 0);
}

static void tunnels_are_not_read(void **state)
{
	struct talk *talk = begun();

	(void)state;
	talk_headers(talk, CLIENT, 0, 1,
		     FIELDS(":method", "CONNECT", ":protocol", "websocket", ":path", "/v1/realtime",
			    ":authority", "a"));
	talk_headers(talk, SERVER, 0, 1, FIELDS(":status", "200"));
	talk_expect(talk, "1 STARTED at=48;1 HEAD CONNECT /v1/realtime host=a;"
			  "OPAQUE upgraded to another protocol;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_request),
		cmocka_unit_test(interleaved),
		cmocka_unit_test(continuations),
		cmocka_unit_test(what_comes_before_and_beside_a_response),
		cmocka_unit_test(streams_that_end_early),
		cmocka_unit_test(host_is_the_authority),
		cmocka_unit_test(gaps),
		cmocka_unit_test(tunnels_are_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
