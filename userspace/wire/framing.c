// HTTP/1.x framing, see framing.h.
//
// libhttp-parser is paused at the three moments that matter (first byte, end of the head, end of
// the message): only then does the number of bytes it took give the exact offset. The owner is
// called when it has returned, never from inside it.
#include "wire/framing.h"

#include <string.h>
#include "wire/text.h"

#define TWO_WAYS "an HTTP head that can be read in two ways"

static struct framing *framing_of(http_parser *parser)
{
	return parser->data;
}

static int pause_at(http_parser *parser, int moment)
{
	framing_of(parser)->paused_at = moment;
	http_parser_pause(parser, 1);
	return 0;
}

static void reset_parser(struct framing *f)
{
	http_parser_init(&f->parser, f->callbacks->type);
	// A strange byte in a header is not ours to refuse; what it would hide, body_kind()
	// refuses.
	f->parser.lenient_http_headers = 1;
	f->parser.data = f;
	f->state = FRAMING_HEAD;
	f->left = f->left_in_chunk = 0;
	f->is_value = false;
	f->want = FRAMING_UNWANTED;
	f->name_bytes = f->value_bytes = 0;
}

static int on_begin(http_parser *parser)
{
	return pause_at(parser, PAUSED_AT_BEGIN);
}

static int on_target(http_parser *parser, const char *bytes, size_t len)
{
	struct framing *f = framing_of(parser);

	if (f->callbacks->target)
		f->callbacks->target(f->owner, bytes, len);
	return 0;
}

static void append(char *buffer, size_t size, unsigned short *used, const char *bytes, size_t len)
{
	size_t room = size - 1 - *used;

	if (len > room)
		len = room;
	memcpy(buffer + *used, bytes, len);
	*used += len;
	buffer[*used] = '\0';
}

static void header_over(struct framing *f)
{
	if (f->is_value && f->want == FRAMING_SECRET) {
		f->callbacks->secret_over(f->owner);
	} else if (f->is_value && f->want == FRAMING_WANTED) {
		f->value[f->value_bytes] = '\0';
		f->callbacks->header(f->owner, f->name, f->value);
	}
	f->is_value = false;
	f->name_bytes = f->value_bytes = 0;
}

// Its name is complete.
static void value_begins(struct framing *f)
{
	f->is_value = true;
	text_lower(f->name);
	f->want = f->callbacks->wants(f->owner, f->name);
}

static int on_header_name(http_parser *parser, const char *bytes, size_t len)
{
	struct framing *f = framing_of(parser);

	if (f->state != FRAMING_HEAD) // a trailer: says nothing that we would believe
		return 0;
	if (f->is_value)
		header_over(f);
	append(f->name, sizeof(f->name), &f->name_bytes, bytes, len);
	return 0;
}

static int on_header_value(http_parser *parser, const char *bytes, size_t len)
{
	struct framing *f = framing_of(parser);

	if (f->state != FRAMING_HEAD)
		return 0;
	if (!f->is_value)
		value_begins(f);
	if (f->want == FRAMING_SECRET)
		f->callbacks->secret(f->owner, f->name, bytes, len);
	else if (f->want == FRAMING_WANTED)
		append(f->value, sizeof(f->value), &f->value_bytes, bytes, len);
	return 0;
}

// RFC 9112 section 6.3. Both lengths at once, or a transfer coding that does not end in "chunked",
// are how requests are smuggled: whoever reads such a message differently than the server is
// fooled.
static enum framing_body body_kind(struct framing *f)
{
	const http_parser *parser = &f->parser;
	bool has_length = parser->flags & F_CONTENTLENGTH;

	if (parser->uses_transfer_encoding && has_length)
		return BODY_REFUSED;
	if (f->callbacks->has_no_body(f->owner, parser))
		return BODY_NONE;
	if (parser->flags & F_CHUNKED)
		return BODY_CHUNKED;
	if (parser->type == HTTP_REQUEST && parser->uses_transfer_encoding)
		return BODY_REFUSED;
	if (has_length)
		return parser->content_length <= INT64_MAX ? BODY_LENGTH : BODY_REFUSED;
	return parser->type == HTTP_REQUEST ? BODY_NONE : BODY_UNTIL_CLOSE;
}

static int on_head(http_parser *parser)
{
	struct framing *f = framing_of(parser);

	header_over(f);
	f->body_kind = body_kind(f);
	f->left = f->body_kind == BODY_LENGTH        ? parser->content_length
		  : f->body_kind == BODY_UNTIL_CLOSE ? FRAMING_UNTIL_CLOSE
						     : 0;
	pause_at(parser, PAUSED_AT_HEAD);
	return f->body_kind == BODY_CHUNKED ? 0 : 1; // 1: "there is no body"
}

static int on_body(http_parser *parser, const char *bytes, size_t len)
{
	struct framing *f = framing_of(parser);

	f->left_in_chunk -= len;
	if (!f->is_filling)
		f->callbacks->body(f->owner, bytes, len);
	return 0;
}

static int on_chunk(http_parser *parser)
{
	framing_of(parser)->left_in_chunk = parser->content_length;
	return 0;
}

static int on_end(http_parser *parser)
{
	return pause_at(parser, PAUSED_AT_END);
}

static const http_parser_settings settings = {
	.on_message_begin = on_begin,
	.on_url = on_target,
	.on_header_field = on_header_name,
	.on_header_value = on_header_value,
	.on_headers_complete = on_head,
	.on_body = on_body,
	.on_chunk_header = on_chunk,
	.on_message_complete = on_end,
};

void framing_give_up(struct framing *f, const char *why)
{
	if (f->state == FRAMING_CLOSED)
		return;
	f->state = FRAMING_CLOSED;
	f->callbacks->opaque(f->owner, why);
}

