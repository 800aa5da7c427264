// One connection's plaintext, see conversation.h: which protocol it is, and what it changes to.
#include "wire/conversation.h"

#include <errno.h>
#include <string.h>
#include "wire/http1.h"
#include "wire/http2.h"
#include "wire/memory.h"
#include "wire/websocket.h"

#define NO_MEMORY "no memory for it is left"
#define GAP "not all of it was seen"

// A server of HTTP/2 may speak first (its SETTINGS, RFC 9113 section 3.4), before it is known that
// this is HTTP/2. What is more than this is dropped, and makes a gap.
#define EARLY_BYTES 256

struct early {
	size_t used;
	char bytes[EARLY_BYTES];
};

struct conversation {
	conversation_event_fn fn;
	void *owner;
	enum conversation_protocol protocol;
	const char *why;     // it is opaque
	size_t preface_seen; // while the protocol is unknown: how many bytes are HTTP/2's preface
	struct early *early; // while the protocol is unknown, if the server speaks first
	const char **asked;  // headers to keep, ended by NULL; the texts behind the pointers
	struct http1 *http1;
	struct http2 *http2;
	uint64_t sent; // once neither of these reads: how far the client's plaintext was read
	// WebSocket:
	struct websocket *websocket; // NULL: the server's frames are not understood
	uint64_t stream;             // of the upgrade
	uint64_t received;           // where the server's plaintext goes on
};

static void make_opaque(struct conversation *c, const char *why)
{
	if (c->why)
		return;
	c->why = why;
	c->fn(c->owner, CONVERSATION_OPAQUE, 0, NULL, NULL);
}

static void on_turn(void *owner, const struct response *turn)
{
	struct conversation *c = owner;

	c->fn(c->owner, WEBSOCKET_TURN, c->stream, NULL, turn);
}

static void become_websocket(struct conversation *c, uint64_t stream)
{
	c->websocket = websocket_new(http1_extensions(c->http1), on_turn, c);
	c->protocol = PROTOCOL_WEBSOCKET;
	c->stream = stream;
	c->received = http1_received_reached(c->http1);
}

static void lose_websocket(struct conversation *c)
{
	websocket_free(c->websocket);
	c->websocket = NULL;
	c->fn(c->owner, RESPONSES_UNKNOWN, 0, NULL, NULL);
}

// From http1 and http2, whose events are the conversation's.
static void on_event(void *owner, enum conversation_event event, uint64_t stream,
		     const struct request *request, const struct response *response)
{
	struct conversation *c = owner;

	if (event == CONVERSATION_OPAQUE) {
		make_opaque(c, c->http1 ? http1_why(c->http1) : http2_why(c->http2));
		return;
	}
	if (event == UPGRADED_WEBSOCKET)
		become_websocket(c, stream);
	c->fn(c->owner, event, stream, request, response);
	if (event == UPGRADED_WEBSOCKET && !c->websocket)
		lose_websocket(c);
}

// What is not needed any more. Not from within a reader, which may be what is freed.
static void tidy(struct conversation *c)
{
	if ((c->http1 || c->http2) && (c->why || c->protocol == PROTOCOL_WEBSOCKET)) {
		c->sent = c->http1 ? http1_reached(c->http1) : http2_reached(c->http2);
		http1_free(c->http1);
		http2_free(c->http2);
		c->http1 = NULL;
		c->http2 = NULL;
	}
	if (c->why) {
		websocket_free(c->websocket);
		c->websocket = NULL;
	}
	if (c->why || c->protocol != PROTOCOL_UNKNOWN) {
		wire_free(c->early);
		c->early = NULL;
	}
}

struct conversation *conversation_new(conversation_event_fn fn, void *owner)
{
	struct conversation *c = wire_alloc(sizeof(*c));

	if (!c)
		return NULL;
	c->fn = fn;
	c->owner = owner;
	return c;
}

void conversation_free(struct conversation *c)
{
	if (!c)
		return;
	http1_free(c->http1);
	http2_free(c->http2);
	websocket_free(c->websocket);
	wire_free(c->early);
	wire_free(c->asked);
	wire_free(c);
}

