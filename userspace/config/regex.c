// What RE2 knows and POSIX does not is refused by name, for it would match something else. So are
// back-references, whose time has no bound, and counts that blow up what is compiled: the rest
// takes time in proportion to the text. See regex.h.
#include "config/regex.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define REGEX_BYTES_MAX 256
#define REGEX_REPEATS_MAX 1000

static const char EXPECTED[] = "a POSIX extended regular expression of at most 256 bytes";

static int refuse(struct value_error *error, const char *problem, const char *expected)
{
	*error = (struct value_error){.problem = problem, .expected = expected};
	return -EINVAL;
}

// The product of all counts {n,m} in it, which bounds how often anything is copied.
static double count_repeats(const char *text)
{
	double product = 1;

	for (; *text; text++) {
		if (*text == '\\' && text[1]) {
			text++;
		} else if (*text == '{') {
			unsigned long low = strtoul(text + 1, NULL, 10), high = low;
			const char *comma = strpbrk(text, ",}");

			if (comma && *comma == ',')
				high = strtoul(comma + 1, NULL, 10);
			product *= (double)(high > low ? high : low) + 1;
		}
	}
	return product;
}

int regex_compile(const char *text, regex_t **ret)
{
	CLEANUP_FREE regex_t *regex = calloc(1, sizeof(*regex));

	if (!regex)
		return -ENOMEM;
	switch (regcomp(regex, text, REG_EXTENDED | REG_NOSUB)) {
	case 0:
		*ret = TAKE_PTR(regex);
		return 0;
	case REG_ESPACE:
		return -ENOMEM;
	default:
		return -EINVAL;
	}
}

int value_regex(const char *text, void *ret, struct value_error *error)
{
	regex_t *regex;

	if (!*text)
		return refuse(error, "is empty", EXPECTED);
	if (strlen(text) > REGEX_BYTES_MAX)
		return refuse(error, "is too long", EXPECTED);
	if (strstr(text, "(?"))
		return refuse(error, "holds (?, which POSIX does not know", EXPECTED);
	if (strstr(text, "\\d") || strstr(text, "\\D"))
		return refuse(error, "holds \\d, which POSIX does not know", "[0-9]");
	for (const char *at = text; (at = strchr(at, '\\')) && at[1]; at += 2)
		if (isalnum((unsigned char)at[1]) && !strchr("wWsSbB", at[1]))
			return refuse(error, "holds an escape that POSIX does not know", EXPECTED);
	if (count_repeats(text) > REGEX_REPEATS_MAX)
		return refuse(error, "repeats too often", "counts {n,m} of at most 1000 in all");

	int err = regex_compile(text, &regex);
	if (err)
		return err == -ENOMEM ? err : refuse(error, "cannot be compiled", EXPECTED);
	regfree(regex);
	free(regex);
	*(char **)ret = strdup(text);
	return *(char **)ret ? 0 : -ENOMEM;
}
