// Numbers, durations, rates and amounts. See values.h; words are in words.c, texts in names.c.
#include "config/values.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/policy.h"

#define DIGITS_MAX 330  // enough for any double written out
#define NUMBER_MAX 1e15 // beyond 2^53 a double no longer counts single tokens
#define FACTOR_MIN 0.001
#define FACTOR_MAX 1e6
#define NS_PER_S 1000000000ull
#define MEMORY_MIN_BYTES (4 << 20)
#define MEMORY_MAX_BYTES (1 << 30)
#define DURATION_MAX_NS (1000 * CALENDAR_DAY_NS)

static const char EXPECTED_DURATION[] = "a duration with its unit, such as 250ms, 10s or 1h30m";

static int refuse(struct value_error *error, const char *problem, const char *expected)
{
	*error = (struct value_error){.problem = problem, .expected = expected};
	return -EINVAL;
}

// strtod(3) as if in the C locale: correctly rounded, and with a point wherever the user lives.
static double to_double(const char *digits)
{
	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	double value = strtod_l(digits, NULL, c);

	freelocale(c);
	return value;
}

// Reads "12", "1_000" or "1.5" and returns what follows it; NULL: no number begins here, or one of
// more digits than anyone writes. With is_plain no exponent is taken.
static const char *scan_number(const char *text, bool is_plain, double *ret)
{
	char digits[DIGITS_MAX + sizeof("e-999")];
	size_t n = 0;

	if (!isdigit((unsigned char)*text))
		return NULL;
	for (; isdigit((unsigned char)*text) && n < DIGITS_MAX; text++) {
		digits[n++] = *text;
		if (text[1] == '_' && isdigit((unsigned char)text[2]))
			text++;
	}
	if (*text == '.' && isdigit((unsigned char)text[1]))
		for (digits[n++] = *text++; isdigit((unsigned char)*text) && n < DIGITS_MAX; text++)
			digits[n++] = *text;
	if (n >= DIGITS_MAX)
		return NULL;
	digits[n] = '\0';
	*ret = to_double(digits);
	if (is_plain || (*text != 'e' && *text != 'E'))
		return text;

	// 1e+06 is how Go writes a million to YAML.
	bool is_negative = text[1] == '-';
	text += 1 + (text[1] == '-' || text[1] == '+');
	if (strspn(text, "0123456789") == 0 || strspn(text, "0123456789") > 3)
		return NULL;
	snprintf(digits + n, sizeof(digits) - n, "e%s%d", is_negative ? "-" : "", atoi(text));
	*ret = to_double(digits);
	return text + strspn(text, "0123456789");
}

// The whole text is a number with an optional k or M. `expected` completes the message.
static int parse_number(const char *text, const char *expected, double *ret,
			struct value_error *error)
{
	double value;

	if (*text == '-')
		return refuse(error, "is negative", expected);
	const char *word = text + (*text == '.' || *text == '+');
	if (strcasecmp(word, "nan") == 0 || strcasecmp(word, "inf") == 0)
		return refuse(error, "is not a finite number", expected);

	const char *end = scan_number(text, false, &value);
	if (end && strpbrk(end, ","))
		return refuse(error, "is a number with a comma", expected);
	if (end && (*end == 'k' || *end == 'K' || *end == 'M'))
		value *= *end++ == 'M' ? 1e6 : 1e3;
	if (!end || *end)
		return refuse(error, "is not a number", expected);
	if (value > NUMBER_MAX)
		return refuse(error, "is larger than 1e15", expected);
	*ret = value;
	return 0;
}

int value_factor(const char *text, void *ret, struct value_error *error)
{
	static const char expected[] = "a number above 0, from 0.001 to 1M";
	double value;
	int err = parse_number(text, expected, &value, error);

	if (err)
		return err;
	if (value <= 0)
		return refuse(error, "is not above 0", expected);
	if (value < FACTOR_MIN || value > FACTOR_MAX)
		return refuse(error, "is out of range", expected);
	*(double *)ret = value;
	return 0;
}

int value_count(const char *text, void *ret, struct value_error *error)
{
	static const char expected[] = "a number such as 40000, 40_000, 40k or 1.5M";

	if (strchr(text, '%'))
		return refuse(error, "is a share, which only a team may have", expected);
	return parse_number(text, expected, ret, error);
}