// One block: the pointers, and behind them the texts. NULL: no memory.
static const char **copy_names(const char *const *names)
{
	size_t n = 0, bytes = 0;
	const char **copy;
	char *text;

	for (; names && names[n]; n++)
		bytes += strlen(names[n]) + 1;
	copy = wire_alloc((n + 1) * sizeof(*copy) + bytes);
	if (!copy)
		return NULL;
	text = (char *)(copy + n + 1);
	for (size_t i = 0; i < n; i++) {
		copy[i] = strcpy(text, names[i]);
		text += strlen(text) + 1;
	}
	return copy;
}

int conversation_keep_headers(struct conversation *c, const char *const *names)
{
	const char **copy = copy_names(names);
	int error = 0;

	if (!copy)
		return -ENOMEM;
	if (c->http1)
		error = http1_keep_headers(c->http1, copy);
	else if (c->http2)
		error = http2_keep_headers(c->http2, copy);
	wire_free(c->asked);
	c->asked = copy;
	return error;
}

static void received(struct conversation *c, uint64_t at, const void *data, size_t len);

// The client has said which protocol it is: what the server has said so far can be read.
static void begin(struct conversation *c, enum conversation_protocol protocol)
{
	struct early *early = c->early;

	c->protocol = protocol;
	if (protocol == PROTOCOL_HTTP1)
		c->http1 = http1_new(on_event, c);
	else
		c->http2 = http2_new(on_event, c);
	if (!c->http1 && !c->http2) {
		make_opaque(c, NO_MEMORY);
		return;
	}
	if (c->http1)
		http1_keep_headers(c->http1, c->asked);
	else
		http2_keep_headers(c->http2, c->asked);
	if (early)
		received(c, 0, early->bytes, early->used);
}

static void sent(struct conversation *c, uint64_t at, const void *data, size_t len)
{
	switch (c->protocol) {
	case PROTOCOL_HTTP1:
		http1_sent(c->http1, at, data, len);
		break;
	case PROTOCOL_HTTP2:
		http2_sent(c->http2, at, data, len);
		break;
	case PROTOCOL_WEBSOCKET:
		c->sent = at + len > c->sent ? at + len : c->sent;
		break;
	case PROTOCOL_UNKNOWN:
		break;
	}
}

// Compares with HTTP/2's preface: all of it, or the first byte that is another, decides. What is
// fed to http1 then begins with the bytes that were the same.
static void detect(struct conversation *c, uint64_t at, const char *data, size_t len)
{
	if (at > c->preface_seen) {
		make_opaque(c, GAP);
		return;
	}
	for (uint64_t skip = c->preface_seen - at; skip < len; skip++) {
		if (data[skip] != HTTP2_PREFACE[c->preface_seen]) {
			begin(c, PROTOCOL_HTTP1);
			if (!c->why)
				sent(c, 0, HTTP2_PREFACE, c->preface_seen);
			return;
		}
		if (++c->preface_seen == HTTP2_PREFACE_BYTES) {
			begin(c, PROTOCOL_HTTP2);
			return;
		}
	}
}

void conversation_sent(struct conversation *c, uint64_t at, const void *data, size_t len)
{
	if (c->why || !len)
		return;
	if (c->protocol == PROTOCOL_UNKNOWN)
		detect(c, at, data, len);
	if (!c->why)
		sent(c, at, data, len);
	tidy(c);
}

static void sent_unseen(struct conversation *c, uint64_t at, uint64_t len)
{
	switch (c->protocol) {
	case PROTOCOL_UNKNOWN:
		if (at + len > c->preface_seen)
			make_opaque(c, GAP);
		break;
	case PROTOCOL_HTTP1:
		http1_sent_unseen(c->http1, at, len);
		break;
	case PROTOCOL_HTTP2:
		http2_sent_unseen(c->http2, at, len);
		break;
	case PROTOCOL_WEBSOCKET:
		c->sent = at + len > c->sent ? at + len : c->sent;
		break;
	}
}

