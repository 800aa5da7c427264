// What the text of a refusal says: which limit was reached, and when to come again.
//
//     Rate limit reached for gpt-4o in organization org-… on tokens per min (TPM): Limit 30000,
//     Used 30000, Requested 890. Please try again in 1.78s. …
//
// The text is read in pieces, as words; no more than one word is ever kept, and it is for nobody to
// see, since a message may quote what the program sent.
#ifndef SLUICE_WIRE_REFUSAL_H
#define SLUICE_WIRE_REFUSAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "wire/response.h"

#define REFUSAL_WORD_SIZE 32 // longer words say nothing that we look for

struct refusal {
	// Owners read these.
	uint64_t retry_ms; // RESPONSE_ABSENT: it does not say
	enum response_limit limit;
	bool by_day;
	// Its own.
	enum { REFUSAL_OTHER, REFUSAL_AGAIN, REFUSAL_IN } stage; // how much of "again in" was read
	unsigned char word_bytes;
	bool word_is_too_long;
	char word[REFUSAL_WORD_SIZE];
};

void refusal_begin(struct refusal *refusal);
void refusal_feed(struct refusal *refusal, const char *bytes, size_t len);
void refusal_end(struct refusal *refusal); // of the text: its last word is over

#endif
