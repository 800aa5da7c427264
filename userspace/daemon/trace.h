// The newest finished requests, for `sluice record` and for explanations: a ring of TRACES_KEPT
// lines of a trace (simulate/trace.h), each with a number of its own, "seq", from 1. A line takes
// typically 600 bytes.
#ifndef SLUICE_DAEMON_TRACE_H
#define SLUICE_DAEMON_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include "wire/response.h"

enum { TRACES_KEPT = 4096 };

struct daemon;
struct exchange;
struct trace_ring;

// An exchange ends. r: its response, as far as it came; NULL: none did. One that was not asked of
// the governor yet is no request of a trace. Without memory it is left out.
void trace_add(struct daemon *d, const struct exchange *exchange, const struct response *r);
// The newest line of a flow, or the one of a request (0: not asked for); NULL: not kept (any more).
const char *trace_find(const struct trace_ring *ring, uint64_t flow, uint64_t request);
void trace_free(struct trace_ring *ring); // NULL: nothing to do

#endif