int value_rate_or_share(const char *text, void *ret, struct value_error *error)
{
	static const char expected[] =
		"a number a minute, such as 40000, 40k or 1.5M, or a share from 0% to 100%";
	double value;
	const char *end;

	if (!strchr(text, '%') || *text == '-') {
		int err = parse_number(text, expected, &value, error);
		if (!err)
			*(struct rate *)ret =
				(struct rate){.kind = RATE_PER_MINUTE, .value = value};
		return err;
	}
	end = scan_number(text, true, &value);
	if (!end || strcmp(end, "%") != 0)
		return refuse(error, "is not a number or a share", expected);
	if (value > 100)
		return refuse(error, "is above 100%", expected);
	*(struct rate *)ret = (struct rate){.kind = RATE_PERCENT, .value = value};
	return 0;
}

struct duration_unit {
	const char *name;
	uint64_t ns;
};

// From the largest: the order in which a duration names them.
static const struct duration_unit UNITS[] = {
	{"d", CALENDAR_DAY_NS},
	{"h", 3600 * NS_PER_S},
	{"m", 60 * NS_PER_S},
	{"s", NS_PER_S},
	{"ms", 1000000},
	{"us", 1000},
	{"ns", 1},
};
#define N_UNITS (sizeof(UNITS) / sizeof(UNITS[0]))

// The index of the unit of that name, or N_UNITS.
static size_t find_unit(const char *name, size_t length)
{
	size_t unit = 0;

	while (unit < N_UNITS &&
	       (strlen(UNITS[unit].name) != length || strncmp(name, UNITS[unit].name, length) != 0))
		unit++;
	return unit;
}

// The sum of its parts, each rounded to a nanosecond; at most DURATION_MAX_NS.
static int parse_duration(const char *text, uint64_t *ret, struct value_error *error)
{
	uint64_t sum_ns = 0;
	size_t next_unit = 0;

	if (*text == '-')
		return refuse(error, "is negative", EXPECTED_DURATION);
	do {
		double value;
		text = scan_number(text, true, &value);
		if (!text)
			return refuse(error, "is not a duration", EXPECTED_DURATION);
		if (!*text)
			return refuse(error, "has no unit", EXPECTED_DURATION);

		size_t length = 0;
		while (isalpha((unsigned char)text[length]))
			length++;
		size_t unit = find_unit(text, length);
		if (unit == N_UNITS)
			return refuse(error, "has an unknown unit", EXPECTED_DURATION);
		if (unit < next_unit)
			return refuse(error, "has its units out of order", EXPECTED_DURATION);
		next_unit = unit + 1;
		value = value * (double)UNITS[unit].ns + 0.5;
		if (value > (double)DURATION_MAX_NS || sum_ns > DURATION_MAX_NS)
			return refuse(error, "is too long", "at most 365d");
		sum_ns += (uint64_t)value;
		text += length;
	} while (*text);
	*ret = sum_ns;
	return 0;
}

int value_duration(const char *text, void *ret, struct value_error *error)
{
	uint64_t ns;
	int err = parse_duration(text, &ns, error);

	if (err)
		return err;
	if (ns > 365 * CALENDAR_DAY_NS)
		return refuse(error, "is too long", "at most 365d");
	*(uint64_t *)ret = ns;
	return 0;
}

