// Reads the server's frames of a WebSocket (RFC 6455) that speaks OpenAI's realtime protocol, or
// that of /responses: what each turn took.
//
//     frames ─▶ messages, inflated if the extension was agreed on ─▶ JSON ─▶ a turn
//
// A turn is a message of type response.done (/responses: response.completed, .incomplete, .failed),
// whose response.usage says the tokens. What rate_limits.updated has said since the turn before
// goes with it. Nothing of a message is kept: its JSON is scanned as it comes. Memory: this
// struct, 1.5 KB, and 40 KB more with permessage-deflate (RFC 7692).
#ifndef SLUICE_WIRE_WEBSOCKET_H
#define SLUICE_WIRE_WEBSOCKET_H

#include <stddef.h>
#include "wire/response.h"

struct websocket;
typedef void (*websocket_turn_fn)(void *owner, const struct response *turn);

// extensions: Sec-WebSocket-Extensions of the response, "" if there is none. NULL: one that is not
// known, or no memory.
struct websocket *websocket_new(const char *extensions, websocket_turn_fn fn, void *owner);
// 0, or -EBADMSG, for this and all later calls: a frame that no server may send.
int websocket_feed(struct websocket *ws, const void *data, size_t len);
void websocket_free(struct websocket *ws); // NULL: nothing to do

#endif
