// Answers come compressed: they are read however they are cut, and what is made to burst a reader's
// memory does not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <brotli/encode.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include "wire/decode.h"
#include "wire/memory.h"

#define MB (1024 * 1024)
#define DAMAGED_ROUNDS 4000

struct sink {
	uint8_t *bytes; // NULL: they are only counted
	size_t used;
};

static void swallow(void *owner, const void *data, size_t len)
{
	struct sink *sink = owner;

	if (sink->bytes)
		memcpy(sink->bytes + sink->used, data, len);
	sink->used += len;
}

struct encoded {
	const char *name;
	uint8_t *bytes;
	size_t len;
};

static struct encoded with_zlib(const char *name, int window_bits, const void *data, size_t len)
{
	z_stream z = {};
	struct encoded e = {.name = name};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, window_bits, 8, 0), Z_OK);
	e.len = deflateBound(&z, len) + 64;
	e.bytes = malloc(e.len);
	z.next_in = (uint8_t *)data;
	z.avail_in = len;
	z.next_out = e.bytes;
	z.avail_out = e.len;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	e.len = z.total_out;
	deflateEnd(&z);
	return e;
}

static struct encoded with_brotli(const void *data, size_t len)
{
	struct encoded e = {.name = "br", .len = BrotliEncoderMaxCompressedSize(len) + 64};

	e.bytes = malloc(e.len);
	assert_true(BrotliEncoderCompress(5, 22, BROTLI_MODE_TEXT, len, data, &e.len, e.bytes));
	return e;
}

static struct encoded with_zstd(const void *data, size_t len)
{
	struct encoded e = {.name = "zstd", .len = ZSTD_compressBound(len)};

	e.bytes = malloc(e.len);
	e.len = ZSTD_compress(e.bytes, e.len, data, len, 3);
	assert_false(ZSTD_isError(e.len));
	return e;
}

static size_t encode_all(struct encoded *out, const void *data, size_t len)
{
	out[0] = with_zlib("gzip", 15 + 16, data, len);
	out[1] = with_zlib("deflate", 15, data, len);
	out[2] = with_zlib("Deflate", -15, data, len); // the bare form, which some send
	out[3] = with_brotli(data, len);
	out[4] = with_zstd(data, len);
	return 5;
}

static int feed_in_pieces(struct decoder *d, const struct encoded *e, size_t piece)
{
	int err = 0;

	for (size_t at = 0; at < e->len && !err; at += piece)
		err = decoder_feed(d, e->bytes + at, e->len - at < piece ? e->len - at : piece);
	return err;
}

static void every_coding_is_undone_however_it_is_cut(void **state)
{
	static char text[40000];
	static uint8_t got[sizeof(text)];
	const size_t pieces[] = {1, 2, 7, 100, sizeof(text)};
	struct encoded all[5];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)("{\"usage\":1}"[i % 11] + (i / 997) % 3);
	for (size_t i = 0, n = encode_all(all, text, sizeof(text)); i < n; i++) {
		for (size_t p = 0; p < 5; p++) {
			struct sink sink = {.bytes = got};
			struct decoder *d = decoder_new(all[i].name, swallow, &sink);

			assert_non_null(d);
			assert_int_equal(feed_in_pieces(d, &all[i], pieces[p]), 0);
			decoder_free(d);
			assert_int_equal(sink.used, sizeof(text));
			assert_memory_equal(got, text, sizeof(text));
		}
		free(all[i].bytes);
	}
	assert_int_equal(wire_used(), 0);
}

static void any_two_pieces_make_the_whole(void **state)
{
	static char text[600];
	uint8_t got[sizeof(text)];
	struct encoded all[5];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(' ' + i * i % 89);
	for (size_t i = 0, n = encode_all(all, text, sizeof(text)); i < n; i++) {
		for (size_t cut = 0; cut <= all[i].len; cut++) {
			struct sink sink = {.bytes = got};
			struct decoder *d = decoder_new(all[i].name, swallow, &sink);

			assert_int_equal(decoder_feed(d, all[i].bytes, cut), 0);
			assert_int_equal(decoder_feed(d, all[i].bytes + cut, all[i].len - cut), 0);
			decoder_free(d);
			assert_int_equal(sink.used, sizeof(text));
			assert_memory_equal(got, text, sizeof(text));
		}
		free(all[i].bytes);
	}
}

