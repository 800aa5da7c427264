// See multipart.h.
#include "wire/multipart.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

// The next semicolon that is not part of a quoted string; NULL: there is none.
static const char *next_semicolon(const char *text)
{
	bool is_quoted = false;

	for (; *text && (is_quoted || *text != ';'); text++) {
		if (*text == '"')
			is_quoted = !is_quoted;
		else if (is_quoted && *text == '\\' && text[1])
			text++;
	}
	return *text ? text : NULL;
}

// Where the value of a header field's parameter begins (RFC 9110 section 5.6.6); NULL: it has none
// of that name.
static const char *find_parameter(const char *text, const char *name)
{
	size_t name_bytes = strlen(name);

	while ((text = next_semicolon(text))) {
		text += 1 + strspn(text + 1, " \t");
		if (!strncasecmp(text, name, name_bytes) && text[name_bytes] == '=')
			return text + name_bytes + 1;
	}
	return NULL;
}

// `value` or `"value"`. Returns false if it is not there, or does not fit.
static bool read_parameter(const char *text, const char *name, char *ret, size_t size)
{
	size_t n = 0;

	text = find_parameter(text, name);
	if (!text)
		return false;
	if (*text == '"') {
		for (text++; *text && *text != '"' && n < size - 1; text++) {
			if (*text == '\\' && text[1])
				text++;
			ret[n++] = *text;
		}
		ret[n] = '\0';
		return *text == '"';
	}
	n = strcspn(text, "; \t");
	if (n >= size)
		return false;
	memcpy(ret, text, n);
	ret[n] = '\0';
	return n;
}

int multipart_init(struct multipart *m, const char *content_type, multipart_fn fn, void *owner)
{
	static const char type[] = "multipart/form-data";
	char boundary[MULTIPART_BOUNDARY_SIZE];

	*m = (struct multipart){.fn = fn, .owner = owner, .state = MULTIPART_FAILED};
	if (strncasecmp(content_type, type, sizeof(type) - 1) ||
	    !read_parameter(content_type, "boundary", boundary, sizeof(boundary)) || !*boundary ||
	    strpbrk(boundary, "\r\n"))
		return -EINVAL;
	snprintf(m->delimiter, sizeof(m->delimiter), "\r\n--%s", boundary);
	m->delimiter_bytes = strlen(m->delimiter);
	m->state = MULTIPART_VALUE;
	m->matched = 2; // the first one needs no line before it
	return 0;
}

static void take_value(struct multipart *m, const char *data, size_t len)
{
	struct multipart_field *field = &m->field;
	size_t room = sizeof(field->value) - field->value_bytes;

	if (!m->is_in_part)
		return;
	field->bytes += len;
	for (size_t i = 0; i < len && !field->is_file; i++) // RFC 3629: others begin a character
		field->code_points += ((unsigned char)data[i] & 0xc0) != 0x80;
	memcpy(field->value + field->value_bytes, data, len < room ? len : room);
	field->value_bytes += len < room ? len : room;
}

static void end_part(struct multipart *m)
{
	if (m->is_in_part && m->field.name[0])
		m->fn(m->owner, &m->field);
	m->is_in_part = false;
	m->state = MULTIPART_AFTER;
	m->line_bytes = 0;
	m->line_is_cut = false;
	m->matched = 0;
}

// Returns how many bytes were taken: up to the next CR, or one.
static size_t feed_value(struct multipart *m, const char *data, size_t len)
{
	const char *cr;
	size_t n;

	if (m->matched) {
		if (*data == m->delimiter[m->matched]) {
			if (++m->matched == m->delimiter_bytes)
				end_part(m);
			return 1;
		}
		n = m->matched;
		m->matched = 0;
		take_value(m, m->delimiter, n); // a false start
	}
	cr = memchr(data, '\r', len);
	n = cr ? (size_t)(cr - data) : len;
	take_value(m, data, n);
	if (cr)
		m->matched = 1;
	return cr ? n + 1 : n;
}

static void read_header(struct multipart *m)
{
	static const char name[] = "content-disposition:";

	if (strncasecmp(m->line, name, sizeof(name) - 1))
		return;
	if (!read_parameter(m->line, "name", m->field.name, sizeof(m->field.name)))
		m->field.name[0] = '\0';
	// What is cut off is most likely a file's name (filename*: RFC 5987).
	m->field.is_file = find_parameter(m->line, "filename") ||
			   find_parameter(m->line, "filename*") || m->line_is_cut;
}

static void begin_part(struct multipart *m)
{
	m->field = (struct multipart_field){};
	m->state = MULTIPART_HEADER;
}

static void end_line(struct multipart *m)
{
	size_t bytes = m->line_bytes;

	if (bytes && m->line[bytes - 1] == '\r')
		bytes--;
	m->line[bytes] = '\0';
	m->line_bytes = 0;
	if (m->state == MULTIPART_AFTER) {
		// White space may stand behind a delimiter; "--" closes (RFC 2046 section 5.1.1).
		if (!strncmp(m->line, "--", 2))
			m->state = MULTIPART_OVER;
		else if (strspn(m->line, " \t") == bytes)
			begin_part(m);
		else
			m->state = MULTIPART_FAILED;
	} else if (!bytes) {
		m->is_in_part = true;
		m->state = MULTIPART_VALUE;
	} else {
		read_header(m);
	}
	m->line_is_cut = false;
}

static void feed_line(struct multipart *m, char byte)
{
	if (byte == '\n') {
		end_line(m);
		return;
	}
	if (m->line_bytes == sizeof(m->line) - 1) {
		m->line_is_cut = true;
		return;
	}
	m->line[m->line_bytes++] = byte;
	// The last delimiter needs no line of its own.
	if (m->state == MULTIPART_AFTER && m->line_bytes == 2 && !memcmp(m->line, "--", 2))
		m->state = MULTIPART_OVER;
}

void multipart_feed(struct multipart *m, const void *data, size_t len)
{
	const char *p = data;

	while (len && m->state < MULTIPART_OVER) {
		size_t n = 1;

		if (m->state == MULTIPART_VALUE)
			n = feed_value(m, p, len);
		else
			feed_line(m, *p);
		p += n;
		len -= n;
	}
}

bool multipart_is_whole(const struct multipart *m)
{
	return m->state == MULTIPART_OVER;
}