void conversation_sent_unseen(struct conversation *c, uint64_t at, uint64_t len)
{
	if (c->why || !len)
		return;
	if (len > UINT64_MAX - at)
		len = UINT64_MAX - at;
	sent_unseen(c, at, len);
	tidy(c);
}

static void keep_early(struct conversation *c, uint64_t at, const char *data, size_t len)
{
	size_t seen;

	if (!c->early)
		c->early = wire_alloc(sizeof(*c->early));
	if (!c->early || at > c->early->used || c->early->used - at >= len)
		return;
	seen = c->early->used - (size_t)at;
	data += seen;
	len -= seen;
	if (len > EARLY_BYTES - c->early->used)
		len = EARLY_BYTES - c->early->used;
	memcpy(c->early->bytes + c->early->used, data, len);
	c->early->used += len;
}

static void websocket_received(struct conversation *c, uint64_t at, const char *data, size_t len)
{
	uint64_t seen = c->received > at ? c->received - at : 0;

	if (!c->websocket || seen >= len)
		return;
	if (at > c->received) {
		lose_websocket(c);
		return;
	}
	c->received = at + len;
	if (websocket_feed(c->websocket, data + seen, len - (size_t)seen) < 0)
		lose_websocket(c);
}

static void received(struct conversation *c, uint64_t at, const void *data, size_t len)
{
	switch (c->protocol) {
	case PROTOCOL_UNKNOWN:
		keep_early(c, at, data, len);
		break;
	case PROTOCOL_HTTP1:
		http1_received(c->http1, at, data, len);
		if (c->protocol == PROTOCOL_WEBSOCKET)
			websocket_received(c, at, data, len);
		break;
	case PROTOCOL_HTTP2:
		http2_received(c->http2, at, data, len);
		break;
	case PROTOCOL_WEBSOCKET:
		websocket_received(c, at, data, len);
		break;
	}
}

void conversation_received(struct conversation *c, uint64_t at, const void *data, size_t len)
{
	if (c->why || !len)
		return;
	received(c, at, data, len);
	tidy(c);
}

static void received_unseen(struct conversation *c, uint64_t at, uint64_t len)
{
	switch (c->protocol) {
	case PROTOCOL_UNKNOWN: // a gap will be found by what comes behind it
		break;
	case PROTOCOL_HTTP1:
		http1_received_unseen(c->http1, at, len);
		break;
	case PROTOCOL_HTTP2:
		http2_received_unseen(c->http2, at, len);
		break;
	case PROTOCOL_WEBSOCKET:
		if (c->websocket && at + len > c->received)
			lose_websocket(c);
		break;
	}
}

void conversation_received_unseen(struct conversation *c, uint64_t at, uint64_t len)
{
	if (c->why || !len)
		return;
	if (len > UINT64_MAX - at)
		len = UINT64_MAX - at;
	received_unseen(c, at, len);
	tidy(c);
}

void conversation_end(struct conversation *c)
{
	if (!c->why && c->http1)
		http1_end(c->http1);
	tidy(c);
}

enum conversation_protocol conversation_protocol(const struct conversation *c)
{
	return c->protocol;
}

const char *conversation_why(const struct conversation *c)
{
	return c->why;
}

uint64_t conversation_reached(const struct conversation *c)
{
	if (c->http1)
		return http1_reached(c->http1);
	return c->http2 ? http2_reached(c->http2) : c->sent;
}

const struct request *conversation_request(const struct conversation *c, uint64_t stream)
{
	if (c->http1)
		return http1_request(c->http1, stream);
	return c->http2 ? http2_request(c->http2, stream) : NULL;
}

const struct response *conversation_response(const struct conversation *c, uint64_t stream)
{
	if (c->http1)
		return http1_response(c->http1, stream);
	return c->http2 ? http2_response(c->http2, stream) : NULL;
}

const struct request_labels *conversation_labels(const struct conversation *c, uint64_t stream)
{
	if (c->http1)
		return http1_labels(c->http1, stream);
	return c->http2 ? http2_labels(c->http2, stream) : NULL;
}
