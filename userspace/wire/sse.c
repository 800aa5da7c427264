// Server-sent events, see sse.h.
#include "wire/sse.h"

#include <string.h>

// Bytes up to the end of the line (a \n or \r), or all of them.
static size_t line_length(const char *text, size_t len)
{
	const char *newline = memchr(text, '\n', len);
	size_t n = newline ? (size_t)(newline - text) : len;
	const char *carriage_return = memchr(text, '\r', n);

	return carriage_return ? (size_t)(carriage_return - text) : n;
}

static void line_over(struct sse_reader *sse)
{
	if (sse->state == SSE_FIELD && !sse->name_matched)
		sse->callbacks->event_end(sse->owner);
	sse->state = SSE_FIELD;
	sse->name_matched = 0;
}

static void feed_field(struct sse_reader *sse, char c)
{
	static const char name[] = "data:";

	if (c != name[sse->name_matched]) {
		sse->state = SSE_SKIP;
	} else if (!name[++sse->name_matched]) {
		sse->state = SSE_SPACE;
		sse->callbacks->data_begin(sse->owner);
	}
}

// Takes bytes of a line, at least one; its end is not among them.
static size_t feed_line(struct sse_reader *sse, const char *text, size_t len)
{
	switch (sse->state) {
	case SSE_FIELD:
		feed_field(sse, *text);
		return 1;
	case SSE_SPACE: // one space behind the colon is not part of the data
		sse->state = SSE_DATA;
		if (*text == ' ')
			return 1;
		__attribute__((fallthrough));
	case SSE_DATA:
		sse->callbacks->data(sse->owner, text, len);
		return len;
	case SSE_SKIP:
		break;
	}
	return len;
}

void sse_reader_init(struct sse_reader *sse, const struct sse_callbacks *callbacks, void *owner)
{
	*sse = (struct sse_reader){.callbacks = callbacks, .owner = owner};
}

void sse_reader_lost(struct sse_reader *sse)
{
	sse->state = SSE_SKIP;
	sse->after_cr = false;
}

void sse_reader_feed(struct sse_reader *sse, const void *data, size_t len)
{
	const char *p = data, *end = p + len;

	while (p < end) {
		bool after_cr = sse->after_cr;

		sse->after_cr = *p == '\r';
		if (*p == '\n' && after_cr) {
			p++;
		} else if (*p == '\n' || *p == '\r') {
			line_over(sse);
			p++;
		} else {
			size_t n = line_length(p, (size_t)(end - p));

			for (size_t taken = 0; taken < n;)
				taken += feed_line(sse, p + taken, n - taken);
			p += n;
		}
	}
}
