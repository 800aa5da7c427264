// What a response's bytes say: status, the provider's own view of its limits, usage.
#ifndef SLUICE_WIRE_RESPONSE_H
#define SLUICE_WIRE_RESPONSE_H

#include <stdbool.h>
#include <stdint.h>

#define RESPONSE_ABSENT UINT64_MAX

// One x-ratelimit-{limit,remaining,reset}-* family. RESPONSE_ABSENT where a header is missing.
struct ratelimit_headers {
	uint64_t limit;
	uint64_t remaining;
	uint64_t reset_ms;
};

// Which of its limits a refusal (429) is about.
enum response_limit { LIMIT_UNKNOWN, LIMIT_REQUESTS, LIMIT_TOKENS, LIMIT_IMAGES };

struct response {
	int status;
	bool is_event_stream;
	bool is_encoded;      // Content-Encoding that could not be undone: the rest was not read
	bool body_json_whole; // the JSON body was read to its end, without an error; not for
			      // streams
	struct ratelimit_headers requests;
	struct ratelimit_headers tokens;
	struct ratelimit_headers images;         // x-ratelimit-*-input-images
	struct ratelimit_headers project_tokens; // x-ratelimit-*-project-tokens
	uint64_t retry_after_ms;   // retry-after-ms, else retry-after; RESPONSE_ABSENT if neither
	uint64_t processing_ms;    // openai-processing-ms
	uint64_t tokens_in;        // usage.prompt_tokens or usage.input_tokens
	uint64_t cached_tokens_in; // of tokens_in: {prompt,input}_tokens_details.cached_tokens
	uint64_t tokens_out;       // usage.completion_tokens or usage.output_tokens
	uint64_t body_bytes;       // as sent: encoded, but without chunk framing
	uint64_t stream_events;    // pieces of output in an event stream; about one token each
	char organization[64];     // openai-organization: whose limits these are
	char request_id[64];       // x-request-id or request-id
	char model[64];            // of a WebSocket's turn: response.model
	char error_code[48];       // error.code of a JSON error body: "rate_limit_exceeded", …
	char error_type[32];       // error.type: "tokens", "requests", …
	// What error.message says, which itself is not kept: "Rate limit reached for … on requests
	// per day (RPD): Limit 200, … Please try again in 7m12s."
	uint64_t retry_message_ms;      // RESPONSE_ABSENT if it does not say
	enum response_limit refused_by; // by the message, else by error.type
	bool refused_by_day;            // a limit per day, not per minute
	// insufficient_quota and its like: no retry will help until a person acts.
	bool quota_is_exhausted;
};

#endif
