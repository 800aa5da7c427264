// 200,000 damaged conversations (fixed seed), in random pieces with random gaps and repeats, and
// with random bounds of memory. If this fails, a broken or hostile program, or server, can crash
// the daemon, make it take more memory than it may, or make it believe what cannot be. Build it
// with -fsanitize=address,undefined to see reads out of bounds.
#include "wire_talk.h"

#define ROUNDS 200000
#define STREAMS 64

static uint64_t random_state = 20261125;

static size_t random_below(size_t limit)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (size_t)(random_state >> 33) % limit;
}

enum seen {
	SEEN_START = 1,
	SEEN_HEAD = 2,
	SEEN_END = 4,
	SEEN_ANSWER = 8,
	SEEN_ANSWER_END = 16,
	SEEN_LOST = 32,
	SEEN_UPGRADE = 64,
};

struct watch {
	struct conversation *c;
	unsigned int seen[STREAMS]; // enum seen, of the streams with small numbers
	bool is_unknown, is_opaque;
};

static struct watch watch;
static unsigned long n_events[CONVERSATION_OPAQUE + 1];

static void check_request(enum conversation_event event, unsigned int seen, const struct request *r)
{
	assert_non_null(r);
	assert_false(seen & (SEEN_END | SEEN_LOST));
	assert_true(event != REQUEST_STARTED || !seen);
	assert_true(event != REQUEST_HEAD || ((seen & SEEN_START) && !(seen & SEEN_HEAD)));
	assert_true(event != REQUEST_COMPLETE || (seen & SEEN_HEAD));
	assert_true(r->text_chars <= r->body_bytes && r->images_in <= r->body_bytes);
	assert_true(!r->is_whole || r->body_hash);
	assert_true(strlen(r->model) < sizeof(r->model) && strlen(r->host) < sizeof(r->host));
	assert_true(strlen(r->api_key) == 0 || strlen(r->api_key) == 16);
}

static void check_response(enum conversation_event event, unsigned int seen,
			   const struct response *r)
{
	assert_true(seen & SEEN_START);
	assert_false(seen & SEEN_LOST);
	if (event == STREAM_LOST) {
		assert_false((seen & SEEN_END) && (seen & SEEN_ANSWER_END));
		assert_true(!r || ((seen & SEEN_ANSWER) && !(seen & SEEN_ANSWER_END)));
		return;
	}
	assert_non_null(r);
	assert_false(watch.is_unknown);
	assert_true(event != RESPONSE_HEAD || !(seen & SEEN_ANSWER));
	assert_true(event != RESPONSE_HEAD || (r->status >= 200 && r->status <= 999));
	assert_true(event != RESPONSE_COMPLETE ||
		    ((seen & SEEN_ANSWER) && !(seen & SEEN_ANSWER_END)));
	assert_true(event != UPGRADED_WEBSOCKET || (seen & (SEEN_END | SEEN_ANSWER)) == SEEN_END);
	assert_true(event != WEBSOCKET_TURN || (seen & SEEN_UPGRADE));
}

static void on_event(void *owner, enum conversation_event event, uint64_t stream,
		     const struct request *request, const struct response *response)
{
	static const unsigned int adds[] = {
		[REQUEST_STARTED] = SEEN_START, [REQUEST_HEAD] = SEEN_HEAD,
		[REQUEST_COMPLETE] = SEEN_END,  [RESPONSE_HEAD] = SEEN_ANSWER,
		[STREAM_LOST] = SEEN_LOST,      [RESPONSE_COMPLETE] = SEEN_ANSWER_END,
		[WEBSOCKET_TURN] = 0,           [UPGRADED_WEBSOCKET] = SEEN_UPGRADE,
	};

	assert_ptr_equal(owner, &watch);
	assert_false(watch.is_opaque);
	n_events[event]++;
	if (event == RESPONSES_UNKNOWN || event == CONVERSATION_OPAQUE) {
		assert_true(!request && !response && !stream);
		assert_false(event == RESPONSES_UNKNOWN && watch.is_unknown);
		assert_true((event == CONVERSATION_OPAQUE) == !!conversation_why(watch.c));
		watch.is_unknown |= event == RESPONSES_UNKNOWN;
		watch.is_opaque |= event == CONVERSATION_OPAQUE;
		return;
	}
	assert_true(stream > 0);
	if (event <= REQUEST_COMPLETE)
		assert_non_null(conversation_labels(watch.c, stream));
	if (stream >= STREAMS)
		return;
	if (event <= REQUEST_COMPLETE)
		check_request(event, watch.seen[stream], request);
	else
		check_response(event, watch.seen[stream], response);
	watch.seen[stream] |= adds[event];
}

