// Values that are one of a few words or small whole numbers. See values.h.
#include "config/values.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "config/policy.h"

static int refuse(struct value_error *error, const char *problem, const char *expected)
{
	*error = (struct value_error){.problem = problem, .expected = expected};
	return -EINVAL;
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

int value_opaque_action(const char *text, void *ret, struct value_error *error)
{
	static const char *const choices[] = {
		[OPAQUE_GOVERN] = "govern", [OPAQUE_PASS] = "pass", [OPAQUE_DENY] = "deny", NULL};
	int i = index_of(choices, text);

	if (i < 0)
		return refuse(error, "is unknown", "govern, pass or deny");
	*(enum opaque_action *)ret = (enum opaque_action)i;
	return 0;
}

int value_calendar(const char *text, void *ret, struct value_error *error)
{
	static const char *const choices[] = {
		[CALENDAR_NONE] = "none", [CALENDAR_DAY] = "day", [CALENDAR_MONTH] = "month", NULL};
	int i = index_of(choices, text);

	if (i <= CALENDAR_NONE)
		return refuse(error, "is no calendar window", "day or month");
	*(enum calendar *)ret = (enum calendar)i;
	return 0;
}

static const char *const RESOURCES[] = {
	[RESOURCE_REQUESTS] = "requests",
	[RESOURCE_TOKENS] = "tokens",
	[RESOURCE_IMAGES] = "images",
	[RESOURCE_INPUT_TOKENS] = "input_tokens",
	[RESOURCE_OUTPUT_TOKENS] = "output_tokens",
	[RESOURCE_TOTAL_TOKENS] = "total_tokens",
	[RESOURCE_COST] = "cost",
	[N_RESOURCES] = NULL,
};

const char *resource_name(enum resource resource)
{
	return RESOURCES[resource];
}

int value_resource(const char *text, void *ret, struct value_error *error)
{
	int i = index_of(RESOURCES, text);

	if (i < 0)
		return refuse(error, "is no resource",
			      "requests, tokens, input_tokens, output_tokens, total_tokens, images "
			      "or cost");
	*(enum resource *)ret = (enum resource)i;
	return 0;
}

int value_operator(const char *text, void *ret, struct value_error *error)
{
	static const char *const choices[] = {[OPERATOR_IN] = "In",
					      [OPERATOR_NOT_IN] = "NotIn",
					      [OPERATOR_EXISTS] = "Exists",
					      [OPERATOR_DOES_NOT_EXIST] = "DoesNotExist",
					      NULL};
	int i = index_of(choices, text);

	if (i < 0)
		return refuse(error, "is no operator", "In, NotIn, Exists or DoesNotExist");
	*(enum match_operator *)ret = (enum match_operator)i;
	return 0;
}

// One digit from `least` to `most`.
static int parse_digit(const char *text, char least, char most, const char *expected, int *ret,
		       struct value_error *error)
{
	if (*text == '-')
		return refuse(error, "is negative", expected);
	if (strspn(text, "0123456789") != strlen(text) || !*text)
		return refuse(error, "is not a whole number", expected);
	if (text[1] || *text < least || *text > most)
		return refuse(error, "is out of range", expected);
	*ret = *text - '0';
	return 0;
}

int value_tier(const char *text, void *ret, struct value_error *error)
{
	return parse_digit(text, '0', '9', "a tier from 0 (first) to 9", ret, error);
}

int value_usage_tier(const char *text, void *ret, struct value_error *error)
{
	return parse_digit(text, '1', '5', "a usage tier of the provider, from 1 to 5", ret, error);
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
