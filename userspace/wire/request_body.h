// Reads the body of a request, in whatever order its fields come: JSON, or the text fields of an
// upload (multipart/form-data: images and audio), whose files are passed over.
//
// Only the outermost object's "model", "stream", "user", "metadata" and numbers count, never those
// of a message; of a key given twice the last counts. Text is what OpenAI charges by the character:
// prompt, input, instructions, message content, and the "text" of content parts. An image's URL or
// base64 is no text; the image is counted instead. So with Anthropic's messages, whose `system` is
// text as well.
#ifndef SLUICE_WIRE_REQUEST_BODY_H
#define SLUICE_WIRE_REQUEST_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "wire/json.h"
#include "wire/multipart.h"
#include "wire/request.h"
#include "wire/request_labels.h"

// What one of the fields that hold text adds to the request. Kept apart by field, so that a field
// that is given again replaces what it said before.
struct request_tally {
	uint64_t text_chars;
	uint64_t messages;
	uint64_t images;
	uint64_t tokens;
};

// A content part (or item of input) that is open: its type may come behind its text.
struct request_part {
	uint64_t text_chars;
	bool is_image;
};

#define REQUEST_TALLIES 5 // messages, prompt, input, instructions, system

struct request_body {
	enum { REQUEST_BODY_OTHER, REQUEST_BODY_JSON, REQUEST_BODY_FORM } kind;
	struct json_scanner json;
	struct multipart form;
	struct request *request;                      // borrowed: where the facts go
	struct request_labels *labels;                // borrowed: where metadata goes
	char metadata_key[REQUEST_METADATA_KEY_SIZE]; // of the value that comes next; "": unwanted
	uint64_t tools_begin;                         // offset of the last list of tools
	struct request_tally tallies[REQUEST_TALLIES];
	struct request_part item; // an element of input
	struct request_part part; // an element of a content array
};

// Starts a body, whose facts go into *request and *labels from now on (they must outlive the body).
// content_type: the header's value, "" if there is none.
void request_body_init(struct request_body *body, struct request *request,
		       struct request_labels *labels, const char *content_type);
// Whether a body of that Content-Type is one that can be read.
bool request_body_is_readable(const char *content_type);
// Gives back what the body holds; nothing, today.
void request_body_release(struct request_body *body);
// After each call *request holds what the bytes so far say, a string that is half read included.
void request_body_feed(struct request_body *body, const void *data, size_t len);
// Whether what comes next is likely text: no string is open, or one that is text.
bool request_body_expects_text(const struct request_body *body);
// The body is over: sets request->body_json_whole.
void request_body_end(struct request_body *body);

#endif
