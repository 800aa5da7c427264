// Days are counted from 1970-01-01 in the proleptic Gregorian calendar. A day that begins in a gap
// of the zone (its clocks spring forward over midnight) begins when the gap ends.
#include "govern/calendar.h"

#define DAY_S 86400

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int64_t offset_at(const struct zone *zone, int64_t unix_s)
{
	size_t low = 0, high = zone ? zone->n_offsets : 0;

	if (!high)
		return 0;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (zone->offsets[middle].from_s <= unix_s)
			low = middle;
		else
			high = middle;
	}
	return zone->offsets[low].offset_s;
}

// The day number of the first of the month after that of `day`. Years are counted from March here,
// so that the leap day comes last (E. G. Richards, "Calendars", 2013).
static int64_t next_month(int64_t day)
{
	int64_t z = day + 719468; // days since 0000-03-01
	int64_t era = floor_div(z, 146097), day_of_era = z - era * 146097;
	int64_t year =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * day_of_year + 2) / 153; // 0 is March
	int64_t next = month + 1;

	if (next == 12) {
		next = 0;
		year++;
	}
	return era * 146097 + 365 * year + year / 4 - year / 100 + year / 400 +
	       (153 * next + 2) / 5 - 719468;
}

int64_t calendar_next_s(const struct zone *zone, enum calendar calendar, int64_t unix_s)
{
	int64_t day = floor_div(unix_s + offset_at(zone, unix_s), DAY_S);
	int64_t begins = (calendar == CALENDAR_MONTH ? next_month(day) : day + 1) * DAY_S;
	int64_t guess = begins - offset_at(zone, unix_s);

	// The offset may change in between; of two candidates around a change, the later is right.
	for (int i = 0; i < 2; i++)
		guess = begins - offset_at(zone, guess);
	return guess > unix_s ? guess : unix_s + 1;
}
