// Reads multipart/form-data (RFC 7578; RFC 2046 section 5.1) in pieces of any size, as uploads of
// images and audio are sent: the short text fields are told, files are passed over.
//
//     CRLF --boundary ─▶ header lines ─▶ empty line ─▶ value … CRLF --boundary ─▶ … --boundary--
//
// A delimiter begins with a CR, and has no other, so a false start is known by the next byte, and
// nothing needs to be looked at twice. Memory is this struct, 600 bytes.
#ifndef SLUICE_WIRE_MULTIPART_H
#define SLUICE_WIRE_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MULTIPART_BOUNDARY_SIZE 71 // 70 characters at most, and the terminator
#define MULTIPART_LINE_SIZE 256    // of a longer header line only so much is read
#define MULTIPART_NAME_SIZE 32
#define MULTIPART_VALUE_SIZE 129

struct multipart_field {
	char name[MULTIPART_NAME_SIZE];
	char value[MULTIPART_VALUE_SIZE]; // not terminated by what was cut off
	size_t value_bytes;               // in `value`
	uint64_t bytes;                   // of all of it
	uint64_t code_points;             // of all of it, as UTF-8
	bool is_file;
};
typedef void (*multipart_fn)(void *owner, const struct multipart_field *field);

struct multipart {
	multipart_fn fn;
	void *owner;
	char delimiter[MULTIPART_BOUNDARY_SIZE + 4]; // CR LF - - boundary
	size_t delimiter_bytes, matched;             // of it, so far
	enum {
		MULTIPART_VALUE, // or what stands before the first delimiter
		MULTIPART_AFTER, // behind a delimiter: its line's rest, or "--"
		MULTIPART_HEADER,
		MULTIPART_OVER,
		MULTIPART_FAILED,
	} state;
	bool is_in_part;
	char line[MULTIPART_LINE_SIZE];
	size_t line_bytes;
	bool line_is_cut;
	struct multipart_field field;
};

// 0, or -EINVAL: the Content-Type is not multipart/form-data with a boundary.
int multipart_init(struct multipart *m, const char *content_type, multipart_fn fn, void *owner);
void multipart_feed(struct multipart *m, const void *data, size_t len);
// Whether the closing delimiter was read.
bool multipart_is_whole(const struct multipart *m);

#endif
