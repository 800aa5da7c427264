// A push scanner for JSON (RFC 8259): fed bytes in pieces of any size, it reports values and where
// in the document they stand. Its memory is this struct (about 300 bytes) and never grows.
//
// Why not a library: yajl and json-c collect every string whole before they report it, and json-c
// builds the tree. The body of a request may be one string of 100 MB of base64, written by a
// program that we do not trust, and 64 KB is all that a flow may cost. Of a long string only its
// beginning and its number of code points are wanted here, which needs no memory at all.
//
// Where a value stands is a path of one byte for each level: the number of its key in the owner's
// list of key names, JSON_ELEMENT in an array, JSON_OTHER_KEY for any other key. So a lookup of
// {"messages":[{"content":…}]} compares three bytes, and depth 1 is never mistaken for depth 3.
//
// Code points are counted as in JSON.parse(text): \uD83D\uDE00 is one, a lone surrogate is one. Raw
// bytes are not checked for UTF-8 (each byte that does not continue a character counts as one).
#ifndef SLUICE_WIRE_JSON_H
#define SLUICE_WIRE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_MAX_DEPTH 64     // open objects and arrays
#define JSON_MAX_KEY_BYTES 64 // a longer key is JSON_OTHER_KEY
#define JSON_TEXT_SIZE 128    // kept of a scalar, terminator included
#define JSON_OTHER_KEY 0
#define JSON_ELEMENT 255

enum json_event {
	JSON_STRING,
	JSON_NUMBER,
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL,
	JSON_OBJECT_BEGIN,
	JSON_OBJECT_END,
	JSON_ARRAY_BEGIN,
	JSON_ARRAY_END,
	JSON_KEY, // told only if the owner sets tells_keys
};

enum json_state {
	JSON_AT_VALUE,
	JSON_AT_VALUE_OR_END, // behind '['
	JSON_AT_KEY_OR_END,   // behind '{'
	JSON_AT_KEY,
	JSON_AT_COLON,
	JSON_AFTER_VALUE,
	JSON_IN_STRING,
	JSON_IN_ESCAPE,  // behind '\'
	JSON_IN_UNICODE, // behind "\u"
	JSON_IN_NUMBER,
	JSON_IN_LITERAL,
	JSON_DONE, // the outermost value is over: only white space may follow
	JSON_FAILED,
};

struct json_scanner;
// During the call depth and path say where the value stands: path[0 .. depth - 1]. Both ends of an
// object or array carry the same path, that of the object or array itself.
// The path of a JSON_KEY ends in its own number.
typedef void (*json_event_fn)(void *owner, const struct json_scanner *json, enum json_event event);
// A piece of a string value (not of a key) as it is read, escapes resolved; depth and path as
// above.
typedef void (*json_piece_fn)(void *owner, const struct json_scanner *json, const char *bytes,
			      size_t len);

struct json_scanner {
	// Owners may read these.
	unsigned char depth;
	unsigned char path[JSON_MAX_DEPTH];
	unsigned char text_bytes;  // in text
	bool text_is_cut;          // the scalar is longer than text
	char text[JSON_TEXT_SIZE]; // a string, escapes resolved, or a number; ended with a NUL
	uint64_t code_points;      // of a string; during a string, as far as it was read
	uint64_t offset; // in the document: of the bracket that begins or ends an object or array
	// Owners may set these, behind json_scanner_init().
	bool tells_keys;
	json_piece_fn piece; // for strings longer than text; NULL: not wanted

	// The scanner's own.
	const char *const *keys;
	json_event_fn fn;
	void *owner;
	uint64_t arrays; // bit n: the container at depth n is an array
	enum json_state state;
	bool is_key;               // the string that is being read is a key
	unsigned char number_part; // enum in json.c
	unsigned char hex_digits;  // of \uXXXX seen
	uint16_t hex_value;
	uint16_t high_surrogate;  // waiting for its second half; 0 if none
	const char *literal_rest; // of true, false or null
	enum json_event literal_event;
	int error;
};

// keys: the names that matter, ended by NULL, at most 254, which outlive the scanner; the first is
// number 1 in paths, and so on.
void json_scanner_init(struct json_scanner *json, const char *const *keys, json_event_fn fn,
		       void *owner);
// Starts a new document.
void json_scanner_reset(struct json_scanner *json);
// 0, or, for this and all later calls, -EBADMSG (not JSON) or -E2BIG (nested too deep).
int json_scanner_feed(struct json_scanner *json, const void *data, size_t len);
// The input is over: 0 if it was one whole document, else an error as above.
int json_scanner_end(struct json_scanner *json);
// Whether the scanner stands within a string value (not a key): code_points counts it so far.
bool json_scanner_in_string(const struct json_scanner *json);

#endif
