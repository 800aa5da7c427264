// Which TLS libraries a process uses. If these fail, a library is probed twice, or not at all after
// an upgrade, or the daemon runs out of ids for them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "tap/elf_file.c"
#include "tap/elf_symbols.c"
#include "tap/go_code.c"
#include "tap/go_functions.c"
#include "tap/inner_call.c"
#include "tap/library.c"
#include "tap/points.c"

// Makes this very program one that counts as a library.
__attribute__((noinline, used)) int SSL_write(void *ssl, const void *bytes, int length);
int SSL_write(void *ssl, const void *bytes, int length)
{
	return ssl && bytes ? length : -1;
}

// A copy of this program, mapped as a library is.
struct copy {
	char path[64];
	void *memory;
	size_t bytes;
};

static void map_copy(struct copy *copy)
{
	CLEANUP_CLOSE int from = open("/proc/self/exe", O_RDONLY), to = -1;
	struct stat st;

	strcpy(copy->path, "/tmp/sluice-library-XXXXXX");
	to = mkstemp(copy->path);
	assert_true(from >= 0 && to >= 0 && !fstat(from, &st));
	for (off_t left = st.st_size; left;) {
		ssize_t n = copy_file_range(from, NULL, to, NULL, left, 0);

		assert_true(n > 0);
		left -= n;
	}
	copy->bytes = st.st_size;
	copy->memory = mmap(NULL, copy->bytes, PROT_READ | PROT_EXEC, MAP_PRIVATE, to, 0);
	assert_true(copy->memory != MAP_FAILED);
}

static void unmap_copy(struct copy *copy)
{
	munmap(copy->memory, copy->bytes);
	unlink(copy->path);
}

// The library that the copy is to the registry; NULL: it has none for it.
static struct library *find_copy(struct library_registry *registry, const struct copy *copy)
{
	struct mapped_library found[MAX_PROCESS_LIBRARIES];
	int n = library_find(registry, getpid(), found, MAX_PROCESS_LIBRARIES);

	for (int i = 0; i < n; i++)
		if (!strncmp(found[i].library->path, copy->path, strlen(copy->path)))
			return found[i].library;
	return NULL;
}

static void a_library_that_is_deleted_while_it_is_used_stays_the_same(void **state)
{
	(void)state;
	struct library_registry *registry;
	struct library *before;
	struct copy copy;

	assert_int_equal(library_registry_new(&registry), 0);
	map_copy(&copy);
	before = find_copy(registry, &copy);
	assert_non_null(before);
	assert_true(before->is_new && before->n_points == 2);
	unlink(copy.path);
	if (geteuid() == 0) // who may open /proc/PID/map_files
		assert_ptr_equal(find_copy(registry, &copy), before);
	unmap_copy(&copy);
	library_registry_free(registry);
}

static void a_library_that_is_changed_is_another(void **state)
{
	(void)state;
	const struct timespec times[2] = {{1, 0}, {1, 0}};
	struct library_registry *registry;
	struct library *before, *after;
	struct copy copy;

	assert_int_equal(library_registry_new(&registry), 0);
	map_copy(&copy);
	before = find_copy(registry, &copy);
	assert_int_equal(utimensat(AT_FDCWD, copy.path, times, 0), 0);
	after = find_copy(registry, &copy);
	assert_true(before && after && before != after && before->id != after->id);
	unmap_copy(&copy);
	library_registry_free(registry);
}

// Fills the registry up; the program itself is one of them.
static void take_all_ids(struct library_registry *registry)
{
	for (int i = 0; library_count(registry) < SLUICE_MAX_LIBRARIES; i++) {
		struct copy copy;

		assert_true(i < SLUICE_MAX_LIBRARIES);
		map_copy(&copy);
		assert_non_null(find_copy(registry, &copy));
		unmap_copy(&copy);
	}
}

static void ids_are_used_again_when_no_probe_has_them(void **state)
{
	(void)state;
	struct library_registry *registry;
	struct library *old, *held, *found;
	struct copy copy;

	assert_int_equal(library_registry_new(&registry), 0);
	take_all_ids(registry);
	map_copy(&copy);
	assert_null(find_copy(registry, &copy)); // all were in use a moment ago
	held = library_get(registry, 7);
	old = library_get(registry, 9);
	library_hold(held);
	held->unused_ns = 0;
	old->unused_ns = 1;
	found = find_copy(registry, &copy);
	assert_non_null(found);
	assert_int_equal(found->id, 9); // the longest unused that nobody holds
	assert_true(found->is_new);
	assert_ptr_equal(library_get(registry, 9), found);
	assert_true(*old->path); // a connection may still name it
	library_release(held);
	assert_null(longest_unused(registry)); // it was in use until now
	unmap_copy(&copy);
	library_registry_free(registry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_library_that_is_deleted_while_it_is_used_stays_the_same),
		cmocka_unit_test(a_library_that_is_changed_is_another),
		cmocka_unit_test(ids_are_used_again_when_no_probe_has_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
