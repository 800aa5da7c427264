// Conversations for the tests of wire/: what a client and a server say, in turns, with HTTP/2's
// frames made here and its header blocks by libnghttp2's deflater. They are played to a
// conversation in every way a connection may cut them, and its events are written down as text,
// which must not depend on the cuts.
#ifndef SLUICE_TESTS_WIRE_TALK_H
#define SLUICE_TESTS_WIRE_TALK_H

#include <nghttp2/nghttp2.h>
#include "wire/conversation.h"
#include "wire/http2.h"
#include "wire/http2_frames.h"
#include "wire/memory.h"
#include "wire_replay.h"

#define TALK_PARTS 160
#define TALK_BYTES 65536

enum speaker { CLIENT, SERVER };

struct talk_part {
	enum speaker by;
	size_t begin, len; // in bytes
	bool is_lost;      // nobody saw it
};

struct talk {
	struct talk_part parts[TALK_PARTS];
	size_t n_parts;
	unsigned char bytes[TALK_BYTES];
	size_t used;
	nghttp2_hd_deflater *deflaters[2];
};

static inline void talk_raw(struct talk *talk, enum speaker by, const void *data, size_t len)
{
	assert_true(talk->n_parts < TALK_PARTS && len <= TALK_BYTES - talk->used);
	talk->parts[talk->n_parts++] = (struct talk_part){by, talk->used, len, false};
	memcpy(talk->bytes + talk->used, data, len);
	talk->used += len;
}

static inline void talk_say(struct talk *talk, enum speaker by, const char *text)
{
	talk_raw(talk, by, text, strlen(text));
}

// The `len` last bytes that were said are not seen.
static inline void talk_lose_last(struct talk *talk, size_t len)
{
	struct talk_part *last = &talk->parts[talk->n_parts - 1];

	assert_true(len <= last->len && talk->n_parts < TALK_PARTS);
	last->len -= len;
	talk->parts[talk->n_parts++] =
		(struct talk_part){last->by, last->begin + last->len, len, true};
}

static inline void talk_frame(struct talk *talk, enum speaker by, unsigned int type,
			      unsigned int flags, uint32_t stream, const void *payload, size_t len)
{
	unsigned char bytes[20000] = {
		(unsigned char)(len >> 16),
		(unsigned char)(len >> 8),
		(unsigned char)len,
		(unsigned char)type,
		(unsigned char)flags,
		(unsigned char)(stream >> 24),
		(unsigned char)(stream >> 16),
		(unsigned char)(stream >> 8),
		(unsigned char)stream,
	};

	assert_true(len <= sizeof(bytes) - 9);
	memcpy(bytes + 9, payload, len);
	talk_raw(talk, by, bytes, 9 + len);
}

static inline void talk_data(struct talk *talk, enum speaker by, unsigned int flags,
			     uint32_t stream, const char *text)
{
	talk_frame(talk, by, HTTP2_DATA, flags, stream, text, strlen(text));
}

// A header block of the fields, "name", "value", …, NULL.
static inline size_t talk_block(struct talk *talk, enum speaker by, const char *const *fields,
				unsigned char *block, size_t size)
{
	nghttp2_nv pairs[24];
	size_t n = 0;
	ssize_t len;

	for (; fields[2 * n]; n++)
		pairs[n] = (nghttp2_nv){
			.name = (uint8_t *)fields[2 * n],
			.value = (uint8_t *)fields[2 * n + 1],
			.namelen = strlen(fields[2 * n]),
			.valuelen = strlen(fields[2 * n + 1]),
		};
	if (!talk->deflaters[by])
		assert_int_equal(nghttp2_hd_deflate_new(&talk->deflaters[by], 4096), 0);
	len = nghttp2_hd_deflate_hd(talk->deflaters[by], block, size, pairs, n);
	assert_true(len >= 0);
	return (size_t)len;
}

