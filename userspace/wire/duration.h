// Durations as HTTP headers of language-model providers carry them.
#ifndef SLUICE_WIRE_DURATION_H
#define SLUICE_WIRE_DURATION_H

#include <stdint.h>

#define DURATION_MILLISECOND_NS UINT64_C(1000000)
#define DURATION_SECOND_NS UINT64_C(1000000000)

// Parses what Go's time.Duration.String() writes ("12ms", "8.64s", "6m0s", "23h18m29.144s"), or a
// number without a unit, which counts `bare_unit_ns` each: x-ratelimit-reset-* of Azure is bare
// milliseconds, Retry-After is bare seconds (RFC 9110 section 10.2.3). *ret_ms is rounded up, so
// that whoever waits that long never comes too early. 0, -EINVAL (a date, a sign, an unknown unit),
// or -ERANGE; *ret_ms is left alone then.
int duration_parse(const char *text, uint64_t bare_unit_ns, uint64_t *ret_ms);

#endif
