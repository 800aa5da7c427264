// Runs of plain characters in a JSON string, 8 bytes at a time. Nearly every byte of a large
// request goes through here, and only here.
#ifndef SLUICE_WIRE_JSON_TEXT_H
#define SLUICE_WIRE_JSON_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define JSON_EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

// Not 0 if any byte of `word` is less than `limit` (<= 128). The highest bit of a byte borrows when
// it is less; a false borrow only happens above a true one, so the whole is exact as a yes or no.
static inline uint64_t json_any_below(uint64_t word, uint64_t limit)
{
	return (word - JSON_EACH_BYTE(limit)) & ~word & JSON_EACH_BYTE(0x80);
}

// Whether a byte ends a run: a quote, a backslash, or a control character.
static inline int json_is_special(unsigned char c)
{
	return c == '"' || c == '\\' || c < 0x20;
}

// How many bytes from `text` on are plain; adds their code points (bytes that are not 10xxxxxx).
static inline size_t json_plain_run(const char *text, size_t len, uint64_t *code_points)
{
	size_t n = 0, continued = 0;

	for (; len - n >= 8; n += 8) {
		uint64_t word, tails;

		memcpy(&word, text + n, 8);
		if (json_any_below(word, 0x20) | json_any_below(word ^ JSON_EACH_BYTE('"'), 1) |
		    json_any_below(word ^ JSON_EACH_BYTE('\\'), 1))
			break;
		tails = (word >> 7) & (~word >> 6) & JSON_EACH_BYTE(1);
		continued += (tails * JSON_EACH_BYTE(1)) >> 56; // adds up the 8 bytes
	}
	for (; n < len && !json_is_special((unsigned char)text[n]); n++)
		continued += ((unsigned char)text[n] & 0xc0) == 0x80;
	*code_points += n - continued;
	return n;
}

#endif
