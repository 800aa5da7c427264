// What the tests of the configuration share: a directory to write policies in, and the two ways in
// which loading one may end.
#ifndef SLUICE_TESTS_CONFIG_PLACE_H
#define SLUICE_TESTS_CONFIG_PLACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "config/policy.h"

#define DATA "tests/unit/data/config/"

// Each test has a directory of its own, as sluice.yaml and policies.d/ need one.
struct place {
	char directory[64];
	char file[96];
	char added[96]; // policies.d/added.yaml
};

static inline int place_setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	strcpy(place->directory, "/tmp/sluice-config-XXXXXX");
	if (!mkdtemp(place->directory))
		return -1;
	snprintf(place->file, sizeof(place->file), "%s/sluice.yaml", place->directory);
	snprintf(place->added, sizeof(place->added), "%s/policies.d", place->directory);
	if (mkdir(place->added, 0700) < 0)
		return -1;
	strcat(place->added, "/added.yaml");
	*state = place;
	return 0;
}

static inline int place_teardown(void **state)
{
	struct place *place = *state;

	unlink(place->file);
	unlink(place->added);
	*strrchr(place->added, '/') = '\0';
	rmdir(place->added);
	rmdir(place->directory);
	free(place);
	return 0;
}

static inline void write_bytes(const char *path, const void *bytes, size_t size)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	assert_int_equal(fwrite(bytes, 1, size, out), size);
	assert_int_equal(fclose(out), 0);
}

static inline void write_text(const char *path, const char *text)
{
	write_bytes(path, text, strlen(text));
}

static inline struct policy *load_good(const char *path)
{
	char *error = NULL;
	struct policy *policy = policy_load(path, &error);

	if (!policy)
		fail_msg("%s", error);
	assert_null(error);
	return policy;
}

// The whole message, which the caller frees.
static inline char *load_bad(const char *path)
{
	char *error = NULL;
	struct policy *policy = policy_load(path, &error);

	assert_null(policy);
	assert_non_null(error);
	return error;
}

#endif
