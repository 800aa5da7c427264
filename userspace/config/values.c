// Numbers, durations, rates and choices. See values.h; the kinds of text are in names.c.
#include "config/values.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "config/policy.h"

#define NUMBER_MAX 1e15 // beyond 2^53 a double no longer counts single tokens
#define FACTOR_MIN 0.001
#define FACTOR_MAX 1e6
#define NS_PER_S 1000000000ull
#define DURATION_MAX_S (365.0 * 86400)

static const char EXPECTED_DURATION[] = "a duration with its unit, such as 250ms, 10s or 1h30m";

static int refuse(struct value_error *error, const char *problem, const char *expected)
{
	*error = (struct value_error){.problem = problem, .expected = expected};
	return -EINVAL;
}

// Reads "12", "1_000" or "1.5" and returns what follows it; NULL: no number begins here.
static const char *scan_number(const char *text, double *ret)
{
	double value = 0, scale = 1;

	if (!isdigit((unsigned char)*text))
		return NULL;
	for (; isdigit((unsigned char)*text); text++) {
		value = value * 10 + (*text - '0');
		if (text[1] == '_' && isdigit((unsigned char)text[2]))
			text++;
	}
	if (*text == '.' && isdigit((unsigned char)text[1]))
		for (text++; isdigit((unsigned char)*text); text++) {
			scale *= 10;
			if (scale <= NUMBER_MAX) // what comes after is below a double's grain
				value += (*text - '0') / scale;
		}
	*ret = value;
	return text;
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

	const char *end = scan_number(text, &value);
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

int value_rate(const char *text, void *ret, struct value_error *error)
{
	static const char expected[] = "a number a minute, such as 40000, 40_000, 40k or 1.5M";
	double value;

	if (strchr(text, '%'))
		return refuse(error, "is a share, which only a team may have", expected);
	int err = parse_number(text, expected, &value, error);
	if (!err)
		*(struct rate *)ret = (struct rate){.kind = RATE_PER_MINUTE, .value = value};
	return err;
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
	end = scan_number(text, &value);
	if (!end || strcmp(end, "%") != 0)
		return refuse(error, "is not a number or a share", expected);
	if (value > 100)
		return refuse(error, "is above 100%", expected);
	*(struct rate *)ret = (struct rate){.kind = RATE_PERCENT, .value = value};
	return 0;
}

struct duration_unit {
	const char *name;
	double seconds;
};

// From the largest: the order in which a duration names them.
static const struct duration_unit UNITS[] = {
	{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9},
};
#define N_UNITS (sizeof(UNITS) / sizeof(UNITS[0]))

int value_duration(const char *text, void *ret, struct value_error *error)
{
	double seconds = 0;
	size_t next_unit = 0;

	if (*text == '-')
		return refuse(error, "is negative", EXPECTED_DURATION);
	do {
		double value;
		text = scan_number(text, &value);
		if (!text)
			return refuse(error, "is not a duration", EXPECTED_DURATION);
		if (!*text)
			return refuse(error, "has no unit", EXPECTED_DURATION);

		size_t length = 0, unit = 0;
		while (isalpha((unsigned char)text[length]))
			length++;
		while (unit < N_UNITS && (strlen(UNITS[unit].name) != length ||
					  strncmp(text, UNITS[unit].name, length) != 0))
			unit++;
		if (unit == N_UNITS)
			return refuse(error, "has an unknown unit", EXPECTED_DURATION);
		if (unit < next_unit)
			return refuse(error, "has its units out of order", EXPECTED_DURATION);
		next_unit = unit + 1;
		seconds += value * UNITS[unit].seconds;
		text += length;
	} while (*text);

	if (seconds > DURATION_MAX_S)
		return refuse(error, "is too long", "at most 365d");
	*(uint64_t *)ret = (uint64_t)(seconds * NS_PER_S + 0.5);
	return 0;
}

int value_wait(const char *text, void *ret, struct value_error *error)
{
	uint64_t ns;
	int err = value_duration(text, &ns, error);

	if (err)
		return err;
	if (ns == 0)
		return refuse(error, "is no time at all",
			      "a duration above 0, such as 600s; to wait for nothing, give the "
			      "limits over_limit: deny");
	*(uint64_t *)ret = ns;
	return 0;
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

int value_port(const char *text, void *ret, struct value_error *error)
{
	static const char expected[] = "a port from 1 to 65535";
	unsigned int port = 0;

	for (const char *at = text; *at; at++) {
		if (!isdigit((unsigned char)*at))
			return refuse(error, *text == '-' ? "is negative" : "is not a number",
				      expected);
		port = port * 10 + (unsigned int)(*at - '0');
		if (port > UINT16_MAX)
			return refuse(error, "is out of range", expected);
	}
	if (port == 0)
		return refuse(error, *text ? "is out of range" : "is not a number", expected);
	*(uint16_t *)ret = (uint16_t)port;
	return 0;
}

// The index of `text` in a NULL-terminated list, or -1.
static int index_of(const char *const *choices, const char *text)
{
	for (int i = 0; choices[i]; i++)
		if (strcmp(choices[i], text) == 0)
			return i;
	return -1;
}

int value_bool(const char *text, void *ret, struct value_error *error)
{
	static const char *const choices[] = {"false", "true", NULL};
	int i = index_of(choices, text);

	if (i < 0)
		return refuse(error, "is neither", "true or false");
	*(bool *)ret = i;
	return 0;
}

int value_mode(const char *text, void *ret, struct value_error *error)
{
	static const char *const choices[] = {
		[MODE_OBSERVE] = "observe", [MODE_ENFORCE] = "enforce", NULL};
	int i = index_of(choices, text);

	if (i < 0)
		return refuse(error, "is no mode", "observe or enforce");
	*(enum policy_mode *)ret = (enum policy_mode)i;
	return 0;
}

int value_daemon_failure(const char *text, void *ret, struct value_error *error)
{
	static const char *const choices[] = {
		[FAILURE_OPEN] = "open", [FAILURE_CLOSED] = "closed", NULL};
	int i = index_of(choices, text);

	if (i < 0)
		return refuse(error, "is unknown", "open or closed");
	*(enum daemon_failure *)ret = (enum daemon_failure)i;
	return 0;
}

int value_over_limit(const char *text, void *ret, struct value_error *error)
{
	static const char *const choices[] = {
		[OVER_LIMIT_QUEUE] = "queue", [OVER_LIMIT_DENY] = "deny", NULL};
	int i = index_of(choices, text);

	if (i < 0)
		return refuse(error, "is unknown", "queue or deny");
	*(enum over_limit *)ret = (enum over_limit)i;
	return 0;
}

int value_max_wait_action(const char *text, void *ret, struct value_error *error)
{
	static const char *const choices[] = {
		[MAX_WAIT_DENY] = "deny", [MAX_WAIT_ADMIT] = "admit", NULL};
	int i = index_of(choices, text);

	if (i < 0)
		return refuse(error, "is unknown", "deny or admit");
	*(enum max_wait_action *)ret = (enum max_wait_action)i;
	return 0;
}

int value_key_label(const char *text, void *ret, struct value_error *error)
{
	static const char *const choices[] = {
		[KEY_API_KEY] = "api_key",   [KEY_ORGANIZATION] = "organization",
		[KEY_PROJECT] = "project",   [KEY_MODEL] = "model",
		[KEY_TEAM] = "team",         [KEY_USER] = "user",
		[KEY_PROVIDER] = "provider", NULL};
	int i = index_of(choices, text);

	if (i < 0)
		return refuse(error, "is no label",
			      "api_key, organization, project, model, team, user or provider");
	*(enum key_label *)ret = (enum key_label)i;
	return 0;
}
