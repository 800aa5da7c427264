// The newest of many durations, and their quantiles.
#ifndef SLUICE_BASE_SAMPLES_H
#define SLUICE_BASE_SAMPLES_H

#include <stdint.h>

enum { SAMPLES = 2048 };

struct samples {
	uint32_t us[SAMPLES]; // a ring
	uint64_t n;           // ever added
};

void samples_add(struct samples *s, uint64_t ns);
// The duration in microseconds below which the share q (0 to 1) of the newest lie; 0 of none.
uint32_t samples_quantile(const struct samples *s, double q);

#endif