#define REQUEST_FIELDS                                                                             \
	":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/v1/responses",        \
		"content-type", "application/json", "authorization", "Bearer sk-test", "x-user",   \
		"me"

static struct talk *two_streams(void)
{
	struct talk *talk = talk_new();
	unsigned char block[1024] = "\2";
	size_t len;

	talk_begin_http2(talk);
	len = 1 + talk_block(talk, CLIENT, FIELDS(REQUEST_FIELDS), block + 1, sizeof(block) - 8);
	talk_frame(talk, CLIENT, HTTP2_HEADERS, HTTP2_PADDED | HTTP2_END_HEADERS, 1, block,
		   len + 2);
	len = talk_block(talk, CLIENT, FIELDS(REQUEST_FIELDS, "x-b", "c"), block, sizeof(block));
	talk_frame(talk, CLIENT, HTTP2_HEADERS, 0, 3, block, 3);
	talk_frame(talk, CLIENT, HTTP2_CONTINUATION, HTTP2_END_HEADERS, 3, block + 3, len - 3);
	talk_data(talk, CLIENT, 0, 1, "{\"model\":");
	talk_frame(talk, CLIENT, HTTP2_DATA, HTTP2_END_STREAM | HTTP2_PADDED, 3, "\2{}\0\0", 5);
	talk_data(talk, CLIENT, HTTP2_END_STREAM, 1, "\"m\",\"input\":[{\"text\":\"abc\"}]}");
	talk_headers(talk, SERVER, 0, 3,
		     FIELDS(":status", "200", "content-type", "text/event-stream"));
	talk_headers(talk, SERVER, 0, 1,
		     FIELDS(":status", "200", "content-type", "application/json"));
	talk_data(talk, SERVER, 0, 3, "data: {\"usage\":{\"input_tokens\":5}}\n\n");
	talk_data(talk, SERVER, HTTP2_END_STREAM, 1, "{\"usage\":{\"output_tokens\":6}}");
	talk_headers(talk, SERVER, HTTP2_END_STREAM, 3, FIELDS("x-trailer", "a"));
	return talk;
}

static struct talk *streams_that_end_early(void)
{
	struct talk *talk = talk_new();

	talk_begin_http2(talk);
	talk_headers(talk, CLIENT, 0, 1, FIELDS(REQUEST_FIELDS));
	talk_headers(talk, CLIENT, HTTP2_END_STREAM, 3, FIELDS(REQUEST_FIELDS));
	talk_headers(talk, CLIENT, HTTP2_END_STREAM, 5, FIELDS(REQUEST_FIELDS));
	talk_headers(talk, SERVER, 0, 1, FIELDS(":status", "103"));
	talk_headers(talk, SERVER, HTTP2_END_STREAM, 1, FIELDS(":status", "413"));
	talk_u32(talk, SERVER, HTTP2_RST_STREAM, 1, NGHTTP2_NO_ERROR, 4);
	talk_data(talk, CLIENT, HTTP2_END_STREAM, 1, "{}");
	talk_u32(talk, CLIENT, HTTP2_RST_STREAM, 3, NGHTTP2_CANCEL, 4);
	talk_u32(talk, SERVER, HTTP2_GOAWAY, 0, 1, 8);
	return talk;
}

static struct talk *said(const char *const *lines)
{
	struct talk *talk = talk_new();

	for (size_t i = 0; lines[i]; i++)
		talk_say(talk, i % 2 ? SERVER : CLIENT, lines[i]);
	return talk;
}

static const char *const http1[] = {
	"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: "
	"13\r\n\r\n{\"model\":\"m\"}GET /2 HTTP/1.1\r\nx-user: u\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
	"2\r\n{}\r\n0\r\n\r\n",
	"HEAD /3 HTTP/1.1\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
	NULL,
};

