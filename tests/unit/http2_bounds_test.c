// If this fails, broken or hostile HTTP/2 crashes the daemon, is taken for what it is not, or takes
// more memory than one connection may.
#include "wire_http2.h"

static void malformed(void **state)
{
	static const struct {
		unsigned int type, flags, stream;
		const char *payload;
		size_t len;
		const char *why;
	} frames[] = {
		{HTTP2_HEADERS, HTTP2_END_HEADERS, 2, "\x82", 1, "malformed HTTP/2"},
		{HTTP2_HEADERS, HTTP2_END_HEADERS, 0, "\x82", 1, "malformed HTTP/2"},
		{HTTP2_HEADERS, HTTP2_END_HEADERS | HTTP2_PADDED, 1, "\2\x82", 2,
		 "malformed HTTP/2"},
		{HTTP2_HEADERS, HTTP2_END_HEADERS | HTTP2_HAS_PRIORITY, 1, "\0\0\0\0", 4,
		 "malformed HTTP/2"},
		{HTTP2_CONTINUATION, HTTP2_END_HEADERS, 1, "\x82", 1, "malformed HTTP/2"},
		{HTTP2_PUSH_PROMISE, HTTP2_END_HEADERS, 1, "\0\0\0\2\x82", 5, "malformed HTTP/2"},
		{HTTP2_RST_STREAM, 0, 1, "\0\0\0\0\0", 5, "malformed HTTP/2"},
		{HTTP2_GOAWAY, 0, 0, "\0\0\0\0", 4, "malformed HTTP/2"},
		{HTTP2_DATA, 0, 0, "a", 1, "malformed HTTP/2"},
		{HTTP2_DATA, HTTP2_PADDED, 1, "", 0, "malformed HTTP/2"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(frames); i++) {
		static struct note note;
		struct talk *talk = begun();

		talk_frame(talk, CLIENT, frames[i].type, frames[i].flags, frames[i].stream,
			   frames[i].payload, frames[i].len);
		talk_play_all_ways(talk, &note);
		assert_non_null(strstr(note.text, frames[i].why));
		assert_null(strstr(note.text, "HEAD"));
		talk_free(talk);
	}
}

static void header_blocks_that_cannot_be_decoded(void **state)
{
	struct talk *talk = begun();

	(void)state;
	talk_frame(talk, CLIENT, HTTP2_HEADERS, HTTP2_END_HEADERS, 1, "\xff\xff\xff", 3);
	talk_expect(talk, "1 STARTED at=48;OPAQUE its HPACK state is unknown;");

	talk = begun(); // it ends within a field
	talk_frame(talk, CLIENT, HTTP2_HEADERS, HTTP2_END_HEADERS, 1, "\x82\x40\x01", 3);
	talk_expect(talk, "1 STARTED at=48;OPAQUE its HPACK state is unknown;");

	talk = begun(); // another frame between
	talk_frame(talk, CLIENT, HTTP2_HEADERS, 0, 1, "\x82", 1);
	talk_frame(talk, CLIENT, HTTP2_PING, 0, 0, "12345678", 8);
	talk_expect(talk, "1 STARTED at=48;OPAQUE malformed HTTP/2;");

	talk = begun(); // a table as large as clients are allowed to make it, and one beyond that
	talk_frame(talk, CLIENT, HTTP2_HEADERS, HTTP2_END_HEADERS | HTTP2_END_STREAM, 1,
		   "\x3f\xe1\xff\x03\x82\x84", 6);
	talk_frame(talk, CLIENT, HTTP2_HEADERS, HTTP2_END_HEADERS | HTTP2_END_STREAM, 3,
		   "\x3f\xe2\xff\x03\x82\x84", 6);
	talk_expect(talk, "1 STARTED at=48;1 HEAD GET / length=0;1 COMPLETE bytes=0;"
			  "3 STARTED at=63;OPAQUE its HPACK state is unknown;");

	talk = asked_once(); // of the server
	talk_frame(talk, SERVER, HTTP2_HEADERS, HTTP2_END_HEADERS, 1, "\xff\xff\xff", 3);
	talk_expect(talk, STARTED_1 "UNKNOWN;");
}

static void it_must_begin_as_it_must(void **state)
{
	struct talk *talk = talk_new();

	(void)state;
	talk_say(talk, CLIENT, HTTP2_PREFACE);
	talk_frame(talk, CLIENT, HTTP2_PING, 0, 0, "12345678", 8);
	talk_expect(talk, "OPAQUE malformed HTTP/2;");
	talk = talk_new(); // the server has not understood the preface
	talk_say(talk, CLIENT, HTTP2_PREFACE);
	talk_frame(talk, CLIENT, HTTP2_SETTINGS, 0, 0, "", 0);
	talk_say(talk, SERVER, "HTTP/1.1 400 Bad Request\r\n\r\n");
	talk_expect(talk, "UNKNOWN;");
}

static bool was_opaque;
static char api_key[17];

static void count_event(void *owner, enum conversation_event event, uint64_t stream,
			const struct request *request, const struct response *response)
{
	(void)owner;
	(void)stream;
	(void)response;
	was_opaque |= event == CONVERSATION_OPAQUE;
	if (event == REQUEST_HEAD)
		memcpy(api_key, request->api_key, sizeof(api_key));
}

// Feeds the parts from *part on, as far as they go.
static void feed_rest(struct conversation *c, const struct talk *talk, size_t *part,
		      uint64_t offsets[2])
{
	for (; *part < talk->n_parts; ++*part) {
		const struct talk_part *p = &talk->parts[*part];

		talk_feed(c, talk, p, offsets[p->by], 0, p->len);
		offsets[p->by] += p->len;
	}
}

static void memory_of_streams(void **state)
{
	struct conversation *c = conversation_new(count_event, NULL);
	struct talk *talk = begun();
	uint64_t offsets[2] = {0, 0};
	size_t part = 0, empty, reading, waiting;

	(void)state;
	feed_rest(c, talk, &part, offsets);
	empty = wire_used();
	for (uint32_t stream = 1; stream <= 63; stream += 2)
		talk_headers(talk, CLIENT, 0, stream, FIELDS(REQUEST_FIELDS));
	feed_rest(c, talk, &part, offsets);
	reading = wire_used();
	for (uint32_t stream = 1; stream <= 63; stream += 2)
		talk_data(talk, CLIENT, HTTP2_END_STREAM, stream, BODY);
	feed_rest(c, talk, &part, offsets);
	waiting = wire_used();
	print_message("HTTP/2: %zu bytes without streams; a stream: %zu while its request is read, "
		      "%zu while it waits\n",
		      empty, (reading - empty) / 32, (waiting - empty) / 32);
	assert_in_range(empty, 1, 16384);
	assert_in_range((reading - empty) / 32, 1, 32768);
	assert_in_range((waiting - empty) / 32, 1, 256);
	talk_headers(talk, SERVER, 0, 1, FIELDS(OK_FIELDS));
	feed_rest(c, talk, &part, offsets);
	print_message("a response being read: %zu bytes\n", wire_used() - waiting);
	assert_in_range(wire_used() - waiting, 1, 16384);
	conversation_free(c);
	talk_free(talk);
	assert_int_equal(wire_used(), 0);
}

static void too_many_streams(void **state)
{
	struct conversation *c = conversation_new(count_event, NULL);
	struct talk *talk = begun();
	uint64_t offsets[2] = {0, 0};
	size_t part = 0;

	(void)state;
	was_opaque = false;
	for (uint32_t stream = 1; stream <= 2 * 256 + 1; stream += 2) {
		assert_false(was_opaque);
		talk_headers(talk, CLIENT, HTTP2_END_STREAM, stream, FIELDS(":method", "GET"));
		feed_rest(c, talk, &part, offsets);
		part = talk->n_parts = talk->used = 0;
	}
	assert_true(was_opaque);
	assert_string_equal(conversation_why(c), "more than 256 requests at once");
	conversation_free(c);
	talk_free(talk);
}

// A frame as long as can be, a key of 30,000 bytes: neither is kept, and the key's hash is whole.
static void nothing_long_is_kept(void **state)
{
	static char key[30001] = "Bearer ", bytes[65536];
	struct conversation *c = conversation_new(count_event, NULL);
	struct talk *talk = begun();
	unsigned char *block = malloc(40000);
	uint64_t offsets[2] = {0, 0}, at;
	size_t part = 0, len, used;

	(void)state;
	assert_non_null(block);
	feed_rest(c, talk, &part, offsets);
	memset(key + 7, 'k', sizeof(key) - 8);
	len = talk_block(
		talk, CLIENT,
		FIELDS(":method", "POST", "authorization", key, "content-type", "application/json"),
		block, 40000);
	talk_frame(talk, CLIENT, HTTP2_HEADERS, 0, 1, block, 10000);
	talk_frame(talk, CLIENT, HTTP2_CONTINUATION, 0, 1, block + 10000, 10000);
	talk_frame(talk, CLIENT, HTTP2_CONTINUATION, HTTP2_END_HEADERS, 1, block + 20000,
		   len - 20000);
	feed_rest(c, talk, &part, offsets);
	assert_string_equal(api_key, "7410face77e81db1");
	used = wire_used();
	assert_in_range(used, 1, 100000);
	conversation_sent(c, offsets[CLIENT], "\xff\xff\xff\0\0\0\0\0\1[\"", 11);
	at = offsets[CLIENT] + 11;
	memset(bytes, 'x', sizeof(bytes));
	for (; at < offsets[CLIENT] + 9 + 0xffffff - 3 * sizeof(bytes); at += sizeof(bytes))
		conversation_sent(c, at, bytes, sizeof(bytes));
	assert_int_equal(wire_used(), used);
	conversation_sent_unseen(c, at, offsets[CLIENT] + 9 + 0xffffff - at); // its rest
	assert_int_equal(conversation_request(c, 1)->body_bytes, 0xffffff);
	assert_int_equal(conversation_reached(c), offsets[CLIENT] + 9 + 0xffffff);
	assert_null(conversation_why(c));
	conversation_free(c);
	talk_free(talk);
	free(block);
	assert_int_equal(wire_used(), 0);
}

static void without_memory_it_is_opaque(void **state)
{
	bool was_whole = false, was_short = false;
	static struct note note;
	struct talk *talk = begun();

	(void)state;
	talk_headers(talk, CLIENT, 0, 1, FIELDS(REQUEST_FIELDS));
	talk_data(talk, CLIENT, HTTP2_END_STREAM, 1, BODY);
	talk_headers(talk, SERVER, 0, 1, FIELDS(OK_FIELDS));
	talk_data(talk, SERVER, HTTP2_END_STREAM, 1, USAGE);
	for (size_t bound = 2048; bound < 65536; bound += 64) {
		wire_set_bound(bound);
		talk_play(talk, SIZE_MAX, 0, false, &note);
		if (strstr(note.text, "OPAQUE"))
			assert_non_null(strstr(note.text, "OPAQUE no memory for it is left;"));
		was_short |= strstr(note.text, "OPAQUE") != NULL;
		was_whole |= strstr(note.text, "1 ANSWERED") != NULL;
	}
	wire_set_bound(64u << 20);
	assert_true(was_short && was_whole);
	talk_free(talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed),
		cmocka_unit_test(header_blocks_that_cannot_be_decoded),
		cmocka_unit_test(it_must_begin_as_it_must),
		cmocka_unit_test(memory_of_streams),
		cmocka_unit_test(too_many_streams),
		cmocka_unit_test(nothing_long_is_kept),
		cmocka_unit_test(without_memory_it_is_opaque),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
