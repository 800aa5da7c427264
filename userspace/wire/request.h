// What a request's own bytes say: the facts that labels and costs are made of.
// Pure data, filled by wire/request_builder.c and wire/request_body.c, read by govern/. Strings are
// valid UTF-8 without control characters, cut off where they do not fit. Holds no prompt and no
// key: the API key is here only as the first 16 hex digits of its SHA-256.
#ifndef SLUICE_WIRE_REQUEST_H
#define SLUICE_WIRE_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#define REQUEST_UNKNOWN_LENGTH UINT64_MAX // chunked: the end is known when the last chunk is seen
#define REQUEST_ABSENT UINT64_MAX         // a numeric body field that the request does not carry

struct request {
	char method[12];
	char path[128];        // without the query: "/v1/chat/completions"
	char host[128];        // Host header, lower case, without the port
	char api_key[17];      // SHA-256 prefix of the Bearer token or `api-key` header; "" if none
	char organization[64]; // OpenAI-Organization
	char project[64];      // OpenAI-Project
	char model[128];       // body.model; "" while unknown
	char user[128];        // body.user
	char safety_identifier[128]; // body.safety_identifier
	bool is_http11_or_later;
	bool has_json_body;   // Content-Type says JSON
	bool body_json_whole; // the JSON body was read to its end, without an error
	bool stream;          // body.stream
	bool is_whole;        // it was read to its end, and no byte of it was lost
	uint64_t begin;       // plaintext offset of the request's first byte on its connection
	uint64_t body_begin;  // plaintext offset of the body's first byte
	// Plaintext offset behind the last byte, or REQUEST_UNKNOWN_LENGTH, as always in HTTP/2,
	// where requests are interleaved.
	uint64_t end;
	uint64_t content_length; // of the body, as the header says; REQUEST_ABSENT if it does not
	uint64_t body_bytes;     // body bytes seen so far (chunk framing not counted)
	uint64_t unread_bytes; // of them: text, as it seems, that was lost, or stands behind a gap
	// Of the body (body_hash.h), as soon as its first 64 KB or all of it were seen; 0 until
	// then, and for ever if a byte of them was lost.
	uint64_t body_hash;
	uint64_t text_chars; // Unicode code points of prompt, input, instructions and message text
	uint64_t messages;   // elements of body.messages
	uint64_t images_in;  // image parts in messages or input
	uint64_t input_tokens; // elements of token arrays in prompt or input
	uint64_t tools_bytes;  // of the JSON of body.tools or body.functions, whichever came last
	uint64_t max_tokens;   // REQUEST_ABSENT if not given; so for the next four
	uint64_t max_completion_tokens;
	uint64_t max_output_tokens;
	uint64_t n;
	uint64_t best_of;
	uint64_t retry_count; // x-stainless-retry-count; 0 if absent
};

#endif
