// Time zones by their IANA names, as tables of UTC offsets.
#ifndef SLUICE_CONFIG_ZONE_H
#define SLUICE_CONFIG_ZONE_H

#include "config/policy.h"

// The offsets of the zone from 1970 to 2105, of the system's zoneinfo. NULL with errno: ENOENT (no
// such zone), ENOMEM. Sets TZ meanwhile: no other thread may read or write the environment then.
struct zone *zone_new(const char *name);
void zone_free(struct zone *zone);

#endif
