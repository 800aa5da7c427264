// If this fails, a connection is taken for what it is not, a response for that of another request,
// or a program's connection costs more memory than it may.
#include <zlib.h>
#include "wire_talk.h"

#define POST                                                                                       \
	"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"                     \
	"Content-Length: 13\r\n\r\n{\"model\":\"m\"}"
#define GET "GET /v1/y HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define UPGRADE "GET /v1/realtime HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
#define SWITCH "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"

struct line {
	enum speaker by;
	const char *text;
};

static const struct {
	struct line lines[6]; // ended by one without a text
	const char *said;
} talks[] = {
	// Requests and responses get the same number.
	{{{CLIENT, POST}, {SERVER, OK}, {CLIENT, GET}, {SERVER, OK}},
	 "1 STARTED at=0;1 HEAD POST /v1/x host=a length=13;"
	 "1 COMPLETE bytes=13 model=m body=84 end=97 json;"
	 "1 ANSWER status=200;1 ANSWERED status=200 bytes=2;"
	 "2 STARTED at=97;2 HEAD GET /v1/y host=a length=0;2 COMPLETE bytes=0 body=128 end=128;"
	 "2 ANSWER status=200;2 ANSWERED status=200 bytes=2;"},
	// Pipelined; 1xx in between; a response to HEAD.
	{{{CLIENT, "HEAD /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"},
	  {SERVER, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
	  {SERVER, OK}},
	 "1 STARTED at=0;1 HEAD HEAD /1 length=0;1 COMPLETE bytes=0 body=20 end=20;"
	 "2 STARTED at=20;2 HEAD GET /2 length=0;2 COMPLETE bytes=0 body=39 end=39;"
	 "1 ANSWER status=200;1 ANSWERED status=200;"
	 "2 ANSWER status=200;2 ANSWERED status=200 bytes=2;"},
	// It is answered before it is whole.
	{{{CLIENT, "POST /1 HTTP/1.1\r\nContent-Length: 9\r\n\r\nab"}, {SERVER, OK}},
	 "1 STARTED at=0;1 HEAD POST /1 length=9;1 ANSWER status=200;1 ANSWERED status=200 "
	 "bytes=2;"},
	// Until the connection ends.
	{{{CLIENT, GET}, {SERVER, "HTTP/1.1 200 OK\r\n\r\nabc"}},
	 "1 STARTED at=0;1 HEAD GET /v1/y host=a length=0;1 COMPLETE bytes=0 body=31 end=31;"
	 "1 ANSWER status=200;1 ANSWERED status=200 bytes=3;"},
	// Nobody asked.
	{{{CLIENT, GET}, {SERVER, OK}, {SERVER, "HTTP/1.1 408 Timeout\r\n\r\n"}, {CLIENT, GET}},
	 "1 STARTED at=0;1 HEAD GET /v1/y host=a length=0;1 COMPLETE bytes=0 body=31 end=31;"
	 "1 ANSWER status=200;1 ANSWERED status=200 bytes=2;UNKNOWN;"
	 "2 STARTED at=31;2 HEAD GET /v1/y host=a length=0;2 COMPLETE bytes=0 body=62 end=62;"},
	{{{SERVER, "HTTP/1.1 408 Timeout\r\n\r\n"}, {CLIENT, "GET /1 HTTP/1.1\r\n\r\n"}},
	 "UNKNOWN;1 STARTED at=0;1 HEAD GET /1 length=0;1 COMPLETE bytes=0 body=19 end=19;"},
	// To a WebSocket, whose turns are told (the bytes: text frames of one event each).
	{{{CLIENT, UPGRADE}, {SERVER, SWITCH}, {CLIENT, "\x81\x85mask....."}},
	 "1 STARTED at=0;1 HEAD GET /v1/realtime length=0;1 COMPLETE bytes=0 body=70 end=70;"
	 "1 UPGRADED status=101;"},
	{{{CLIENT, UPGRADE},
	  {SERVER,
	   SWITCH "\x81\x7d{\"type\":\"response.done\",\"response\":{\"status\":\"completed\","
		  "\"usage\":{\"total_tokens\":12,\"input_tokens\":5,\"output_tokens\":7}}}    "}},
	 "1 STARTED at=0;1 HEAD GET /v1/realtime length=0;1 COMPLETE bytes=0 body=70 end=70;"
	 "1 UPGRADED status=101;1 TURN status=101 in=5 out=7;"},
	// The server does not want to: HTTP/1.1 goes on.
	{{{CLIENT, UPGRADE}, {SERVER, OK}, {CLIENT, GET}, {SERVER, OK}},
	 "1 STARTED at=0;1 HEAD GET /v1/realtime length=0;1 COMPLETE bytes=0 body=70 end=70;"
	 "1 ANSWER status=200;1 ANSWERED status=200 bytes=2;"
	 "2 STARTED at=70;2 HEAD GET /v1/y host=a length=0;2 COMPLETE bytes=0 body=101 end=101;"
	 "2 ANSWER status=200;2 ANSWERED status=200 bytes=2;"},
	{{{CLIENT, "CONNECT a:443 HTTP/1.1\r\n\r\n"},
	  {SERVER, "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"},
	  {CLIENT, "GET /1 HTTP/1.1\r\n\r\n"}},
	 "1 STARTED at=0;1 HEAD CONNECT a:443 length=0;1 COMPLETE bytes=0 body=26 end=26;"
	 "1 ANSWER status=407;1 ANSWERED status=407;"
	 "2 STARTED at=26;2 HEAD GET /1 length=0;2 COMPLETE bytes=0 body=45 end=45;"},
	// To what is not read.
	{{{CLIENT, "CONNECT a:443 HTTP/1.1\r\n\r\n"}, {SERVER, "HTTP/1.1 200 OK\r\n\r\n"}},
	 "1 STARTED at=0;1 HEAD CONNECT a:443 length=0;1 COMPLETE bytes=0 body=26 end=26;"
	 "OPAQUE upgraded to another protocol;"},
	{{{CLIENT, "GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"},
	  {SERVER, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"},
	  {CLIENT, HTTP2_PREFACE}},
	 "1 STARTED at=0;1 HEAD GET / length=0;1 COMPLETE bytes=0 body=53 end=53;"
	 "OPAQUE upgraded to another protocol;"},
	{{{CLIENT, GET}, {SERVER, SWITCH}}, // not asked for
	 "1 STARTED at=0;1 HEAD GET /v1/y host=a length=0;1 COMPLETE bytes=0 body=31 end=31;"
	 "OPAQUE upgraded to another protocol;"},
	{{{CLIENT, UPGRADE "\x81\x85"}, {SERVER, SWITCH}},
	 "1 STARTED at=0;1 HEAD GET /v1/realtime length=0;1 COMPLETE bytes=0 body=70 end=70;"
	 "OPAQUE it went on before the answer to its upgrade was seen;"},
	// Neither protocol.
	{{{CLIENT, "\x16\x03\x01"}}, "OPAQUE not HTTP;"},
	{{{CLIENT, "PRI * HTTP/2.0\r\n\r\nSM\r\n\rx"}}, "1 STARTED at=0;OPAQUE not HTTP;"},
	{{{CLIENT, "PRI"}}, ""},
	{{{CLIENT, "PUT /1 HTTP/1.1\r\n\r\n"}},
	 "1 STARTED at=0;1 HEAD PUT /1 length=0;1 COMPLETE bytes=0 body=19 end=19;"},
	{{{CLIENT, "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"},
	  {SERVER, OK}},
	 "1 STARTED at=0;OPAQUE an HTTP head that can be read in two ways;"},
	{{{CLIENT, GET}, {SERVER, "<html>"}, {CLIENT, GET}},
	 "1 STARTED at=0;1 HEAD GET /v1/y host=a length=0;1 COMPLETE bytes=0 body=31 end=31;"
	 "UNKNOWN;"
	 "2 STARTED at=31;2 HEAD GET /v1/y host=a length=0;2 COMPLETE bytes=0 body=62 end=62;"},
};

static void talks_are_told_however_they_are_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(talks); i++) {
		struct talk *talk = talk_new();

		for (const struct line *line = talks[i].lines; line->text; line++)
			talk_say(talk, line->by, line->text);
		talk_expect(talk, talks[i].said);
	}
}

