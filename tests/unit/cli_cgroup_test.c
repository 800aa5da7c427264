// If this fails, "sluice run" puts its command into the wrong cgroup, or finds none to put it into.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "cli/cgroup.c" // has no dependencies; the unit tests are not linked with the CLI

#define V1 "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
#define UNIFIED "41 31 0:38 / /sys/fs/cgroup/unified rw shared:9 master:2 - cgroup2 cgroup2 rw\n"
#define PART "50 31 0:38 /app /mnt/part rw,relatime - cgroup2 cgroup2 rw\n"
#define SPACED "51 31 0:38 / /mnt/with\\040space rw,relatime - cgroup2 none rw\n"

// The mount found in the text, or "" for -ENOENT. Valid until the next call.
static const char *mount_in(const char *text, const char *preferred)
{
	static char found[256];
	FILE *file = fmemopen((char *)text, strlen(text), "r");
	char *mount = NULL;
	int error = cgroup_mount_in(file, preferred, &mount);

	fclose(file);
	if (error)
		assert_int_equal(error, -ENOENT);
	snprintf(found, sizeof(found), "%s", mount ? mount : "");
	free(mount);
	return found;
}

static void test_mount(void **state)
{
	(void)state;
	assert_string_equal(mount_in(V1 UNIFIED, NULL), "/sys/fs/cgroup/unified");
	assert_string_equal(mount_in(V1, NULL), "");
	assert_string_equal(mount_in("nonsense\n - cgroup2 \n\n", NULL), "");
	assert_string_equal(mount_in(PART UNIFIED, NULL), "/sys/fs/cgroup/unified");
	assert_string_equal(mount_in(PART, NULL), "/mnt/part");
	assert_string_equal(mount_in(SPACED UNIFIED, NULL), "/mnt/with space");
	assert_string_equal(mount_in(SPACED UNIFIED PART, "/sys/fs/cgroup/unified"),
			    "/sys/fs/cgroup/unified");
	assert_string_equal(mount_in(UNIFIED PART, "/mnt/part"), "/mnt/part");
	assert_string_equal(mount_in(UNIFIED, "/nowhere"), "/sys/fs/cgroup/unified");
}

static void expect_path(const char *pattern, const char *wanted)
{
	char *path;

	assert_int_equal(cgroup_from_pattern(pattern, &path), 0);
	assert_string_equal(path, wanted);
	free(path);
}

static void test_pattern(void **state)
{
	char *path;

	(void)state;
	expect_path("/chat.slice", "/chat.slice");
	expect_path("/review-*.slice", "/review-run.slice");
	expect_path("/*/x-*", "/run/x-run");
	expect_path("chat.slice", "/chat.slice");
	assert_int_equal(cgroup_from_pattern("/a?", &path), -EINVAL);
	assert_int_equal(cgroup_from_pattern("/[ab]", &path), -EINVAL);
}

static void test_paths_outside_are_refused(void **state)
{
	(void)state;
	assert_int_equal(cgroup_enter("/nowhere", "/../x"), -EINVAL);
	assert_int_equal(cgroup_enter("/nowhere", "/x/.."), -EINVAL);
	assert_int_equal(cgroup_enter("/nowhere", "x"), -EINVAL);
	assert_int_equal(cgroup_enter("/nowhere", ""), -EINVAL);
	assert_int_equal(cgroup_enter("/nowhere", "/x..y"), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mount),
		cmocka_unit_test(test_pattern),
		cmocka_unit_test(test_paths_outside_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
