// What views have in common; for govern/ only.
#ifndef SLUICE_GOVERN_VIEWS_H
#define SLUICE_GOVERN_VIEWS_H

#include "govern/state.h"

void limiter_show(const struct limiter *l, uint64_t now_ns,
		  void (*fn)(void *ctx, const struct bucket_view *), void *ctx);

#endif
