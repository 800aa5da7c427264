// Reads the body of a response: a JSON document, or an event stream of them.
//
// usage (tokens, and which of them were cached) and error.{code,type,message} are taken from the
// outermost object; in a stream also from within its "response" (that is how /v1/responses ends).
// In a stream the last one wins: some providers send usage with every event, each time the sum so
// far. Anthropic sends the input's with its first event, in "message", and the output's with its
// last but one; its input_tokens are without those that were cached, which are added here. A batch
// object's usage is not that of the request that asks for it, and may be asked for many times.
//
// Pieces of output are counted, for streams that do not say their usage or are broken off: an event
// is one if its "type" ends in "delta" (/responses, Anthropic), or if it holds text in
// choices[].delta or choices[].text (chat, completions).
#ifndef SLUICE_WIRE_RESPONSE_BODY_H
#define SLUICE_WIRE_RESPONSE_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "wire/json.h"
#include "wire/refusal.h"
#include "wire/response.h"
#include "wire/sse.h"

struct response_body {
	struct json_scanner json;
	struct sse_reader sse;
	struct refusal refusal;
	bool is_delta;          // this event holds a piece of output
	bool is_batch;          // the document is a batch object, which says so before its usage
	uint64_t own_tokens_in; // Anthropic's three parts of the input
	uint64_t cache_written_in;
	uint64_t cache_read_in;
	struct response
		*response; // borrowed: where the facts go; is_event_stream says what to read
};

// Starts a body, whose facts go into *response from now on (it must outlive the body).
void response_body_init(struct response_body *body, struct response *response);
void response_body_feed(struct response_body *body, const void *data, size_t len);
// Tells of bytes that were not seen. An event stream is read on at its next line, since its usage
// comes last; a JSON document is given up.
void response_body_lost(struct response_body *body);
// The body is over: sets response->body_json_whole if it is a JSON document.
void response_body_end(struct response_body *body);

#endif