static void gaps(void **state)
{
	struct talk *talk = talk_new();

	(void)state;
	talk_say(talk, CLIENT, POST); // within a body
	talk_lose_last(talk, 3);
	talk_say(talk, SERVER, OK);
	talk_lose_last(talk, 1);
	talk_expect(talk, "1 STARTED at=0;1 HEAD POST /v1/x host=a length=13;"
			  "1 COMPLETE bytes=13 body=84 end=97 gap;"
			  "1 ANSWER status=200;1 ANSWERED status=200 bytes=2;");

	talk = talk_new();
	talk_say(talk, CLIENT, GET); // of a response's head
	talk_say(talk, SERVER, OK);
	talk_lose_last(talk, 5);
	talk_say(talk, CLIENT, "GET /1 HTTP/1.1\r\n\r\n");
	talk_lose_last(talk, 1);
	talk_expect(talk, "1 STARTED at=0;1 HEAD GET /v1/y host=a length=0;"
			  "1 COMPLETE bytes=0 body=31 end=31;UNKNOWN;2 STARTED at=31;"
			  "OPAQUE not all of it was seen;");

	talk = talk_new();
	talk_say(talk, CLIENT, "P"); // of the bytes that tell the protocol
	talk_lose_last(talk, 1);
	talk_say(talk, CLIENT, GET);
	talk_expect(talk, "OPAQUE not all of it was seen;");

	talk = talk_new();
	talk_say(talk, CLIENT, UPGRADE); // on a WebSocket
	talk_say(talk, SERVER, SWITCH "\x81\x02{}");
	talk_lose_last(talk, 1);
	talk_say(talk, CLIENT, "abc");
	talk_lose_last(talk, 3); // which is not read
	talk_expect(talk, "1 STARTED at=0;1 HEAD GET /v1/realtime length=0;"
			  "1 COMPLETE bytes=0 body=70 end=70;1 UPGRADED status=101;UNKNOWN;");
}

