// Feeds recorded bytes to a reader in every way a connection may cut them, for the tests of
// wire/: whole, byte by byte, in two pieces cut anywhere, and with retried (overlapping) pieces.
// What the reader says is written down as text, which must not depend on the cuts.
#ifndef SLUICE_TESTS_WIRE_REPLAY_H
#define SLUICE_TESTS_WIRE_REPLAY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "wire/http1_readers.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

struct note {
	size_t used;
	char text[16384];
};

__attribute__((format(printf, 2, 3))) static inline void note_add(struct note *note,
								  const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(note->text + note->used, sizeof(note->text) - note->used, format, arguments);
	va_end(arguments);
	assert_true(n >= 0 && note->used + (size_t)n < sizeof(note->text));
	note->used += (size_t)n;
}

static inline void note_text(struct note *note, const char *name, const char *value)
{
	if (*value)
		note_add(note, " %s=%s", name, value);
}

// Nothing is written for `silent`, the value that says nothing.
static inline void note_number(struct note *note, const char *name, uint64_t value, uint64_t silent)
{
	if (value != silent)
		note_add(note, " %s=%llu", name, (unsigned long long)value);
}

// A reader, and how it is driven: filled in by each test program.
struct replay {
	void *(*open)(struct note *note);
	void (*feed)(void *reader, uint64_t at, const void *data, size_t len);
	void (*close)(void *reader);
};

// A heap copy of exactly `len` bytes, so that AddressSanitizer sees a read beyond a piece.
static inline void replay_piece(const struct replay *replay, void *reader, const char *bytes,
				size_t from, size_t to)
{
	char *copy = malloc(to - from + !(to - from));

	assert_non_null(copy);
	memcpy(copy, bytes + from, to - from);
	replay->feed(reader, from, copy, to - from);
	free(copy);
}

static inline void replay_twice(const struct replay *replay, const char *bytes, size_t len,
				size_t cut, size_t overlap, struct note *note)
{
	void *reader = replay->open(note);

	note->used = 0;
	note->text[0] = '\0';
	replay_piece(replay, reader, bytes, 0, cut);
	replay_piece(replay, reader, bytes, cut > overlap ? cut - overlap : 0, len);
	replay->close(reader);
}

// Returns what was said in *ret_note.
static inline void replay_all_ways(const struct replay *replay, const char *bytes, size_t len,
				   struct note *ret_note)
{
	static struct note other;
	void *reader;

	replay_twice(replay, bytes, len, len, 0,
		     ret_note); // whole, then all of it again is nothing
	for (size_t cut = 0; cut <= len; cut++) {
		replay_twice(replay, bytes, len, cut, 0, &other);
		assert_string_equal(other.text, ret_note->text);
		replay_twice(replay, bytes, len, cut, 7, &other);
		assert_string_equal(other.text, ret_note->text);
		replay_twice(replay, bytes, len, cut, len, &other);
		assert_string_equal(other.text, ret_note->text);
	}
	reader = replay->open(&other);
	other.used = 0;
	other.text[0] = '\0';
	for (size_t i = 0; i < len; i++)
		replay_piece(replay, reader, bytes, i, i + 1);
	replay->close(reader);
	assert_string_equal(other.text, ret_note->text);
}

#endif
