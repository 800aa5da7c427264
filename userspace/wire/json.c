// The JSON scanner, see json.h: a state machine that can stop and go on at any byte.
#include "wire/json.h"

#include <errno.h>
#include <string.h>
#include "wire/json_number.h"
#include "wire/json_text.h"

static void fail(struct json_scanner *json, int error)
{
	json->state = JSON_FAILED;
	json->error = error;
}

static bool in_array(const struct json_scanner *json)
{
	return json->arrays >> (json->depth - 1) & 1;
}

static void emit(struct json_scanner *json, enum json_event event)
{
	json->text[json->text_bytes] = '\0';
	json->fn(json->owner, json, event);
}

static void value_over(struct json_scanner *json)
{
	json->state = json->depth ? JSON_AFTER_VALUE : JSON_DONE;
}

static void clear_text(struct json_scanner *json)
{
	json->text_bytes = 0;
	json->text_is_cut = false;
	json->code_points = 0;
}

static void keep(struct json_scanner *json, const char *bytes, size_t len)
{
	size_t room = JSON_TEXT_SIZE - 1 - json->text_bytes;

	if (len > room) {
		json->text_is_cut = true;
		len = room;
	}
	memcpy(json->text + json->text_bytes, bytes, len);
	json->text_bytes += len;
}

static void tell_piece(struct json_scanner *json, const char *bytes, size_t len)
{
	if (json->piece && !json->is_key)
		json->piece(json->owner, json, bytes, len);
}

// Keeps one code point that was written as an escape. It is whole in the text, or not in it.
static void keep_code_point(struct json_scanner *json, uint32_t code)
{
	char utf8[4];
	size_t len;

	if (code < 0x80) {
		utf8[0] = (char)code;
		len = 1;
	} else {
		len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
		for (size_t i = len - 1; i > 0; i--, code >>= 6)
			utf8[i] = (char)(0x80 | (code & 0x3f));
		utf8[0] = (char)((0xf00 >> len) | code);
	}
	tell_piece(json, utf8, len);
	if (len > (size_t)(JSON_TEXT_SIZE - 1 - json->text_bytes))
		json->text_is_cut = true;
	else
		keep(json, utf8, len);
}

// A first half of a surrogate pair that no second half followed stands for itself.
static void give_up_surrogate(struct json_scanner *json)
{
	if (json->high_surrogate)
		keep_code_point(json, 0xfffd);
	json->high_surrogate = 0;
}

static void begin_string(struct json_scanner *json, bool is_key)
{
	clear_text(json);
	json->high_surrogate = 0;
	json->is_key = is_key;
	json->state = JSON_IN_STRING;
}

static unsigned char key_number(const struct json_scanner *json)
{
	if (json->text_is_cut || json->text_bytes > JSON_MAX_KEY_BYTES)
		return JSON_OTHER_KEY;
	for (size_t i = 0; json->keys[i]; i++) {
		const char *key = json->keys[i];

		if (key[0] == json->text[0] && strlen(key) == json->text_bytes &&
		    !memcmp(key, json->text, json->text_bytes))
			return (unsigned char)(i + 1);
	}
	return JSON_OTHER_KEY;
}

static void end_string(struct json_scanner *json)
{
	give_up_surrogate(json);
	if (json->is_key) {
		json->path[json->depth - 1] = key_number(json);
		json->state = JSON_AT_COLON;
		if (json->tells_keys)
			emit(json, JSON_KEY);
	} else {
		value_over(json);
		emit(json, JSON_STRING);
	}
}

// Returns how many bytes were taken; at least one.
static size_t scan_string(struct json_scanner *json, const char *data, size_t len)
{
	size_t n = json_plain_run(data, len, &json->code_points);

	if (n) {
		give_up_surrogate(json);
		tell_piece(json, data, n);
		keep(json, data, n);
	}
	if (n == len)
		return n;
	if (data[n] == '"')
		end_string(json);
	else if (data[n] == '\\')
		json->state = JSON_IN_ESCAPE;
	else
		fail(json, -EBADMSG); // a raw control character
	return n + 1;
}