static void message_over(struct framing *f)
{
	bool goes_on = f->callbacks->complete(f->owner, f->reached);

	if (f->state != FRAMING_CLOSED && goes_on)
		reset_parser(f);
	else
		f->state = FRAMING_CLOSED;
}

// The parser stands on the last byte of the head, a \n that it takes when it goes on.
static void head_over(struct framing *f)
{
	if (f->body_kind == BODY_REFUSED) {
		framing_give_up(f, TWO_WAYS);
		return;
	}
	f->callbacks->head(f->owner, f->reached + 1, f->body_kind,
			   f->body_kind == BODY_LENGTH ? f->left : 0);
	if (f->body_kind == BODY_CHUNKED && f->state != FRAMING_CLOSED)
		f->state = FRAMING_CHUNKED;
}

static void parser_paused(struct framing *f)
{
	http_parser_pause(&f->parser, 0);
	switch (f->paused_at) {
	case PAUSED_AT_BEGIN:
		f->callbacks->begin(f->owner, f->reached - 1);
		break;
	case PAUSED_AT_HEAD:
		head_over(f);
		break;
	case PAUSED_AT_END:
		if (f->left && f->state != FRAMING_CLOSED)
			f->state = FRAMING_BODY;
		else if (f->state != FRAMING_CLOSED)
			message_over(f);
		break;
	case PAUSED_NOT:
		break;
	}
	f->paused_at = PAUSED_NOT;
}

static const char *why_not(const http_parser *parser)
{
	switch (HTTP_PARSER_ERRNO(parser)) {
	case HPE_UNEXPECTED_CONTENT_LENGTH: // a second one, or beside Transfer-Encoding
	case HPE_INVALID_TRANSFER_ENCODING:
		return TWO_WAYS;
	default:
		return "not HTTP";
	}
}

// Both return how many bytes were taken.
static size_t feed_parser(struct framing *f, const char *data, size_t len)
{
	size_t n = http_parser_execute(&f->parser, &settings, data, len);

	f->reached += n;
	if (HTTP_PARSER_ERRNO(&f->parser) == HPE_PAUSED)
		parser_paused(f);
	else if (HTTP_PARSER_ERRNO(&f->parser) != HPE_OK || n < len)
		framing_give_up(f, why_not(&f->parser));
	return n;
}

static size_t feed_body(struct framing *f, const char *data, size_t len)
{
	size_t n = len < f->left ? len : (size_t)f->left;

	f->reached += n;
	if (f->left != FRAMING_UNTIL_CLOSE)
		f->left -= n;
	f->callbacks->body(f->owner, data, n);
	if (!f->left && f->state != FRAMING_CLOSED)
		message_over(f);
	return n;
}

// Takes the parser over a gap in the data of a chunk. content_length is what it still expects of
// the chunk; its last byte is really fed, so that the parser moves on by itself if the chunk ends
// there.
static void skip_in_chunk(struct framing *f, uint64_t len)
{
	f->parser.content_length -= len - 1;
	f->left_in_chunk -= len - 1;
	f->is_filling = true;
	http_parser_execute(&f->parser, &settings, "", 1);
	f->is_filling = false;
	f->reached += len;
	f->callbacks->body_lost(f->owner, len);
}

static void skip_gap(struct framing *f, uint64_t len)
{
	if (f->state == FRAMING_CHUNKED && len <= f->left_in_chunk) {
		skip_in_chunk(f, len);
		return;
	}
	if (f->state != FRAMING_BODY || len > f->left) {
		framing_give_up(f, FRAMING_GAP);
		return;
	}
	f->reached += len;
	if (f->left != FRAMING_UNTIL_CLOSE)
		f->left -= len;
	f->callbacks->body_lost(f->owner, len);
	if (!f->left)
		message_over(f);
}

// Handles what lies between the offset reached and the `len` bytes at `at`. Returns how many of
// them were seen before; all of them if there is nothing to read.
static uint64_t bytes_seen(struct framing *f, uint64_t at, uint64_t len)
{
	if (f->state != FRAMING_CLOSED && len > INT64_MAX - (at < INT64_MAX ? at : INT64_MAX))
		framing_give_up(
			f,
			FRAMING_GAP); // offsets stay below 2^63, so that sums of two never overflow
	if (f->state != FRAMING_CLOSED && len && at > f->reached)
		skip_gap(f, at - f->reached);
	if (f->state == FRAMING_CLOSED || at >= f->reached)
		return f->state == FRAMING_CLOSED ? len : 0;
	return f->reached - at < len ? f->reached - at : len;
}

void framing_init(struct framing *f, const struct framing_callbacks *callbacks, void *owner)
{
	*f = (struct framing){.callbacks = callbacks, .owner = owner};
	reset_parser(f);
}

void framing_go_on(struct framing *f)
{
	reset_parser(f);
}

void framing_feed(struct framing *f, uint64_t at, const void *data, size_t len)
{
	const char *p = data;
	size_t seen = (size_t)bytes_seen(f, at, len);

	for (p += seen, len -= seen; len && f->state != FRAMING_CLOSED;) {
		size_t n = f->state == FRAMING_BODY ? feed_body(f, p, len) : feed_parser(f, p, len);

		p += n;
		len -= n;
	}
}

void framing_skip(struct framing *f, uint64_t at, uint64_t len)
{
	uint64_t seen = bytes_seen(f, at, len);

	if (len > seen)
		skip_gap(f, len - seen);
}

void framing_end(struct framing *f)
{
	if (f->state == FRAMING_BODY && f->left == FRAMING_UNTIL_CLOSE)
		f->callbacks->complete(f->owner, f->reached);
	f->state = FRAMING_CLOSED;
}