static const char *const websocket[] = {
	"GET /v1/realtime HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
	"\x81\x05hello\x81\x6f{\"type\":\"response.done\",\"response\":{\"status\":\"completed\","
	"\"usage\":{\"input_tokens\":5,\"output_tokens\":7}}}        \x88\x02\x03\xe8",
	"\x81\x85maskhello",
	NULL,
};

static struct talk *samples[4];

// Damages a part of the talk. Its bytes have room behind them: they stand in a buffer of their own.
static size_t mutate(unsigned char *bytes, size_t len)
{
	size_t at = random_below(len + 1), n = random_below(12);

	switch (random_below(4)) {
	case 0:
		if (at < len)
			bytes[at] = (unsigned char)random_below(256);
		break;
	case 1:
		if (at < len)
			bytes[at] ^= (unsigned char)(1 << random_below(8));
		break;
	case 2:
		n = n < len - at ? n : len - at;
		memmove(bytes + at, bytes + at + n, len - at - n);
		return len - n;
	case 3:
		memmove(bytes + at + n, bytes + at, len - at);
		while (n--) {
			bytes[at++] = (unsigned char)random_below(random_below(2) ? 16 : 256);
			len++;
		}
		break;
	}
	return len;
}

static void feed_piece(enum speaker by, uint64_t at, const unsigned char *bytes, size_t from,
		       size_t to)
{
	size_t repeat = random_below(16) ? 0 : random_below(from + 1), len = to - from + repeat;
	char *copy;

	if (!random_below(512)) {
		if (by == CLIENT)
			conversation_sent_unseen(watch.c, at + from, to - from);
		else
			conversation_received_unseen(watch.c, at + from, to - from);
		return;
	}
	copy = malloc(len);
	assert_non_null(copy);
	memcpy(copy, bytes + from - repeat, len);
	if (by == CLIENT)
		conversation_sent(watch.c, at + from - repeat, copy, len);
	else
		conversation_received(watch.c, at + from - repeat, copy, len);
	free(copy);
}

static void play(const struct talk *talk, size_t bound)
{
	size_t damaged = random_below(talk->n_parts);
	size_t largest = 1 + random_below(random_below(2) ? 8 : 1024);
	uint64_t offsets[2] = {0, 0};
	unsigned char bytes[2048];

	for (size_t i = 0; i < talk->n_parts; i++) {
		const struct talk_part *part = &talk->parts[i];
		size_t len = part->len, to;

		assert_true(len < sizeof(bytes) - 64);
		memcpy(bytes, talk->bytes + part->begin, len);
		if (i == damaged || !random_below(32))
			for (size_t n = random_below(4); n; n--)
				len = mutate(bytes, len);
		for (size_t from = 0; from < len; from = to) {
			to = from + 1 + random_below(largest);
			to = to < len ? to : len;
			feed_piece(part->by, offsets[part->by], bytes, from, to);
			assert_true(wire_used() <= bound);
		}
		offsets[part->by] += len;
	}
}

static void damaged_conversations(void **state)
{
	static const char *const asked[] = {"x-user", "host", NULL};

	(void)state;
	samples[0] = two_streams();
	samples[1] = streams_that_end_early();
	samples[2] = said(http1);
	samples[3] = said(websocket);
	for (int round = 0; round < ROUNDS; round++) {
		size_t bound = random_below(4) ? 1u << 20 : 1024 + random_below(40000);

		wire_set_bound(bound);
		watch = (struct watch){.c = conversation_new(on_event, &watch)};
		if (!watch.c)
			continue;
		conversation_keep_headers(watch.c, asked);
		play(samples[random_below(LENGTH(samples))], bound);
		conversation_end(watch.c);
		assert_true(watch.is_opaque == !!conversation_why(watch.c));
		conversation_free(watch.c);
		assert_int_equal(wire_used(), 0);
	}
	wire_set_bound(64u << 20);
	for (size_t i = 0; i < LENGTH(n_events); i++)
		assert_true(n_events[i] > 100); // the damage leaves enough to be told of each kind
	for (size_t i = 0; i < LENGTH(samples); i++)
		talk_free(samples[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(damaged_conversations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
