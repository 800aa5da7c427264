// Recognises well-formed UTF-8. A process's name is any 15 bytes (the kernel cuts longer ones, in
// the middle of a character too), while JSON must be UTF-8 (RFC 8259 §8.1).
#include "serve/utf8.h"

// Bytes that the first byte announces; 0: it starts no character.
static size_t announced(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first <= 0xdf)
		return 2;
	if (first >= 0xe0 && first <= 0xef)
		return 3;
	if (first >= 0xf0 && first <= 0xf4)
		return 4;
	return 0;
}

// Overlong forms, surrogates and what is behind U+10FFFF show in the second byte.
static int second_fits(unsigned char first, unsigned char second)
{
	unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;

	return second >= low && second <= high;
}

size_t utf8_character(const char *text, size_t length)
{
	const unsigned char *bytes = (const unsigned char *)text;
	size_t n = length ? announced(bytes[0]) : 0;

	if (n > length || (n > 1 && !second_fits(bytes[0], bytes[1])))
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
	return n;
}
