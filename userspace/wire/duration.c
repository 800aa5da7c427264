// Durations in headers, see duration.h. Integer arithmetic in nanoseconds: 584 years fit.
#include "wire/duration.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

// "ms" stands before "m": the first that fits is taken. Go writes U+00B5 in "µs" and also reads
// U+03BC (time.ParseDuration).
static const struct {
	const char *name;
	uint64_t ns;
} units[] = {
	{"ns", 1},
	{"us", 1000},
	{"\xc2\xb5s", 1000},
	{"\xce\xbcs", 1000},
	{"ms", DURATION_MILLISECOND_NS},
	{"s", DURATION_SECOND_NS},
	{"m", 60 * DURATION_SECOND_NS},
	{"h", 3600 * DURATION_SECOND_NS},
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

// "6", "29.144" or ".5" at *text, as a whole number and billionths; moves *text behind it.
static int parse_number(const char **text, uint64_t *ret_whole, uint64_t *ret_billionths)
{
	const char *p = *text;
	uint64_t whole = 0, billionths = 0, place = UINT64_C(1000000000);
	size_t digits = 0;

	for (; is_digit(*p); p++, digits++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole))
			return -ERANGE;
	if (*p == '.')
		for (p++; is_digit(*p); p++, digits++) {
			place /= 10; // 0 from the tenth digit on: less than a billionth
			billionths += (uint64_t)(*p - '0') * place;
		}
	if (!digits)
		return -EINVAL;
	*text = p;
	*ret_whole = whole;
	*ret_billionths = billionths;
	return 0;
}

// Moves *text behind the unit; 0 if there is none that we know.
static uint64_t parse_unit_ns(const char **text)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t length = strlen(units[i].name);

		if (strncmp(*text, units[i].name, length))
			continue;
		*text += length;
		return units[i].ns;
	}
	return 0;
}

// number × unit, added to *total_ns.
static int add_ns(uint64_t *total_ns, uint64_t whole, uint64_t billionths, uint64_t unit_ns)
{
	__extension__ typedef unsigned __int128 wide;
	// Rounded up, for the same reason as the milliseconds.
	uint64_t fraction_ns = ((wide)billionths * unit_ns + 999999999) / 1000000000;
	uint64_t whole_ns;

	if (__builtin_mul_overflow(whole, unit_ns, &whole_ns) ||
	    __builtin_add_overflow(whole_ns, fraction_ns, &whole_ns) ||
	    __builtin_add_overflow(*total_ns, whole_ns, total_ns))
		return -ERANGE;
	return 0;
}

int duration_parse(const char *text, uint64_t bare_unit_ns, uint64_t *ret_ms)
{
	uint64_t total_ns = 0, whole, billionths, unit_ns;
	bool is_first = true;
	int r;

	do {
		r = parse_number(&text, &whole, &billionths);
		if (r < 0)
			return r;
		unit_ns = is_first && !*text ? bare_unit_ns : parse_unit_ns(&text);
		if (!unit_ns)
			return -EINVAL;
		r = add_ns(&total_ns, whole, billionths, unit_ns);
		if (r < 0)
			return r;
		is_first = false;
	} while (*text);

	*ret_ms = total_ns / DURATION_MILLISECOND_NS + (total_ns % DURATION_MILLISECOND_NS != 0);
	return 0;
}
