// Where HTTP/1.x messages begin and end in one direction of a connection.
//
//     bytes at an offset ─▶ framing ─▶ begin, header …, head, body …, complete  (per message)
//
// libhttp-parser reads heads and chunked bodies. It is told that other bodies do not exist: those
// are counted here. So a gap in a body, or in one chunk, is a subtraction, however large it is.
//
// Offsets count plaintext bytes since the connection's first. Bytes offered again (a TLS write
// retried after WANT_WRITE) are skipped. After a gap elsewhere, or bytes that are not HTTP/1.x,
// nothing more can be known: the direction is opaque for good. Memory is this struct, about 400
// bytes.
#ifndef SLUICE_WIRE_FRAMING_H
#define SLUICE_WIRE_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <http_parser.h>

#define FRAMING_NAME_SIZE 48   // longer header names are not wanted by anyone
#define FRAMING_VALUE_SIZE 256 // longer values are cut
#define FRAMING_UNTIL_CLOSE UINT64_MAX
#define FRAMING_GAP "not all of it was seen" // why a direction became opaque

enum framing_body {
	BODY_NONE,
	BODY_LENGTH, // Content-Length
	BODY_CHUNKED,
	BODY_UNTIL_CLOSE,
	BODY_REFUSED, // cannot be told: RFC 9112 section 6.3
};

// What the owner wants of a header. A secret's value is never stored here, see secret().
enum framing_want { FRAMING_UNWANTED, FRAMING_WANTED, FRAMING_SECRET };

struct framing;
struct framing_callbacks {
	enum http_parser_type type;
	void (*begin)(void *owner, uint64_t at);                    // the first byte's offset
	void (*target)(void *owner, const char *bytes, size_t len); // a piece; may be NULL
	// Headers, by their names in lower case.
	enum framing_want (*wants)(void *owner, const char *name);
	void (*header)(void *owner, const char *name, char *value);
	// A piece of a secret's value, and that it is over. Both may be NULL if none is wanted.
	void (*secret)(void *owner, const char *name, const char *bytes, size_t len);
	void (*secret_over)(void *owner);
	bool (*has_no_body)(void *owner, const http_parser *parser); // whatever its headers say
	// All headers were read. length: of the body; for BODY_LENGTH only, else 0.
	void (*head)(void *owner, uint64_t body_begin, enum framing_body body, uint64_t length);
	void (*body)(void *owner, const char *bytes, size_t len);
	void (*body_lost)(void *owner, uint64_t len); // a gap in the body, this long
	// false: what follows may not be HTTP, stop, until framing_go_on().
	bool (*complete)(void *owner, uint64_t end);
	void (*opaque)(void *owner, const char *why); // a static text
};

struct framing {
	http_parser parser;
	const struct framing_callbacks *callbacks;
	void *owner;
	uint64_t reached; // offset of the next byte
	uint64_t left;    // bytes of the body to come, or FRAMING_UNTIL_CLOSE
	uint64_t left_in_chunk;
	bool is_filling; // the parser is given bytes that nobody saw
	enum framing_body body_kind;
	enum { FRAMING_HEAD, FRAMING_CHUNKED, FRAMING_BODY, FRAMING_CLOSED } state;
	enum { PAUSED_NOT, PAUSED_AT_BEGIN, PAUSED_AT_HEAD, PAUSED_AT_END } paused_at;
	// The header that is being read. Names come before values, each in pieces.
	bool is_value;
	enum framing_want want; // of this header, once its name is complete
	unsigned short name_bytes, value_bytes;
	char name[FRAMING_NAME_SIZE];
	char value[FRAMING_VALUE_SIZE];
};

void framing_init(struct framing *framing, const struct framing_callbacks *callbacks, void *owner);
void framing_feed(struct framing *framing, uint64_t at, const void *data, size_t len);
void framing_skip(struct framing *framing, uint64_t at, uint64_t len);
// The connection has ended: completes a body that runs until then. Nothing is read any more.
void framing_end(struct framing *framing);
// Gives up: calls opaque(), once.
void framing_give_up(struct framing *framing, const char *why);
// Reads on, behind a message after which it was stopped by complete().
void framing_go_on(struct framing *framing);

#endif