int value_memory(const char *text, void *ret, struct value_error *error)
{
	// IEC 80000-13's prefixes, for memory is counted by them.
	static const struct {
		const char *name;
		double bytes;
	} units[] = {{"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
	static const char expected[] = "bytes, KiB, MiB or GiB, such as 64MiB, from 4MiB to 1GiB";
	const size_t n_units = sizeof(units) / sizeof(units[0]);
	double value;
	const char *unit = scan_number(text, true, &value);
	size_t i = 0;

	if (!unit)
		return refuse(error, "is not an amount of memory", expected);
	while (i < n_units && strcmp(unit, units[i].name) != 0)
		i++;
	if (i == n_units)
		return refuse(error, "has an unknown unit", expected);
	value *= units[i].bytes;
	if (value < MEMORY_MIN_BYTES || value > MEMORY_MAX_BYTES)
		return refuse(error, "is out of range", expected);
	*(uint64_t *)ret = (uint64_t)value;
	return 0;
}

static int duration_above_zero(const char *text, const char *expected, void *ret,
			       struct value_error *error)
{
	uint64_t ns;
	int err = value_duration(text, &ns, error);

	if (err)
		return err;
	if (ns == 0)
		return refuse(error, "is no time at all", expected);
	*(uint64_t *)ret = ns;
	return 0;
}

int value_wait(const char *text, void *ret, struct value_error *error)
{
	return duration_above_zero(text,
				   "a duration above 0, such as 600s; to wait for nothing, give "
				   "the limits over_limit: deny",
				   ret, error);
}

int value_hold(const char *text, void *ret, struct value_error *error)
{
	return duration_above_zero(text, "a duration above 0, such as 20s", ret, error);
}

int value_headroom(const char *text, void *ret, struct value_error *error)
{
	uint64_t ns;
	int err = value_duration(text, &ns, error);

	if (err)
		return err;
	if (ns >= 60 * NS_PER_S)
		return refuse(error, "is too long", "less than a minute, such as 250ms");
	*(uint64_t *)ret = ns;
	return 0;
}

int value_ageing(const char *text, void *ret, struct value_error *error)
{
	uint64_t ns;
	int err = value_duration(text, &ns, error);

	if (err)
		return err;
	if (ns < NS_PER_S)
		return refuse(error, "is too short", "from 1s to 365d");
	*(uint64_t *)ret = ns;
	return 0;
}

int value_interval(const char *text, void *ret, struct value_error *error)
{
	static const char range[] = "from 1s to 366d, or 1month";
	struct value_interval interval = {0};

	if (strcmp(text, "1month") == 0 || strcmp(text, "month") == 0) {
		interval = (struct value_interval){.ns = CALENDAR_MONTH_NS,
						   .calendar = CALENDAR_MONTH};
	} else {
		int err = parse_duration(text, &interval.ns, error);
		if (err && strcmp(error->problem, "is too long") != 0)
			return err;
		if (err || interval.ns > 366 * CALENDAR_DAY_NS)
			return refuse(error, "is too long", range);
		if (interval.ns < NS_PER_S)
			return refuse(error, "is too short", range);
	}
	*(struct value_interval *)ret = interval;
	return 0;
}

// "$500", "500$", "500 USD" or "500", up to `end`.
static int parse_amount(const char *text, const char *end, struct value_amount *ret,
			struct value_error *error)
{
	static const char expected[] = "a number, or an amount such as $500";
	char number[64];
	size_t length;
	bool is_dollars = *text == '$';

	text += is_dollars;
	while (end > text && end[-1] == ' ')
		end--;
	length = (size_t)(end - text);
	if (length >= sizeof(number))
		return refuse(error, "is not an amount", expected);
	memcpy(number, text, length);
	number[length] = '\0';
	if (length >= 1 && number[length - 1] == '$' && !is_dollars) {
		is_dollars = true;
		number[length - 1] = '\0';
	} else if (length >= 3 && strcmp(&number[length - 3], "USD") == 0 && !is_dollars) {
		is_dollars = true;
		for (length -= 3; length > 0 && number[length - 1] == ' ';)
			length--;
		number[length] = '\0';
	}
	ret->is_dollars = is_dollars;
	return parse_number(number, expected, &ret->value, error);
}

int value_amount(const char *text, void *ret, struct value_error *error)
{
	struct value_amount amount;
	int err = parse_amount(text, text + strlen(text), &amount, error);

	if (!err)
		*(struct value_amount *)ret = amount;
	return err;
}

int value_budget(const char *text, void *ret, struct value_error *error)
{
	static const struct {
		const char *name;
		struct value_interval interval;
	} windows[] = {
		{"minute", {.ns = 60 * NS_PER_S}},
		{"hour", {.ns = 3600 * NS_PER_S}},
		{"day", {.ns = CALENDAR_DAY_NS, .calendar = CALENDAR_DAY}},
		{"week", {.ns = 7 * CALENDAR_DAY_NS}},
		{"month", {.ns = CALENDAR_MONTH_NS, .calendar = CALENDAR_MONTH}},
	};
	static const char expected[] =
		"dollars a minute, hour, day, week or month, such as $500/month";
	const char *slash = strchr(text, '/');
	struct value_amount amount;

	if (!slash)
		return refuse(error, "does not say how long it is for", expected);
	int err = parse_amount(text, slash, &amount, error);
	if (err)
		return err;
	if (!amount.is_dollars)
		return refuse(error, "has no currency", expected);
	for (slash++; *slash == ' ';)
		slash++;
	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++)
		if (strcmp(slash, windows[i].name) == 0) {
			*(struct value_budget *)ret = (struct value_budget){
				.dollars = amount.value, .interval = windows[i].interval};
			return 0;
		}
	return refuse(error, "is for an unknown time", expected);
}

int value_share(const char *text, void *ret, struct value_error *error)
{
	static const char expected[] = "a share from 0% to 100%, such as 20%";
	double value;
	const char *end = scan_number(text, true, &value);

	if (*text == '-')
		return refuse(error, "is negative", expected);
	if (!end || strcmp(end, "%") != 0)
		return refuse(error, "is not a share", expected);
	if (value > 100)
		return refuse(error, "is above 100%", expected);
	*(double *)ret = value;
	return 0;
}
