// Server-sent events (WHATWG HTML, section 9.2.6): finds the data of each event in a stream that is
// fed in pieces of any size. Lines end with \n, \r\n or \r; all fields but "data" are skipped.
// Nothing is stored: data is handed on as it comes.
#ifndef SLUICE_WIRE_SSE_H
#define SLUICE_WIRE_SSE_H

#include <stdbool.h>
#include <stddef.h>

struct sse_callbacks {
	void (*data_begin)(void *owner);                          // a "data:" line begins
	void (*data)(void *owner, const char *bytes, size_t len); // a piece of it
	void (*event_end)(void *owner); // a blank line: the event's data lines are all in
};

struct sse_reader {
	const struct sse_callbacks *callbacks;
	void *owner;
	enum { SSE_FIELD, SSE_SPACE, SSE_DATA, SSE_SKIP } state;
	unsigned char name_matched; // bytes of "data:" seen
	bool after_cr;              // a \n that comes next belongs to that \r
};

void sse_reader_init(struct sse_reader *sse, const struct sse_callbacks *callbacks, void *owner);
// Tells of bytes that were not seen: reads on at the next line.
void sse_reader_lost(struct sse_reader *sse);
void sse_reader_feed(struct sse_reader *sse, const void *data, size_t len);

#endif