static size_t gzip(const char *text, unsigned char *ret_bytes, size_t size)
{
	z_stream stream = {.next_in = (unsigned char *)text,
			   .avail_in = (unsigned int)strlen(text),
			   .next_out = ret_bytes,
			   .avail_out = (unsigned int)size};

	assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY),
			 Z_OK);
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	deflateEnd(&stream);
	return stream.total_out;
}

// What is charged stands in a response's body, which most clients ask to be compressed.
static void a_compressed_response_is_read(void **state)
{
	static struct note note;
	unsigned char body[512], *lost;
	char head[200];
	size_t len = gzip("{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12}}", body,
			  sizeof(body));

	(void)state;
	snprintf(head, sizeof(head),
		 "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
		 "Content-Length: %zu\r\n\r\n",
		 len);
	for (int way = 0; way < 3; way++) { // whole; damaged; with a gap
		struct talk *talk = talk_new();

		talk_say(talk, CLIENT, GET);
		talk_say(talk, SERVER, head);
		talk_raw(talk, SERVER, body, len);
		lost = talk->bytes + talk->used - len;
		if (way == 1)
			memset(lost + 12, 0xff, 8);
		if (way == 2)
			talk_lose_last(talk, 4);
		talk_say(talk, CLIENT, GET);
		talk_say(talk, SERVER, OK);
		talk_play_all_ways(talk, &note);
		assert_int_equal(!!strstr(note.text, "in=9 out=12"), way != 1);
		assert_non_null(strstr(note.text, "2 ANSWERED status=200 bytes=2;"));
		talk_free(talk);
	}
}

