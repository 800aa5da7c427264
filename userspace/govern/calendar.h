// When days and months begin, in a time zone whose UTC offsets are given (config/policy.h).
#ifndef SLUICE_GOVERN_CALENDAR_H
#define SLUICE_GOVERN_CALENDAR_H

#include <stdint.h>
#include "config/policy.h"

// The first second after `unix_s` at which a day or month of the zone begins. zone NULL: UTC.
int64_t calendar_next_s(const struct zone *zone, enum calendar calendar, int64_t unix_s);

#endif
