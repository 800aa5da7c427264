// The number grammar of RFC 8259 section 6, one byte at a time.
#ifndef SLUICE_WIRE_JSON_NUMBER_H
#define SLUICE_WIRE_JSON_NUMBER_H

#include <stdbool.h>

// Where in the grammar the bytes read so far end.
enum number_part {
	NUMBER_MINUS,
	NUMBER_ZERO, // no digit may follow a leading zero
	NUMBER_WHOLE,
	NUMBER_POINT,
	NUMBER_FRACTION,
	NUMBER_E,
	NUMBER_E_SIGN,
	NUMBER_EXPONENT,
	NUMBER_OVER,
};

// The part of the grammar that `c` leads to from `part`; NUMBER_OVER: it is not part of the number.
static inline enum number_part number_next(enum number_part part, char c)
{
	bool is_digit = c >= '0' && c <= '9', is_e = c == 'e' || c == 'E';

	switch (part) {
	case NUMBER_MINUS:
		return !is_digit ? NUMBER_OVER : c == '0' ? NUMBER_ZERO : NUMBER_WHOLE;
	case NUMBER_WHOLE:
		if (is_digit)
			return NUMBER_WHOLE;
		__attribute__((fallthrough));
	case NUMBER_ZERO:
		return c == '.' ? NUMBER_POINT : is_e ? NUMBER_E : NUMBER_OVER;
	case NUMBER_POINT:
		return is_digit ? NUMBER_FRACTION : NUMBER_OVER;
	case NUMBER_FRACTION:
		return is_digit ? NUMBER_FRACTION : is_e ? NUMBER_E : NUMBER_OVER;
	case NUMBER_E:
		if (c == '+' || c == '-')
			return NUMBER_E_SIGN;
		__attribute__((fallthrough));
	case NUMBER_E_SIGN:
	case NUMBER_EXPONENT:
		return is_digit ? NUMBER_EXPONENT : NUMBER_OVER;
	case NUMBER_OVER:
		break;
	}
	return NUMBER_OVER;
}

static inline bool number_may_end(enum number_part part)
{
	return part == NUMBER_ZERO || part == NUMBER_WHOLE || part == NUMBER_FRACTION ||
	       part == NUMBER_EXPONENT;
}

#endif