#define FIELDS(...) ((const char *const[]){__VA_ARGS__, NULL})

// HEADERS in one frame. flags: HTTP2_END_STREAM or 0.
static inline void talk_headers(struct talk *talk, enum speaker by, unsigned int flags,
				uint32_t stream, const char *const *fields)
{
	unsigned char block[8192];
	size_t len = talk_block(talk, by, fields, block, sizeof(block));

	talk_frame(talk, by, HTTP2_HEADERS, flags | HTTP2_END_HEADERS, stream, block, len);
}

static inline void talk_u32(struct talk *talk, enum speaker by, unsigned int type, uint32_t stream,
			    uint32_t first, size_t len)
{
	unsigned char payload[16] = {
		(unsigned char)(first >> 24),
		(unsigned char)(first >> 16),
		(unsigned char)(first >> 8),
		(unsigned char)first,
	};

	talk_frame(talk, by, type, 0, stream, payload, len);
}

static inline void talk_begin_http2(struct talk *talk)
{
	talk_say(talk, CLIENT, HTTP2_PREFACE);
	talk_frame(talk, CLIENT, HTTP2_SETTINGS, 0, 0, "\0\3\0\0\0\144", 6);
	talk_frame(talk, SERVER, HTTP2_SETTINGS, 0, 0, "", 0);
	talk_frame(talk, CLIENT, HTTP2_SETTINGS, HTTP2_ACK, 0, "", 0);
	talk_frame(talk, SERVER, HTTP2_SETTINGS, HTTP2_ACK, 0, "", 0);
}

static inline struct talk *talk_new(void)
{
	struct talk *talk = calloc(1, sizeof(*talk));

	assert_non_null(talk);
	return talk;
}

static inline void talk_free(struct talk *talk)
{
	for (int i = 0; i < 2; i++)
		if (talk->deflaters[i])
			nghttp2_hd_deflate_del(talk->deflaters[i]);
	free(talk);
}

static struct conversation *talk_now; // so that events can be asked for labels

static inline void talk_note_request(struct note *note, enum conversation_event event,
				     uint64_t stream, const struct request *r)
{
	const struct request_labels *labels = conversation_labels(talk_now, stream);

	assert_non_null(r);
	assert_ptr_equal(r, conversation_request(talk_now, stream));
	if (event == REQUEST_STARTED) {
		note_add(note, " STARTED at=%llu;", (unsigned long long)r->begin);
		return;
	}
	if (event == REQUEST_HEAD) {
		note_add(note, " HEAD %s %s", r->method, r->path);
		note_text(note, "host", r->host);
		note_text(note, "key", r->api_key);
		note_number(note, "length", r->content_length, REQUEST_ABSENT);
		note_add(note, ";");
		return;
	}
	note_add(note, " COMPLETE bytes=%llu", (unsigned long long)r->body_bytes);
	note_text(note, "model", r->model);
	note_number(note, "body", r->body_begin, 0);
	note_number(note, "end", r->end, REQUEST_UNKNOWN_LENGTH);
	if (request_labels_header(labels, "x-user"))
		note_text(note, "x-user", request_labels_header(labels, "x-user"));
	note_add(note, "%s%s;", r->body_json_whole ? " json" : "", r->is_whole ? "" : " gap");
}

static inline void talk_note_response(struct note *note, enum conversation_event event,
				      const struct response *r)
{
	static const char *const names[] = {
		[RESPONSE_HEAD] = "ANSWER", [RESPONSE_COMPLETE] = "ANSWERED",
		[STREAM_LOST] = "LOST",     [UPGRADED_WEBSOCKET] = "UPGRADED",
		[WEBSOCKET_TURN] = "TURN",
	};

	note_add(note, " %s", names[event]);
	if (r) {
		note_number(note, "status", (uint64_t)r->status, 0);
		note_number(note, "bytes", r->body_bytes, 0);
		note_number(note, "in", r->tokens_in, RESPONSE_ABSENT);
		note_number(note, "out", r->tokens_out, RESPONSE_ABSENT);
		note_number(note, "limit", r->tokens.limit, RESPONSE_ABSENT);
	}
	note_add(note, ";");
}

