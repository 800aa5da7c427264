// A realtime connection's turns are told with what they took, however its frames are cut; what no
// server may send ends the reading.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include "wire/memory.h"
#include "wire/websocket.h"

#define DONE                                                                                       \
	"{\"type\":\"response.done\",\"response\":{\"output\":[{\"type\":\"message\"}],\"usage\":" \
	"{"                                                                                        \
	"\"input_tokens\":11,\"output_tokens\":7,\"input_token_details\":{\"cached_tokens\":3}}}}"
#define LIMITS                                                                                     \
	"{\"type\":\"rate_limits.updated\",\"rate_limits\":[{\"name\":\"requests\",\"limit\":"     \
	"1000,"                                                                                    \
	"\"remaining\":999,\"reset_seconds\":60},{\"name\":\"tokens\",\"limit\":50000,"            \
	"\"remaining\":49950,\"reset_seconds\":0.065},{\"name\":\"audio\",\"limit\":7,"            \
	"\"remaining\":5,\"reset_seconds\":9}]}"

struct stream {
	uint8_t bytes[65536 + 8192];
	size_t len;
};

static void put(struct stream *s, const void *data, size_t len)
{
	assert_true(s->len + len <= sizeof(s->bytes));
	memcpy(s->bytes + s->len, data, len);
	s->len += len;
}

static void put_frame(struct stream *s, uint8_t first, const void *payload, size_t len)
{
	uint8_t header[4] = {first, len < 126 ? len : 126, len >> 8, len};

	put(s, header, len < 126 ? 2 : 4);
	put(s, payload, len);
}

struct heard {
	char text[512];
	size_t used;
};

static void note(void *owner, const struct response *turn)
{
	struct heard *heard = owner;

	heard->used += snprintf(heard->text + heard->used, sizeof(heard->text) - heard->used,
				"in=%ld cached=%ld out=%ld left=%ld/%ld reset=%ld;",
				(long)turn->tokens_in, (long)turn->cached_tokens_in,
				(long)turn->tokens_out, (long)turn->requests.remaining,
				(long)turn->tokens.remaining, (long)turn->tokens.reset_ms);
}

static int hear(const struct stream *s, const char *extensions, size_t piece, struct heard *heard)
{
	struct websocket *ws = websocket_new(extensions, note, heard);
	int err = 0;

	assert_non_null(ws);
	*heard = (struct heard){};
	for (size_t at = 0; at < s->len && !err; at += piece)
		err = websocket_feed(ws, s->bytes + at, s->len - at < piece ? s->len - at : piece);
	websocket_free(ws);
	assert_int_equal(wire_used(), 0);
	return err;
}

static void hear_in_two(const struct stream *s, const char *extensions, size_t cut,
			struct heard *heard)
{
	struct websocket *ws = websocket_new(extensions, note, heard);

	assert_non_null(ws);
	*heard = (struct heard){};
	assert_int_equal(websocket_feed(ws, s->bytes, cut), 0);
	assert_int_equal(websocket_feed(ws, s->bytes + cut, s->len - cut), 0);
	websocket_free(ws);
}

static void hear_all_ways(const struct stream *s, const char *extensions, const char *said)
{
	struct heard heard;

	for (size_t cut = 0; cut <= s->len; cut += cut > 2000 && cut < 60000 ? 997 : 1) {
		hear_in_two(s, extensions, cut, &heard);
		assert_string_equal(heard.text, said);
	}
	for (size_t piece = 1; piece < 40; piece++) {
		assert_int_equal(hear(s, extensions, piece, &heard), 0);
		assert_string_equal(heard.text, said);
	}
	assert_int_equal(hear(s, extensions, s->len, &heard), 0);
	assert_string_equal(heard.text, said);
}

static void turns_are_told_however_they_are_cut(void **state)
{
	static struct stream s;
	static const char large[60000] = {[0 ... 59999] = 'x'};

	(void)state;
	s.len = 0;
	put_frame(&s, 0x81, "{\"type\":\"session.created\"}", 26);
	put_frame(&s, 0x81, LIMITS, strlen(LIMITS));
	put_frame(&s, 0x82, large, sizeof(large)); // binary
	put_frame(&s, 0x01, DONE, 40);             // in three frames, with a ping in between
	put_frame(&s, 0x89, "ping", 4);
	put_frame(&s, 0x00, DONE + 40, 1);
	put_frame(&s, 0x80, DONE + 41, strlen(DONE) - 41);
	put_frame(&s, 0x81, "{\"type\":\"response.done\",\"response\":{\"usage\":null}}", 50);
	put_frame(&s, 0x81, DONE, strlen(DONE));
	put_frame(&s, 0x88, "\x03\xe8", 2);
	hear_all_ways(&s, "",
		      "in=11 cached=3 out=7 left=999/49950 reset=65;"
		      "in=11 cached=3 out=7 left=-1/-1 reset=-1;");
}

