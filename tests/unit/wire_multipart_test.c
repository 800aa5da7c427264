// Uploads of images and audio: their text fields are read wherever the pieces are cut, and their
// files, which may look like anything, are passed over.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "wire/request_body.h"

#define TYPE "multipart/form-data; boundary=----b0undary"
#define PART(name) "------b0undary\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n"
#define FILE_PART(name)                                                                            \
	"------b0undary\r\nContent-Disposition: form-data; name=\"" name                           \
	"\"; filename=\"a \\\"b\\\".png\"\r\nContent-Type: image/png\r\n\r\n"
#define END "------b0undary--\r\n"

static void read_in_pieces(const char *type, const char *bytes, size_t len, size_t piece,
			   char *said, size_t size)
{
	static struct request_labels labels;
	struct request r = {.n = REQUEST_ABSENT};
	struct request_body body;

	request_body_init(&body, &r, &labels, type);
	for (size_t at = 0; at < len; at += piece)
		request_body_feed(&body, bytes + at, len - at < piece ? len - at : piece);
	request_body_end(&body);
	request_body_release(&body);
	snprintf(said, size, "model=%s user=%s n=%ld stream=%d chars=%ld", r.model, r.user,
		 (long)r.n, r.stream, (long)r.text_chars);
}

static void check(const char *type, const char *bytes, size_t len, const char *expected)
{
	char said[512];

	for (size_t piece = 1; piece <= len + 1; piece++) {
		read_in_pieces(type, bytes, len, piece, said, sizeof(said));
		assert_string_equal(said, expected);
	}
}
#define CHECK(type, bytes, expected) check(type, bytes, sizeof(bytes) - 1, expected)

static void fields_are_read_however_they_are_cut(void **state)
{
	(void)state;
	CHECK(TYPE,
	      "preamble\r\n" PART("prompt") "ein Bär\r\n" FILE_PART(
		      "image") "\x89PNG\r\n\r\n--"
			       "\r\n------"
			       "b0undar\r\n\0\xff "
			       "model\r\n" PART(
				       "mode"
				       "l") "gpt-image-1\r\n" PART("n") "3\r\n" PART("user") "u-"
											     "1\r"
											     "\n" PART(
												     "stream") "true\r\n" END
													       "epilogue",
	      "model=gpt-image-1 user=u-1 n=3 stream=1 chars=7");
	CHECK("Multipart/Form-Data; charset=utf-8; boundary=\"x y\"",
	      "--x y  \r\ncontent-disposition: form-data; name=model\r\n\r\nwhisper-1\r\n--x y--",
	      "model=whisper-1 user= n=-1 stream=0 chars=0");
	// A false start of the delimiter belongs to the value.
	CHECK(TYPE, PART("model") "a\r\n------b0undarX\r\r\n-\r\n" END,
	      "model=a\?\?------b0undarX\?\?\?- user= n=-1 stream=0 chars=0");
}

static void what_is_odd_is_not_believed(void **state)
{
	(void)state;
	CHECK(TYPE, FILE_PART("model") "gpt-4\r\n" END, "model= user= n=-1 stream=0 chars=0");
	CHECK(TYPE, PART("n") "3.5\r\n" PART("n2") "4\r\n" END,
	      "model= user= n=-1 stream=0 chars=0");
	CHECK(TYPE, PART("model") "never ends", "model= user= n=-1 stream=0 chars=0");
	CHECK(TYPE, "------b0undary junk\r\n\r\n\r\n" PART("model") "a\r\n" END,
	      "model= user= n=-1 stream=0 chars=0");
	assert_false(request_body_is_readable("multipart/form-data"));
	assert_false(request_body_is_readable("multipart/mixed; boundary=a"));
	assert_false(request_body_is_readable("audio/mpeg"));
	assert_true(request_body_is_readable("multipart/form-data; boundary=a"));
	assert_true(request_body_is_readable("application/json; charset=utf-8"));
}

#define TEN "\xe3\x81\x82\xe3\x81\x84\xe3\x81\x86\xe3\x81"
#define LONG TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

// A name in Japanese is three bytes a character, and the model often comes behind the file.
static void a_file_may_have_any_name(void **state)
{
	(void)state;
	CHECK(TYPE,
	      "------b0undary\r\nContent-Disposition: form-data; name=\"file\"; "
	      "filename=\"" LONG "\"\r\n\r\n123\r\n" PART("model") "whisper-1\r\n" END,
	      "model=whisper-1 user= n=-1 stream=0 chars=0");
	CHECK(TYPE,
	      "------b0undary\r\nContent-Disposition: form-data; filename=\"" LONG "\"; "
	      "name=\"model\"\r\n\r\n123\r\n" PART("n") "2\r\n" END,
	      "model= user= n=2 stream=0 chars=0");
	// What is within quotes is no parameter.
	CHECK(TYPE,
	      "------b0undary\r\nContent-Disposition: form-data; x=\"; name=user; filename=a\"; "
	      "name=model\r\n\r\na\r\n" END,
	      "model=a user= n=-1 stream=0 chars=0");
	CHECK("multipart/form-data; x=\"; boundary=y\"; boundary=----b0undary",
	      PART("model") "a\r\n" END, "model=a user= n=-1 stream=0 chars=0");
}

static void damaged_bytes_do_no_harm(void **state)
{
	static const char bytes[] = PART("model") "gpt-image-1\r\n" FILE_PART("image") "x\r\n" END;
	char damaged[sizeof(bytes)], said[512];
	unsigned seed = 1;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		memcpy(damaged, bytes, sizeof(bytes));
		for (int n = 0; n < 3; n++) {
			seed = seed * 1103515245 + 12345;
			damaged[seed / 65536 % (sizeof(bytes) - 1)] =
				"\r\n-b:;\"= \xff"[seed >> 8 & 7];
		}
		read_in_pieces(TYPE, damaged, sizeof(bytes) - 1, 1 + i % 40, said, sizeof(said));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_read_however_they_are_cut),
		cmocka_unit_test(what_is_odd_is_not_believed),
		cmocka_unit_test(a_file_may_have_any_name),
		cmocka_unit_test(damaged_bytes_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
