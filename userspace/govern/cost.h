// What a request takes of each resource: an estimate before it is sent, and what it took in the
// end.
#ifndef SLUICE_GOVERN_COST_H
#define SLUICE_GOVERN_COST_H

#include <stdint.h>
#include "config/policy.h"
#include "wire/request.h"
#include "wire/response.h"

// How OpenAI charges against its token limits at admission has changed; see cost.c. The older rule
// is here for the recordings of its time, and for servers that still do as OpenAI did.
enum charge_rule {
	CHARGE_SINCE_2025, // March 2025 and later
	CHARGE_UNTIL_2025,
};

// What OpenAI charges against its limits of tokens at admission. `unread_bytes`: body bytes not
// (yet) seen, which are taken for text.
double charge_of_request(const struct request *r, uint64_t unread_bytes, enum charge_rule rule);

// Fills `amounts`, by enum resource, from what is known of the request so far, by today's rule.
// Output tokens are the request's cap if it has one, for all of its answers; the cost is 0 if
// `price` is NULL (unknown).
void cost_of_request(const struct request *r, uint64_t unread_bytes, const struct price *price,
		     double amounts[N_RESOURCES]);

// Corrects `used`, which holds what was reserved (cost_of_request()), by what the response says of
// input, output and total tokens and cost; what it does not say stays. The other resources are left
// alone. An error has taken nothing; a stream without usage about one output token an event.
void cost_of_usage(const struct response *r, const struct price *price, double used[N_RESOURCES]);

#endif
