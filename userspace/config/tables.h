// The tables that Sluice brings: prices of models, and the provider's limits by usage tier.
#ifndef SLUICE_CONFIG_TABLES_H
#define SLUICE_CONFIG_TABLES_H

#include "config/policy.h"
#include "config/problems.h"

// Fills policy->prices: the built-in table, then the rows of the CSV file at `path` (NULL: none),
// which replace those of the same model. 0, or a negative errno that is noted.
int tables_load_prices(struct policy *policy, const char *path, struct problems *problems);

// Fills policy->tiers.
int tables_load_tiers(struct policy *policy, struct problems *problems);

#endif
