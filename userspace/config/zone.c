// Days and months of budgets begin at local midnight. The governor asks for no time and no file, so
// what the zone will do is sampled here: once a day, and where two days differ the change is found
// by bisection, to the second. A zone that changes twice within a day loses that day's detour.
#include "config/zone.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

#define ZONEINFO "/usr/share/zoneinfo"
#define DAY_S 86400
#define END_S 4291747200 // 2106-01-01; 32-bit offsets from 1970 end there

void zone_free(struct zone *zone)
{
	if (!zone)
		return;
	free(zone->name);
	free(zone->offsets);
	free(zone);
}

static void zone_cleanup_fn(struct zone **zone)
{
	zone_free(*zone);
}

// tzset(3) takes an unknown name for UTC without a word.
static bool is_known(const char *name)
{
	CLEANUP_FREE char *path = NULL;
	CLEANUP_FCLOSE FILE *file = NULL;
	char magic[4] = "";
	struct stat st;

	if (!*name || *name == '/' || *name == ':' || strstr(name, ".."))
		return false;
	if (asprintf(&path, ZONEINFO "/%s", name) < 0) {
		path = NULL;
		return false;
	}
	file = fopen(path, "re");
	return file && fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode) &&
	       fread(magic, 1, sizeof(magic), file) == sizeof(magic) &&
	       memcmp(magic, "TZif", sizeof(magic)) == 0; // RFC 8536 section 3.1
}

static int32_t offset_at(int64_t second)
{
	const time_t t = (time_t)second;
	struct tm local;

	return localtime_r(&t, &local) ? (int32_t)local.tm_gmtoff : 0;
}

static int add_offset(struct zone *zone, int64_t from_s, int32_t offset_s)
{
	struct zone_offset *offsets =
		reallocarray(zone->offsets, zone->n_offsets + 1, sizeof(*offsets));

	if (!offsets)
		return -ENOMEM;
	zone->offsets = offsets;
	offsets[zone->n_offsets++] = (struct zone_offset){.from_s = from_s, .offset_s = offset_s};
	return 0;
}

// TZ is set already.
static int sample(struct zone *zone)
{
	int32_t offset = offset_at(0);
	int err = add_offset(zone, 0, offset);

	for (int64_t day = DAY_S; !err && day <= END_S; day += DAY_S) {
		int64_t before = day - DAY_S, after = day;

		if (offset_at(day) == offset)
			continue;
		while (after - before > 1) {
			int64_t middle = (before + after) / 2;
			if (offset_at(middle) == offset)
				before = middle;
			else
				after = middle;
		}
		offset = offset_at(day);
		err = add_offset(zone, after, offset);
	}
	return err;
}

static int sample_with_tz(struct zone *zone)
{
	const char *environment = getenv("TZ");
	CLEANUP_FREE char *former = environment ? strdup(environment) : NULL;
	int err;

	if ((environment && !former) || setenv("TZ", zone->name, 1) < 0)
		return -ENOMEM;
	tzset();
	err = sample(zone);
	if (former)
		setenv("TZ", former, 1);
	else
		unsetenv("TZ");
	tzset();
	return err;
}

struct zone *zone_new(const char *name)
{
	__attribute__((cleanup(zone_cleanup_fn))) struct zone *zone = NULL;
	bool is_utc = strcmp(name, "UTC") == 0;

	if (!is_utc && !is_known(name)) {
		errno = ENOENT;
		return NULL;
	}
	zone = calloc(1, sizeof(*zone));
	if (zone)
		zone->name = strdup(name);
	// UTC needs no zoneinfo, which a small system may lack.
	if (!zone || !zone->name || (is_utc ? add_offset(zone, 0, 0) : sample_with_tz(zone)) < 0) {
		errno = ENOMEM;
		return NULL;
	}
	return TAKE_PTR(zone);
}