static size_t deflate_message(z_stream *z, const char *text, uint8_t *out, size_t size)
{
	z->next_in = (uint8_t *)text;
	z->avail_in = strlen(text);
	z->next_out = out;
	z->avail_out = size;
	assert_int_equal(deflate(z, Z_SYNC_FLUSH), Z_OK);
	return size - z->avail_out - 4; // without the 00 00 ff ff
}

static void compressed_turns(bool forgets, const char *extensions)
{
	static struct stream s;
	z_stream z = {};
	uint8_t bytes[1024];

	s.len = 0;
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, -15, 8, 0), Z_OK);
	for (int i = 0; i < 3; i++) {
		size_t len = deflate_message(&z, DONE, bytes, sizeof(bytes));

		put_frame(&s, 0x41, bytes, 5);
		put_frame(&s, 0x80, bytes + 5, len - 5);
		if (forgets)
			deflateReset(&z);
	}
	put_frame(&s, 0x81, DONE, strlen(DONE)); // one that was not worth it
	deflateEnd(&z);
	hear_all_ways(&s, extensions,
		      "in=11 cached=3 out=7 left=-1/-1 reset=-1;in=11 cached=3 out=7 left=-1/-1 "
		      "reset=-1;in=11 cached=3 out=7 left=-1/-1 reset=-1;in=11 cached=3 out=7 "
		      "left=-1/-1 reset=-1;");
}

static void compressed_messages_are_inflated(void **state)
{
	(void)state;
	compressed_turns(false, "permessage-deflate");
	compressed_turns(true, "permessage-deflate; server_no_context_takeover");
	assert_null(websocket_new("x-webkit-foo", note, NULL));
}

static void what_no_server_may_send_ends_it(void **state)
{
	static const char *const frames[] = {
		"\x81\x85....hello",  // masked
		"\xc1\x02{}",         // compressed, which was not agreed on
		"\x80\x02{}",         // goes on with nothing
		"\x01\x01{\x81\x01}", // begins within another
		"\xa1\x02{}",         // reserved bits
		"\x83\x02{}",         // an opcode that is none
		"\x89\x7e\x01\x01",   // a long ping
		"\x09\x01.\x81",      // a ping in fragments
		"\xc9\x01.",          // a compressed one
	};
	static struct stream s;
	struct heard heard;

	(void)state;
	for (size_t i = 0; i < sizeof(frames) / sizeof(*frames); i++) {
		s.len = 0;
		put(&s, frames[i], strlen(frames[i]));
		put_frame(&s, 0x81, DONE, strlen(DONE));
		assert_int_equal(hear(&s, "", 1, &heard), -EBADMSG);
		assert_string_equal(heard.text, "");
	}
}

static void damaged_bytes_do_no_harm(void **state)
{
	static struct stream s, damaged;
	struct heard heard;
	unsigned seed = 1;

	(void)state;
	s.len = 0;
	put_frame(&s, 0x01, DONE, 40);
	put_frame(&s, 0x89, "ping", 4);
	put_frame(&s, 0x80, DONE + 40, strlen(DONE) - 40);
	put_frame(&s, 0x81, LIMITS, strlen(LIMITS));
	for (int i = 0; i < 20000; i++) {
		damaged.len = s.len;
		memcpy(damaged.bytes, s.bytes, s.len);
		for (int n = 0; n < 3; n++) {
			seed = seed * 1103515245 + 12345;
			damaged.bytes[seed / 65536 % s.len] ^= 1 << (seed >> 8) % 8;
		}
		hear(&damaged, i % 2 ? "permessage-deflate" : "", 1 + i % 50, &heard);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(turns_are_told_however_they_are_cut),
		cmocka_unit_test(compressed_messages_are_inflated),
		cmocka_unit_test(what_no_server_may_send_ends_it),
		cmocka_unit_test(damaged_bytes_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