static void scan_escape(struct json_scanner *json, char c)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const char *name;

	if (c == 'u') {
		json->hex_digits = 0;
		json->hex_value = 0;
		json->state = JSON_IN_UNICODE;
		return;
	}
	name = c ? strchr(names, c) : NULL;
	if (!name) {
		fail(json, -EBADMSG);
		return;
	}
	give_up_surrogate(json);
	keep_code_point(json, (unsigned char)values[name - names]);
	json->code_points++;
	json->state = JSON_IN_STRING;
}

// RFC 8259 section 7: a pair of \u escapes stands for one code point above U+FFFF. The first half
// is counted when it comes, so its second half is not.
static void end_unicode(struct json_scanner *json, uint32_t unit)
{
	json->state = JSON_IN_STRING;
	if (json->high_surrogate && unit >= 0xdc00 && unit <= 0xdfff) {
		uint32_t high = json->high_surrogate;

		json->high_surrogate = 0;
		keep_code_point(json, 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00));
		return;
	}
	give_up_surrogate(json);
	json->code_points++;
	if (unit >= 0xd800 && unit <= 0xdbff)
		json->high_surrogate = (uint16_t)unit;
	else
		keep_code_point(json, unit >= 0xdc00 && unit <= 0xdfff ? 0xfffd : unit);
}

static void scan_unicode(struct json_scanner *json, char c)
{
	char lower = (char)(c | 0x20);
	int digit = c >= '0' && c <= '9'           ? c - '0'
		    : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10
						   : -1;

	if (digit < 0) {
		fail(json, -EBADMSG);
		return;
	}
	json->hex_value = (uint16_t)(json->hex_value << 4 | digit);
	if (++json->hex_digits == 4)
		end_unicode(json, json->hex_value);
}

static void end_number(struct json_scanner *json)
{
	if (!number_may_end(json->number_part)) {
		fail(json, -EBADMSG);
		return;
	}
	value_over(json);
	emit(json, JSON_NUMBER);
}

// Takes the number's bytes; the byte behind it, which ends it, is left to the next state.
static size_t scan_number(struct json_scanner *json, const char *data, size_t len)
{
	size_t n = 0;

	while (n < len) {
		enum number_part next = number_next(json->number_part, data[n]);

		if (next == NUMBER_OVER)
			break;
		json->number_part = next;
		n++;
	}
	keep(json, data, n);
	if (n < len)
		end_number(json);
	return n;
}

static void scan_literal(struct json_scanner *json, char c)
{
	if (c != *json->literal_rest++) {
		fail(json, -EBADMSG);
	} else if (!*json->literal_rest) {
		value_over(json);
		emit(json, json->literal_event);
	}
}

static void begin_literal(struct json_scanner *json, const char *rest, enum json_event event)
{
	clear_text(json);
	json->literal_rest = rest;
	json->literal_event = event;
	json->state = JSON_IN_LITERAL;
}

static void begin_number(struct json_scanner *json, char c)
{
	clear_text(json);
	keep(json, &c, 1);
	json->number_part = c == '-' ? NUMBER_MINUS : c == '0' ? NUMBER_ZERO : NUMBER_WHOLE;
	json->state = JSON_IN_NUMBER;
}

static void open_container(struct json_scanner *json, bool is_array)
{
	clear_text(json);
	emit(json, is_array ? JSON_ARRAY_BEGIN : JSON_OBJECT_BEGIN);
	if (json->depth == JSON_MAX_DEPTH) {
		fail(json, -E2BIG);
		return;
	}
	json->arrays &= ~(UINT64_C(1) << json->depth);
	json->arrays |= (uint64_t)is_array << json->depth;
	json->path[json->depth++] = is_array ? JSON_ELEMENT : JSON_OTHER_KEY;
	json->state = is_array ? JSON_AT_VALUE_OR_END : JSON_AT_KEY_OR_END;
}

