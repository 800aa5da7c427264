// Where probes are put. If these fail, a library's traffic goes unseen, or a probe reads arguments
// that are not there.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <string.h>
#include <cmocka.h>
#include "base/cleanup.h"
#include "tap/elf_file.c"
#include "tap/elf_symbols.c"
#include "tap/inner_call.c"

// Stands in for a library's: exported by this very program.
__attribute__((noinline, used)) int SSL_write(void *ssl, const void *bytes, int length);
int SSL_write(void *ssl, const void *bytes, int length)
{
	return ssl && bytes ? length : -1;
}

static void a_function_of_a_program_is_found_where_its_code_is(void **state)
{
	(void)state;
	const char *const names[] = {"SSL_write", "SSL_no_such_function"};
	CLEANUP_CLOSE int fd = open("/proc/self/exe", O_RDONLY);
	uint8_t in_file[16];
	uint64_t offsets[2];

	assert_int_equal(elf_find_functions(fd, names, 2, offsets), 1);
	assert_int_equal(offsets[1], 0);
	assert_int_equal(pread(fd, in_file, sizeof(in_file), offsets[0]), sizeof(in_file));
	assert_memory_equal(in_file, (const void *)(uintptr_t)SSL_write, sizeof(in_file));
}

static void a_file_that_is_no_program_is_refused(void **state)
{
	(void)state;
	const char *const names[] = {"SSL_write"};
	CLEANUP_CLOSE int fd = open("/proc/self/maps", O_RDONLY);
	CLEANUP_CLOSE int null = open("/dev/null", O_RDONLY);
	uint64_t offset;

	assert_true(elf_find_functions(fd, names, 1, &offset) < 0);
	assert_true(elf_find_functions(null, names, 1, &offset) < 0);
}

#ifdef __x86_64__

enum { PLAIN = 0x1000, EX = 0x1100, INNER = 0x1800 };

static const uint8_t sub8[] = {0x48, 0x83, 0xec, 8};

static int file_of_code(void)
{
	char path[] = "/tmp/sluice-code-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, 0x2000), 0);
	return fd;
}

static void put(int fd, uint64_t at, const void *bytes, size_t n)
{
	assert_int_equal(pwrite(fd, bytes, n, at), n);
}

static void put_call(int fd, uint64_t at, uint64_t target)
{
	int32_t distance = target - (at + 5);

	put(fd, at, "\xe8", 1);
	put(fd, at + 1, &distance, sizeof(distance));
}

// A pair as OpenSSL 3.0's on Debian.
static int pair_of_wrappers(void)
{
	int fd = file_of_code();

	put(fd, EX, sub8, sizeof(sub8));
	put_call(fd, EX + 4, INNER);
	put_call(fd, PLAIN + 30, INNER);
	put(fd, INNER, "\x41\x56", 2); // push %r14
	return fd;
}

static void the_function_behind_a_pair_is_found(void **state)
{
	(void)state;
	CLEANUP_CLOSE int fd = pair_of_wrappers();

	assert_int_equal(inner_call_find(fd, PLAIN, EX), INNER);
	put(fd, EX, "\xf3\x0f\x1e\xfa", 4); // endbr64, as built with -fcf-protection
	put(fd, EX + 4, sub8, sizeof(sub8));
	put_call(fd, EX + 8, INNER);
	assert_int_equal(inner_call_find(fd, PLAIN, EX), INNER);
}

static void any_doubt_means_the_wrappers_are_probed(void **state)
{
	(void)state;
	CLEANUP_CLOSE int fd = pair_of_wrappers();

	assert_int_equal(inner_call_find(fd, 0, EX), 0);
	assert_int_equal(inner_call_find(fd, PLAIN, 0), 0);
	assert_int_equal(inner_call_find(fd, PLAIN, 0x1ff8), 0); // runs out of the file
	put(fd, INNER, "\x31\xc0", 2);                           // does not begin as functions do
	assert_int_equal(inner_call_find(fd, PLAIN, EX), 0);
	put(fd, INNER, "\x55", 1);
	assert_int_equal(inner_call_find(fd, PLAIN, EX), INNER);
	put_call(fd, PLAIN + 30, INNER + 16); // the plain one calls something else
	assert_int_equal(inner_call_find(fd, PLAIN, EX), 0);
	put_call(fd, PLAIN + 30, INNER);
	put(fd, EX, "\x48\x83\xec\x18", 4); // room for locals: arguments may be changed
	assert_int_equal(inner_call_find(fd, PLAIN, EX), 0);
}

// As GnuTLS 3.7's gnutls_record_send on Debian, which hands on to gnutls_record_send2.
static void a_function_that_only_jumps_is_recognised(void **state)
{
	(void)state;
	CLEANUP_CLOSE int fd = file_of_code();

	put(fd, PLAIN, "\x45\x31\xc0\x31\xc9\xe9\x86\x9c\xff\xff", 10);
	assert_true(inner_call_is_jump(fd, PLAIN));
	put(fd, PLAIN, "\xf3\x0f\x1e\xfa\x31\xc9\x45\x31\xc0\xeb\x10", 11);
	assert_true(inner_call_is_jump(fd, PLAIN));
	put(fd, PLAIN, "\x45\x31\xc0\x31\xc9\xe8\x86\x9c\xff\xff", 10); // a call
	assert_false(inner_call_is_jump(fd, PLAIN));
	put(fd, PLAIN, "\x31\xd2\x31\xc9\xe9\x86\x9c\xff\xff", 9); // clears the length
	assert_false(inner_call_is_jump(fd, PLAIN));
	assert_false(inner_call_is_jump(fd, 0));
	assert_false(inner_call_is_jump(fd, 0x1ff8)); // runs out of the file
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_function_of_a_program_is_found_where_its_code_is),
		cmocka_unit_test(a_file_that_is_no_program_is_refused),
#ifdef __x86_64__
		cmocka_unit_test(the_function_behind_a_pair_is_found),
		cmocka_unit_test(any_doubt_means_the_wrappers_are_probed),
		cmocka_unit_test(a_function_that_only_jumps_is_recognised),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