static void ignore_event(void *owner, enum conversation_event event, uint64_t stream,
			 const struct request *request, const struct response *response)
{
	(void)stream;
	(void)request;
	(void)response;
	if (owner)
		*(enum conversation_event *)owner = event;
}

// The gate stands at what was reached; bytes that may be either protocol's have not been.
static void what_is_reached(void **state)
{
	struct conversation *c = conversation_new(ignore_event, NULL);

	(void)state;
	conversation_sent(c, 0, "PO", 1);
	assert_int_equal(conversation_reached(c), 0);
	assert_int_equal(conversation_protocol(c), PROTOCOL_UNKNOWN);
	conversation_sent(c, 1, "OST", 3);
	assert_int_equal(conversation_reached(c), 4);
	assert_int_equal(conversation_protocol(c), PROTOCOL_HTTP1);
	conversation_sent(c, 4, " / HTTP/1.1\r\nContent-Length: 9\r\n\r\nab", 36);
	assert_int_equal(conversation_reached(c), 40);
	conversation_sent(c, 9, "x", 1);
	assert_int_equal(conversation_reached(c), 40);
	conversation_sent_unseen(c, 100, 1);
	assert_string_equal(conversation_why(c), "not all of it was seen");
	assert_int_equal(conversation_reached(c), 40);
	conversation_free(c);

	c = conversation_new(ignore_event, NULL);
	conversation_sent(c, 0, UPGRADE, strlen(UPGRADE));
	conversation_received(c, 0, SWITCH, strlen(SWITCH));
	assert_int_equal(conversation_protocol(c), PROTOCOL_WEBSOCKET);
	assert_int_equal(conversation_reached(c), strlen(UPGRADE));
	conversation_sent(c, strlen(UPGRADE), "abc", 3);
	assert_int_equal(conversation_reached(c), strlen(UPGRADE) + 3);
	conversation_free(c);
}

// Thousands of connections stay open between requests.
static void an_idle_connection_is_small(void **state)
{
	struct conversation *c = conversation_new(ignore_event, NULL);

	(void)state;
	conversation_sent(c, 0, POST, strlen(POST) - 1);
	print_message("HTTP/1.1, a request being read: %zu bytes\n", wire_used());
	assert_in_range(wire_used(), 1, 32768);
	conversation_sent(c, strlen(POST) - 1, "}", 1);
	conversation_received(c, 0, OK, strlen(OK) - 1);
	print_message("HTTP/1.1, a response being read: %zu bytes\n", wire_used());
	assert_in_range(wire_used(), 1, 16384);
	conversation_received(c, strlen(OK) - 1, "i", 1);
	print_message("HTTP/1.1, idle: %zu bytes\n", wire_used());
	assert_in_range(wire_used(), 1, 2048);
	conversation_free(c);
	assert_int_equal(wire_used(), 0);
}

// At whatever moment the bound is reached, the conversation says so and nothing else happens.
static void without_memory_it_is_opaque(void **state)
{
	enum conversation_event last;
	bool was_opaque = false, was_told = false;

	(void)state;
	for (size_t bound = 64; bound < 40000; bound += 64) {
		struct conversation *c;

		wire_set_bound(bound);
		c = conversation_new(ignore_event, &last);
		if (!c)
			continue;
		conversation_sent(c, 0, POST, strlen(POST));
		conversation_received(c, 0, OK, strlen(OK));
		if (conversation_why(c))
			assert_string_equal(conversation_why(c), "no memory for it is left");
		assert_true(wire_used() <= bound);
		was_opaque |= last == CONVERSATION_OPAQUE;
		was_told |= last == RESPONSE_COMPLETE;
		conversation_free(c);
		assert_int_equal(wire_used(), 0);
	}
	assert_true(was_opaque && was_told);
	wire_set_bound(64u << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(talks_are_told_however_they_are_cut),
		cmocka_unit_test(gaps),
		cmocka_unit_test(a_compressed_response_is_read),
		cmocka_unit_test(what_is_reached),
		cmocka_unit_test(an_idle_connection_is_small),
		cmocka_unit_test(without_memory_it_is_opaque),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
