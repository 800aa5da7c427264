// The text of a refusal, see refusal.h.
#include "wire/refusal.h"

#include <string.h>
#include "wire/duration.h"

#define NO_BARE_NUMBERS 0 // "in 2 minutes" is not 2 of anything we know

static const struct {
	const char *word;
	enum response_limit limit;
	bool by_day;
} limits[] = {
	{"(RPM)", LIMIT_REQUESTS, false},      {"(RPD)", LIMIT_REQUESTS, true},
	{"(TPM)", LIMIT_TOKENS, false},        {"(TPD)", LIMIT_TOKENS, true},
	{"(IPM)", LIMIT_IMAGES, false},        {"(IPD)", LIMIT_IMAGES, true},
	{"input-images", LIMIT_IMAGES, false},
};

// The first limit that is named is the one; others may follow in an explanation.
static void read_limit(struct refusal *refusal)
{
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
		if (refusal->limit == LIMIT_UNKNOWN && !strcmp(refusal->word, limits[i].word)) {
			refusal->limit = limits[i].limit;
			refusal->by_day = limits[i].by_day;
		}
}

static void word_over(struct refusal *refusal)
{
	int stage = refusal->stage;

	if (!refusal->word_bytes && !refusal->word_is_too_long)
		return; // a second space
	while (refusal->word_bytes && strchr(".,:;", refusal->word[refusal->word_bytes - 1]))
		refusal->word_bytes--;
	refusal->word[refusal->word_is_too_long ? 0 : refusal->word_bytes] = '\0';
	refusal->stage = REFUSAL_OTHER;
	if (!strcmp(refusal->word, "again"))
		refusal->stage = REFUSAL_AGAIN;
	else if (stage == REFUSAL_AGAIN && !strcmp(refusal->word, "in"))
		refusal->stage = REFUSAL_IN;
	else if (stage == REFUSAL_IN)
		duration_parse(refusal->word, NO_BARE_NUMBERS, &refusal->retry_ms);
	else
		read_limit(refusal);
	memset(refusal->word, 0, sizeof(refusal->word));
	refusal->word_bytes = 0;
	refusal->word_is_too_long = false;
}

void refusal_begin(struct refusal *refusal)
{
	*refusal = (struct refusal){.retry_ms = RESPONSE_ABSENT};
}

void refusal_feed(struct refusal *refusal, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] == ' ' || bytes[i] == '\n')
			word_over(refusal);
		else if (refusal->word_bytes == REFUSAL_WORD_SIZE - 1)
			refusal->word_is_too_long = true;
		else
			refusal->word[refusal->word_bytes++] = bytes[i];
	}
}

void refusal_end(struct refusal *refusal)
{
	word_over(refusal);
}
