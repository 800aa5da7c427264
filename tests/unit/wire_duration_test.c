// If this fails, Sluice waits too long, or not long enough, after a provider said when to come
// back.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "wire/duration.h"

static const struct {
	const char *text;
	uint64_t bare_unit_ns;
	int result;
	uint64_t ms;
} cases[] = {
	{"12ms", 1, 0, 12},
	{"8.64s", 1, 0, 8640},
	{"6m0s", 1, 0, 360000},
	{"23h18m29.144s", 1, 0, 83909144},
	{"0s", 1, 0, 0},
	{"1h", 1, 0, 3600000},
	{"1.5h", 1, 0, 5400000},
	{".5s", 1, 0, 500},
	{"5.s", 1, 0, 5000},
	{"500us", 1, 0, 1}, // rounded up: never too early
	{"500\xc2\xb5s", 1, 0, 1},
	{"1000\xce\xbcs", 1, 0, 1},
	{"1ns", 1, 0, 1},
	{"1000001ns", 1, 0, 2},
	{"1.0000000001s", 1, 0, 1000},
	{"250", DURATION_MILLISECOND_NS, 0, 250}, // Azure
	{"0", DURATION_MILLISECOND_NS, 0, 0},
	{"20", DURATION_SECOND_NS, 0, 20000}, // Retry-After
	{"1.5", DURATION_SECOND_NS, 0, 1500},
	{"", 1, -EINVAL, 0},
	{"-1s", 1, -EINVAL, 0},
	{"+1s", 1, -EINVAL, 0},
	{"s", 1, -EINVAL, 0},
	{".s", 1, -EINVAL, 0},
	{"1d", 1, -EINVAL, 0},
	{"1s2", 1, -EINVAL, 0}, // only a number that stands alone is bare
	{"1 s", 1, -EINVAL, 0},
	{"1e3", 1, -EINVAL, 0},
	{"Wed, 21 Oct 2026 07:28:00 GMT", DURATION_SECOND_NS, -EINVAL, 0},
	{"99999999999999999999s", 1, -ERANGE, 0},
	{"18446744073709551615s", 1, -ERANGE, 0},
	{"5124095h5124095h", 1, -ERANGE, 0},
};

static void durations(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t ms = 4711;
		int r = duration_parse(cases[i].text, cases[i].bare_unit_ns, &ms);

		if (r != cases[i].result || ms != (r ? 4711 : cases[i].ms))
			fail_msg("%s: returned %d, %llu ms", cases[i].text, r,
				 (unsigned long long)ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(durations)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
