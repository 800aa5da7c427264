// What sluice simulate prints: a JSON line for each request and one for the whole, or two tables.
#ifndef SLUICE_CLI_SIMULATE_PRINT_H
#define SLUICE_CLI_SIMULATE_PRINT_H

#include <stdio.h>
#include "cli/table.h"
#include "simulate/simulate.h"
#include "simulate/summary.h"

struct simulated {
	struct summary summary; // sorted
	struct limit_view *limits;
	size_t n_limits;
	uint64_t duration_ns;
};

void simulate_print_decision(FILE *out, const struct fated *fated);
void simulate_print_summary(FILE *out, const struct simulated *simulated);
void simulate_print_tables(FILE *out, const struct style *style, const struct simulated *simulated);

#endif
