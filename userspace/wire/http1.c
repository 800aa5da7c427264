// HTTP/1.1 on one connection, see http1.h.
#include "wire/http1.h"

#include "wire/http1_readers.h"
#include "wire/memory.h"

struct http1 {
	conversation_event_fn fn;
	void *owner;
	struct request_reader *requests;
	struct response_reader *responses;
	uint64_t started;       // requests; the last one's stream number
	uint64_t answered;      // responses read to their end
	bool responses_unknown; // was told
	const char *why;        // it is opaque; nothing is told any more
};

static void make_opaque(struct http1 *h, const char *why)
{
	if (h->why)
		return;
	h->why = why;
	h->fn(h->owner, CONVERSATION_OPAQUE, 0, NULL, NULL);
}

static void on_request(void *owner, enum conversation_event event, const struct request *r)
{
	struct http1 *h = owner;

	if (h->why)
		return;
	if (event == CONVERSATION_OPAQUE) {
		make_opaque(h, request_reader_why(h->requests));
		return;
	}
	if (event == REQUEST_STARTED)
		h->started++;
	h->fn(h->owner, event, h->started, r, NULL);
	if (event == REQUEST_HEAD)
		response_reader_expect(h->responses, r->method);
}

static void tell_unknown(struct http1 *h)
{
	if (h->responses_unknown)
		return;
	h->responses_unknown = true;
	h->fn(h->owner, RESPONSES_UNKNOWN, 0, NULL, NULL);
}

// A WebSocket is one only if the client has asked, too, and nothing of its own stands behind that.
static void on_upgrade(struct http1 *h, const struct response *r)
{
	bool was_asked = request_reader_waits(h->requests) && h->started == h->answered + 1;

	if (!was_asked || !response_reader_websocket(h->responses)) {
		make_opaque(h, "upgraded to another protocol");
		return;
	}
	h->answered++;
	h->fn(h->owner, UPGRADED_WEBSOCKET, h->answered, NULL, r);
}

static void on_response(void *owner, enum conversation_event event, const struct response *r)
{
	struct http1 *h = owner;

	if (h->why)
		return;
	if (event == RESPONSES_UNKNOWN) {
		tell_unknown(h);
	} else if (event == UPGRADED_WEBSOCKET) {
		on_upgrade(h, r);
	} else if (event == RESPONSE_HEAD && h->answered == h->started) {
		response_reader_give_up(h->responses); // nobody has asked for it
	} else if (event == RESPONSE_HEAD) {
		h->fn(h->owner, event, h->answered + 1, NULL, r);
	} else if (event == RESPONSE_COMPLETE) {
		h->fn(h->owner, event, ++h->answered, NULL, r);
		// The server has not changed the protocol (RFC 9110 section 7.8).
		if (request_reader_waits(h->requests) && h->answered == h->started)
			request_reader_go_on(h->requests);
	}
}

struct http1 *http1_new(conversation_event_fn fn, void *owner)
{
	struct http1 *h = wire_alloc(sizeof(*h));

	if (!h)
		return NULL;
	h->fn = fn;
	h->owner = owner;
	h->requests = request_reader_new(on_request, h);
	h->responses = response_reader_new(on_response, h);
	if (h->requests && h->responses)
		return h;
	http1_free(h);
	return NULL;
}

void http1_free(struct http1 *h)
{
	if (!h)
		return;
	request_reader_free(h->requests);
	response_reader_free(h->responses);
	wire_free(h);
}

int http1_keep_headers(struct http1 *h, const char *const *names)
{
	return request_reader_keep_headers(h->requests, names);
}

// Of the client, up to `end`: whatever stands behind a request whose upgrade has no answer yet
// cannot be told apart.
static void check_waiting(struct http1 *h, uint64_t end)
{
	if (request_reader_waits(h->requests) && end > request_reader_reached(h->requests))
		make_opaque(h, "it went on before the answer to its upgrade was seen");
}

void http1_sent(struct http1 *h, uint64_t at, const void *data, size_t len)
{
	if (h->why)
		return;
	request_reader_feed(h->requests, at, data, len);
	check_waiting(h, at + len);
}

void http1_sent_unseen(struct http1 *h, uint64_t at, uint64_t len)
{
	if (h->why)
		return;
	request_reader_skip(h->requests, at, len);
	check_waiting(h, len > UINT64_MAX - at ? UINT64_MAX : at + len);
}

void http1_received(struct http1 *h, uint64_t at, const void *data, size_t len)
{
	if (!h->why)
		response_reader_feed(h->responses, at, data, len);
}

void http1_received_unseen(struct http1 *h, uint64_t at, uint64_t len)
{
	if (!h->why)
		response_reader_skip(h->responses, at, len);
}

void http1_end(struct http1 *h)
{
	if (!h->why)
		response_reader_end(h->responses);
}

const char *http1_why(const struct http1 *h)
{
	return h->why;
}

uint64_t http1_reached(const struct http1 *h)
{
	return request_reader_reached(h->requests);
}

uint64_t http1_received_reached(const struct http1 *h)
{
	return response_reader_reached(h->responses);
}

const char *http1_extensions(const struct http1 *h)
{
	return response_reader_websocket(h->responses);
}

const struct request *http1_request(const struct http1 *h, uint64_t stream)
{
	return stream == h->started ? request_reader_current(h->requests) : NULL;
}

const struct response *http1_response(const struct http1 *h, uint64_t stream)
{
	return stream == h->answered + 1 ? response_reader_current(h->responses) : NULL;
}

const struct request_labels *http1_labels(const struct http1 *h, uint64_t stream)
{
	return stream == h->started ? request_reader_labels(h->requests) : NULL;
}
