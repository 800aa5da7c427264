// What OpenAI charges a request against its token limits at admission.
#ifndef SLUICE_GOVERN_COST_H
#define SLUICE_GOVERN_COST_H

#include "wire/request.h"

struct cost {
	double tokens;
	double images;
};

// Estimates from what is known of the request so far. `unread_bytes`: body bytes not (yet) seen,
// which are taken for text.
struct cost cost_of_request(const struct request *r, uint64_t unread_bytes);

#endif
