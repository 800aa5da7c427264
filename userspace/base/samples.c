// See samples.h.
#include "base/samples.h"
#include <stdlib.h>
#include <string.h>

void samples_add(struct samples *s, uint64_t ns)
{
	uint64_t us = ns / 1000;

	s->us[s->n++ % SAMPLES] = us < UINT32_MAX ? us : UINT32_MAX;
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

uint32_t samples_quantile(const struct samples *s, double q)
{
	uint32_t sorted[SAMPLES];
	size_t n = s->n < SAMPLES ? s->n : SAMPLES;

	if (!n)
		return 0;
	memcpy(sorted, s->us, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_size);
	return sorted[(size_t)(q * (n - 1) + 0.5)];
}