// Whatever a server sends, there is an end to it: in bytes, in memory, and without a crash.
static void damaged_bytes_do_no_harm(void **state)
{
	static char text[3000];
	struct encoded all[5];
	unsigned seed = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)("{\"usage\":1}"[i % 11] + i / 97 % 3);
	for (size_t i = 0, n = encode_all(all, text, sizeof(text)); i < n; i++) {
		uint8_t *damaged = malloc(all[i].len);
		struct encoded e = {all[i].name, damaged, all[i].len};

		for (int round = 0; round < DAMAGED_ROUNDS; round++) {
			struct sink sink = {};
			struct decoder *d = decoder_new(e.name, swallow, &sink);

			memcpy(damaged, all[i].bytes, e.len);
			for (int flips = 0; flips < 1 + round % 3; flips++) {
				seed = seed * 1103515245 + 12345;
				damaged[seed / 65536 % e.len] ^= 1 << (seed >> 8) % 8;
			}
			feed_in_pieces(d, &e, 1 + (size_t)round % 60);
			assert_true(sink.used <= DECODED_MOST_BYTES && wire_used() < 18 * MB);
			decoder_free(d);
		}
		free(damaged);
		free(all[i].bytes);
	}
	assert_int_equal(wire_used(), 0);
}

// RFC 1952 section 2.2: a file may have several members.
static void members_of_gzip_follow_each_other(void **state)
{
	struct encoded a = with_zlib("gzip", 15 + 16, "first ", 6);
	struct encoded b = with_zlib("gzip", 15 + 16, "second", 6);
	uint8_t got[32] = {};
	struct sink sink = {.bytes = got};
	struct decoder *d = decoder_new("gzip", swallow, &sink);

	(void)state;
	assert_int_equal(feed_in_pieces(d, &a, 5), 0);
	assert_int_equal(feed_in_pieces(d, &b, 5), 0);
	assert_string_equal((char *)got, "first second");
	decoder_free(d);
	free(a.bytes);
	free(b.bytes);
}

static void what_is_not_of_its_coding_is_refused(void **state)
{
	static const char *const names[] = {"gzip", "deflate", "br", "zstd"};
	static const char garbage[] = "{\"usage\":{\"prompt_tokens\":9}} is no coding at all";

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct sink sink = {};
		struct decoder *d = decoder_new(names[i], swallow, &sink);

		assert_int_equal(decoder_feed(d, garbage, sizeof(garbage)), -EBADMSG);
		assert_int_equal(decoder_feed(d, garbage, sizeof(garbage)), -EBADMSG);
		decoder_free(d);
	}
	assert_null(decoder_new("compress", swallow, NULL));
	assert_null(decoder_new("gzip, br", swallow, NULL));
}

// 200 MB of zeros in some KB: given up at the bound, with little memory.
static void a_bomb_is_given_up(void **state)
{
	const size_t len = 200 * MB;
	uint8_t *zeros = calloc(1, len);
	struct encoded all[5];

	(void)state;
	for (size_t i = 0, n = encode_all(all, zeros, len); i < n; i++) {
		struct sink sink = {};
		struct decoder *d = decoder_new(all[i].name, swallow, &sink);
		size_t most = 0;
		int err = 0;

		for (size_t at = 0; at < all[i].len && !err; at += 1000) {
			size_t left = all[i].len - at;

			err = decoder_feed(d, all[i].bytes + at, left < 1000 ? left : 1000);
			most = wire_used() > most ? wire_used() : most;
		}
		assert_int_equal(err, -E2BIG);
		assert_true(sink.used <= DECODED_MOST_BYTES);
		assert_true(most < 18 * MB); // brotli's window is 16 MB at most
		decoder_free(d);
		free(all[i].bytes);
	}
	free(zeros);
	assert_int_equal(wire_used(), 0);
}

// zstd may ask for a window of gigabytes; where no memory is left nothing is decoded.
static void a_window_that_is_too_large_is_refused(void **state)
{
	ZSTD_CCtx *context = ZSTD_createCCtx();
	const size_t len = 40 * MB;
	uint8_t *data = malloc(len), *bytes = malloc(ZSTD_compressBound(len));
	struct encoded e = {.name = "zstd", .bytes = bytes};
	struct sink sink = {};
	struct decoder *d;

	(void)state;
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 13);
	ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 27);
	e.len = ZSTD_compress2(context, bytes, ZSTD_compressBound(len), data, len);
	d = decoder_new("zstd", swallow, &sink);
	assert_true(feed_in_pieces(d, &e, 4096) < 0);
	assert_true(wire_used() < MB);
	decoder_free(d);
	wire_set_bound(1000);
	assert_null(decoder_new("gzip", swallow, &sink));
	wire_set_bound(64 * MB);
	ZSTD_freeCCtx(context);
	free(data);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_coding_is_undone_however_it_is_cut),
		cmocka_unit_test(any_two_pieces_make_the_whole),
		cmocka_unit_test(damaged_bytes_do_no_harm),
		cmocka_unit_test(members_of_gzip_follow_each_other),
		cmocka_unit_test(what_is_not_of_its_coding_is_refused),
		cmocka_unit_test(a_bomb_is_given_up),
		cmocka_unit_test(a_window_that_is_too_large_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
