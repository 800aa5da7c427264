// Bounded text operations, see text.h.
#include "wire/text.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

// Length in bytes of the printable UTF-8 character at s (of which `len` bytes, at least one, may be
// read), 0 if there is none. RFC 3629 section 4:
// no overlong forms, no surrogates, nothing above U+10FFFF.
static size_t printable_length(const unsigned char *s, size_t len)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length;
	uint32_t code;

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	if (s[0] >= 0xf8 || s[0] < 0xc0)
		return 0;
	length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (length > len)
		return 0;
	code = s[0] & (0x7f >> length);
	for (size_t i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return code < 0xa0 ? 0 : length; // U+0080 to U+009F are control characters
}

void text_copy(char *dst, size_t size, const char *src, size_t len)
{
	const unsigned char *s = (const unsigned char *)src;
	const unsigned char *end = s + len;
	size_t used = 0;

	while (s < end) {
		size_t length = printable_length(s, (size_t)(end - s));
		size_t taken = length ? length : 1;

		if (used + taken >= size)
			break;
		if (length)
			memcpy(dst + used, s, length);
		else
			dst[used] = '?';
		used += taken;
		s += taken;
	}
	dst[used] = '\0';
}

void text_lower(char *text)
{
	for (; *text; text++)
		if (*text >= 'A' && *text <= 'Z')
			*text += 'a' - 'A';
}

void text_trim_end(char *text)
{
	size_t length = strlen(text);

	while (length && (text[length - 1] == ' ' || text[length - 1] == '\t'))
		length--;
	text[length] = '\0';
}

int text_parse_u64(const char *text, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return -ERANGE;
	}
	*ret_value = value;
	return 0;
}

bool text_is_json_type(const char *content_type)
{
	size_t length = strcspn(content_type, "; \t");

	if (length == 16 && !strncasecmp(content_type, "application/json", length))
		return true;
	return length > 5 && !strncasecmp(content_type + length - 5, "+json", 5);
}