static inline void talk_event(void *owner, enum conversation_event event, uint64_t stream,
			      const struct request *request, const struct response *response)
{
	struct note *note = owner;

	if (event == CONVERSATION_OPAQUE) {
		assert_non_null(conversation_why(talk_now));
		note_add(note, "OPAQUE %s;", conversation_why(talk_now));
		return;
	}
	if (event == RESPONSES_UNKNOWN) {
		note_add(note, "UNKNOWN;");
		return;
	}
	note_add(note, "%llu", (unsigned long long)stream);
	if (event <= REQUEST_COMPLETE)
		talk_note_request(note, event, stream, request);
	else
		talk_note_response(note, event, response);
}

// An exact copy, so that AddressSanitizer sees a read beyond a piece.
static inline void talk_feed(struct conversation *c, const struct talk *talk,
			     const struct talk_part *part, uint64_t at, size_t from, size_t to)
{
	char *copy;

	if (part->is_lost && part->by == CLIENT) {
		conversation_sent_unseen(c, at + from, to - from);
	} else if (part->is_lost) {
		conversation_received_unseen(c, at + from, to - from);
	} else if (to > from) {
		copy = malloc(to - from);
		assert_non_null(copy);
		memcpy(copy, talk->bytes + part->begin + from, to - from);
		if (part->by == CLIENT)
			conversation_sent(c, at + from, copy, to - from);
		else
			conversation_received(c, at + from, copy, to - from);
		free(copy);
	}
}

// In pieces of `step` at most, cut at `cut` as well (of talk->bytes); what is said is sent twice if
// is_repeated.
static inline void talk_play(const struct talk *talk, size_t step, size_t cut, bool is_repeated,
			     struct note *note)
{
	static const char *const asked[] = {"x-user", NULL};
	uint64_t offsets[2] = {0, 0};

	note->used = 0;
	note->text[0] = '\0';
	talk_now = conversation_new(talk_event, note);
	assert_non_null(talk_now);
	assert_int_equal(conversation_keep_headers(talk_now, asked), 0);
	for (size_t i = 0; i < talk->n_parts; i++) {
		const struct talk_part *part = &talk->parts[i];
		size_t to;

		for (size_t from = 0; from < part->len; from = to) {
			to = part->len - from < step ? part->len : from + step;
			if (part->begin + from < cut && cut < part->begin + to)
				to = cut - part->begin;
			talk_feed(talk_now, talk, part, offsets[part->by], from, to);
			if (is_repeated)
				talk_feed(talk_now, talk, part, offsets[part->by], 0, to);
		}
		offsets[part->by] += part->len;
	}
	conversation_end(talk_now);
	conversation_free(talk_now);
	talk_now = NULL;
	assert_int_equal(wire_used(), 0);
}

// Whole, in two pieces cut anywhere, byte by byte, and with repeats.
static inline void talk_play_all_ways(const struct talk *talk, struct note *ret_note)
{
	static struct note other;

	talk_play(talk, SIZE_MAX, 0, false, ret_note);
	for (size_t cut = 0; cut < talk->used; cut++) {
		talk_play(talk, SIZE_MAX, cut, cut % 2, &other);
		assert_string_equal(other.text, ret_note->text);
	}
	talk_play(talk, 1, 0, false, &other);
	assert_string_equal(other.text, ret_note->text);
	talk_play(talk, 3, 0, true, &other);
	assert_string_equal(other.text, ret_note->text);
}

// Plays it and compares, then frees it.
static inline void talk_expect(struct talk *talk, const char *said)
{
	static struct note note;

	talk_play_all_ways(talk, &note);
	assert_string_equal(note.text, said);
	talk_free(talk);
}

#endif
