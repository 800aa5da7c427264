// When a day and a month begin where the user lives.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>
#include "govern/calendar.h"

#define HOUR_S 3600
#define DAY_S (24 * HOUR_S)

// The moment of a UTC date.
static int64_t utc(int year, int month, int day, int hour)
{
	struct tm tm = {
		.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour};

	return (int64_t)timegm(&tm);
}

static void assert_moment(int64_t got, int64_t expected)
{
	char texts[2][32];

	for (int i = 0; i < 2; i++) {
		time_t at = i ? expected : got;
		struct tm tm;

		strftime(texts[i], sizeof(texts[i]), "%F %T", gmtime_r(&at, &tm));
	}
	if (got != expected)
		fail_msg("%s, not %s (UTC)", texts[0], texts[1]);
}

static void a_day_of_utc_begins_at_midnight(void **state)
{
	(void)state;
	assert_moment(calendar_next_s(NULL, CALENDAR_DAY, 0), DAY_S);
	assert_moment(calendar_next_s(NULL, CALENDAR_DAY, DAY_S - 1), DAY_S);
	assert_moment(calendar_next_s(NULL, CALENDAR_DAY, DAY_S), 2 * DAY_S);
	assert_moment(calendar_next_s(NULL, CALENDAR_DAY, -1), 0);
}

static void months_are_as_long_as_they_are(void **state)
{
	(void)state;
	for (int year = 1970; year <= 2105; year++)
		for (int month = 1; month <= 12; month++) {
			int64_t first = utc(year, month, 1, 0), next = utc(year, month + 1, 1, 0);

			assert_moment(calendar_next_s(NULL, CALENDAR_MONTH, first), next);
			assert_moment(calendar_next_s(NULL, CALENDAR_MONTH, first + 17 * DAY_S),
				      next);
			assert_moment(calendar_next_s(NULL, CALENDAR_MONTH, next - 1), next);
		}
}

// Central Europe in 2026: summer time from March 29 to October 25, 01:00 UTC each.
static struct zone_offset berlin_2026[] = {
	{0, HOUR_S},
	{1774746000, 2 * HOUR_S},
	{1792890000, HOUR_S},
};
static const struct zone berlin = {.name = "Europe/Berlin", .offsets = berlin_2026, .n_offsets = 3};

static void a_day_with_a_clock_change_is_an_hour_off(void **state)
{
	(void)state;
	int64_t spring = utc(2026, 3, 28, 23), autumn = utc(2026, 10, 24, 22);

	assert_moment(calendar_next_s(&berlin, CALENDAR_DAY, spring - 1), spring);
	assert_moment(calendar_next_s(&berlin, CALENDAR_DAY, spring), spring + 23 * HOUR_S);
	assert_moment(calendar_next_s(&berlin, CALENDAR_DAY, autumn - 1), autumn);
	assert_moment(calendar_next_s(&berlin, CALENDAR_DAY, autumn), autumn + 25 * HOUR_S);
}

static void a_month_begins_by_the_offset_that_holds_then(void **state)
{
	(void)state;
	assert_moment(calendar_next_s(&berlin, CALENDAR_MONTH, utc(2026, 3, 5, 0)),
		      utc(2026, 3, 31, 22));
	assert_moment(calendar_next_s(&berlin, CALENDAR_MONTH, utc(2026, 10, 5, 0)),
		      utc(2026, 10, 31, 23));
	assert_moment(calendar_next_s(&berlin, CALENDAR_MONTH, utc(2026, 12, 31, 22)),
		      utc(2026, 12, 31, 23));
}

static int offset_at(int64_t at)
{
	time_t moment = at;
	struct tm tm;

	localtime_r(&moment, &tm);
	return (int)tm.tm_gmtoff;
}

static int date_at(int64_t at)
{
	time_t moment = at;
	struct tm tm;

	localtime_r(&moment, &tm);
	return (tm.tm_year * 12 + tm.tm_mon) * 31 + tm.tm_mday;
}

// The offsets of the process's zone, quarter hour by quarter hour.
static size_t sample(struct zone_offset *offsets, size_t most, int64_t from, int64_t until)
{
	size_t n = 0;

	for (int64_t at = from; at < until; at += HOUR_S / 4)
		if (!n || offset_at(at) != offsets[n - 1].offset_s) {
			assert_true(n < most);
			offsets[n++] = (struct zone_offset){at, offset_at(at)};
		}
	return n;
}

// Held against the C library's idea of the date, three years long. A clock that is set back over
// midnight makes a date come twice; then the window begins once, at one of the two.
static void days_are_those_of_the_zone(void **state)
{
	(void)state;
	static const char *const zones[] = {
		"UTC0",
		"CET-1CEST,M3.5.0,M10.5.0/3",
		"PST8PDT,M3.2.0,M11.1.0",
		"<+1245>-12:45<+1345>,M9.5.0/2:45,M4.1.0/3:45", // Chatham Islands
		"<-03>3<-02>,M10.3.0/0,M2.3.0/0",               // forward and back at midnight
		"AEST-10AEDT,M10.1.0,M4.1.0/3",
	};
	struct zone_offset offsets[16];

	for (size_t i = 0; i < sizeof(zones) / sizeof(*zones); i++) {
		struct zone zone = {.offsets = offsets};
		int64_t from = utc(2025, 1, 1, 0), until = utc(2028, 1, 1, 0);

		setenv("TZ", zones[i], 1);
		tzset();
		zone.n_offsets = sample(offsets, 16, from, until);
		for (int64_t at = from; at < until - 2 * DAY_S;) {
			int64_t next = calendar_next_s(&zone, CALENDAR_DAY, at);

			if (next <= at || next - at > 26 * HOUR_S || date_at(next) == date_at(at) ||
			    date_at(next - 1) == date_at(next))
				fail_msg("%s: the day after %lld begins at %lld", zones[i],
					 (long long)at, (long long)next);
			// From anywhere in the day it is the same.
			assert_moment(calendar_next_s(&zone, CALENDAR_DAY, next - 1), next);
			assert_moment(calendar_next_s(&zone, CALENDAR_DAY, at + (next - at) / 2),
				      next);
			at = next;
		}
	}
	unsetenv("TZ");
	tzset();
}

static void before_the_first_known_offset_that_one_holds(void **state)
{
	(void)state;
	struct zone_offset east[] = {{utc(2026, 1, 1, 0), 3 * HOUR_S}};
	struct zone zone = {.offsets = east, .n_offsets = 1};

	assert_moment(calendar_next_s(&zone, CALENDAR_DAY, utc(2020, 6, 1, 20)),
		      utc(2020, 6, 1, 21));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_day_of_utc_begins_at_midnight),
		cmocka_unit_test(months_are_as_long_as_they_are),
		cmocka_unit_test(a_day_with_a_clock_change_is_an_hour_off),
		cmocka_unit_test(a_month_begins_by_the_offset_that_holds_then),
		cmocka_unit_test(days_are_those_of_the_zone),
		cmocka_unit_test(before_the_first_known_offset_that_one_holds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
