// The header fields of a response, of HTTP/1.1 and HTTP/2 alike, become struct response: whose
// limits, how much of them is left, how long it took, what kind of body follows.
//
//   OpenAI     x-ratelimit-{limit,remaining,reset}-{requests,tokens,input-images,project-tokens},
//              resets as Go durations ("6m0s"). So Groq, Together, xAI, and with Azure OpenAI bare
//              numbers: milliseconds.
//   Mistral    x-ratelimit-{limit,remaining}-{req,tokens}-minute; before, of tokens only,
//              x-ratelimitbysize-{limit,remaining}-minute and ratelimitbysize-{limit,remaining}
//              (its reset is the end of a fixed minute: it says nothing of the refill)
//   Anthropic  anthropic-ratelimit-{requests,tokens,input-tokens}-{limit,remaining,reset}, resets
//              as a time (RFC 3339), which the response's own Date turns into a duration.
//              Input tokens are what counts there when a request arrives, so they go before tokens.
//
// OpenRouter's x-ratelimit-* name no unit (of requests, in milliseconds since the epoch), and other
// forms are not documented: what is not understood is as if absent.
#ifndef SLUICE_WIRE_RESPONSE_HEAD_H
#define SLUICE_WIRE_RESPONSE_HEAD_H

#include <stdbool.h>
#include <stdint.h>
#include "wire/response.h"

#define CONTENT_ENCODING_SIZE 32

struct response_head {
	struct response *response; // borrowed: where the facts go
	bool is_json;
	char content_encoding[CONTENT_ENCODING_SIZE]; // "": identity
	uint64_t retry_after_ms[2];                   // from retry-after-ms and from retry-after
	int64_t date_s;                               // the Date field, Unix time; 0: absent
	int64_t resets_at_ms[2]; // Anthropic's, of requests and tokens; 0: absent
	bool has_input_tokens;
};

// Sets every field of *response to absent.
void response_head_init(struct response_head *head, struct response *response);
// Whether a field is one of these. Names are in lower case.
bool response_head_wants(const char *name);
// `value` is changed by the call.
void response_head_field(struct response_head *head, const char *name, char *value);
// All fields were given.
void response_head_end(struct response_head *head);

#endif