static void close_container(struct json_scanner *json, char c)
{
	bool is_array = in_array(json);

	if (c != (is_array ? ']' : '}')) {
		fail(json, -EBADMSG);
		return;
	}
	clear_text(json);
	json->depth--;
	value_over(json);
	emit(json, is_array ? JSON_ARRAY_END : JSON_OBJECT_END);
}

static void begin_value(struct json_scanner *json, char c)
{
	if (c == '"')
		begin_string(json, false);
	else if (c == '{' || c == '[')
		open_container(json, c == '[');
	else if (c == '-' || (c >= '0' && c <= '9'))
		begin_number(json, c);
	else if (c == 't')
		begin_literal(json, "rue", JSON_TRUE);
	else if (c == 'f')
		begin_literal(json, "alse", JSON_FALSE);
	else if (c == 'n')
		begin_literal(json, "ull", JSON_NULL);
	else
		fail(json, -EBADMSG);
}

// One byte between values.
static void scan_structure(struct json_scanner *json, char c)
{
	bool may_end = json->state == JSON_AT_VALUE_OR_END || json->state == JSON_AT_KEY_OR_END;

	if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
		return;
	if (may_end && (c == ']' || c == '}')) {
		close_container(json, c);
		return;
	}
	switch (json->state) {
	case JSON_AT_VALUE:
	case JSON_AT_VALUE_OR_END:
		begin_value(json, c);
		break;
	case JSON_AT_KEY:
	case JSON_AT_KEY_OR_END:
		if (c == '"')
			begin_string(json, true);
		else
			fail(json, -EBADMSG);
		break;
	case JSON_AT_COLON:
		if (c == ':')
			json->state = JSON_AT_VALUE;
		else
			fail(json, -EBADMSG);
		break;
	case JSON_AFTER_VALUE:
		if (c == ',')
			json->state = in_array(json) ? JSON_AT_VALUE : JSON_AT_KEY;
		else
			close_container(json, c);
		break;
	default: // JSON_DONE: something follows the document
		fail(json, -EBADMSG);
	}
}

void json_scanner_init(struct json_scanner *json, const char *const *keys, json_event_fn fn,
		       void *owner)
{
	memset(json, 0, sizeof(*json));
	json->keys = keys;
	json->fn = fn;
	json->owner = owner;
	json_scanner_reset(json);
}

void json_scanner_reset(struct json_scanner *json)
{
	clear_text(json);
	json->depth = 0;
	json->offset = 0;
	json->arrays = 0;
	json->state = JSON_AT_VALUE;
	json->error = 0;
}

// Returns how many bytes were taken.
static size_t scan(struct json_scanner *json, const char *data, size_t len)
{
	switch (json->state) {
	case JSON_IN_STRING:
		return scan_string(json, data, len);
	case JSON_IN_NUMBER:
		return scan_number(json, data, len);
	case JSON_IN_ESCAPE:
		scan_escape(json, *data);
		return 1;
	case JSON_IN_UNICODE:
		scan_unicode(json, *data);
		return 1;
	case JSON_IN_LITERAL:
		scan_literal(json, *data);
		return 1;
	default:
		scan_structure(json, *data);
		return 1;
	}
}

int json_scanner_feed(struct json_scanner *json, const void *data, size_t len)
{
	const char *p = data, *end = p + len;

	while (p < end && json->state != JSON_FAILED) {
		size_t n = scan(json, p, (size_t)(end - p));

		p += n;
		json->offset += n;
	}
	return json->error;
}

int json_scanner_end(struct json_scanner *json)
{
	if (json->state == JSON_IN_NUMBER && !json->depth) // nothing else ends such a number
		end_number(json);
	if (json->state != JSON_DONE && json->state != JSON_FAILED)
		fail(json, -EBADMSG);
	return json->error;
}

bool json_scanner_in_string(const struct json_scanner *json)
{
	return !json->is_key && (json->state == JSON_IN_STRING || json->state == JSON_IN_ESCAPE ||
				 json->state == JSON_IN_UNICODE);
}
