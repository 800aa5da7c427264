// Where a TLS library keeps the client random. If these fail, a library's first connection is
// understood and all others are not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tap/bind.c"

static const uint8_t randoms[2][SLUICE_RANDOM_BYTES] = {"the random of another connection",
							"the random of this connection..."};

static struct bind_object object_at(void *memory)
{
	return (struct bind_object){.tgid = getpid(), .ssl = (uintptr_t)memory};
}

// As in OpenSSL 3 and GnuTLS.
static void a_random_in_the_object_is_found(void **state)
{
	(void)state;
	uint8_t memory[SLUICE_OBJECT_BYTES] = {}, random[SLUICE_RANDOM_BYTES];
	struct bind_object object = object_at(memory);
	struct sluice_library layout;

	memcpy(memory + 0x160, randoms[1], SLUICE_RANDOM_BYTES);
	assert_int_equal(bind_search(&object, randoms, 2, &layout), 1);
	assert_int_equal(layout.pointer_offset, SLUICE_NO_POINTER);
	assert_int_equal(layout.random_offset, 0x160);
	assert_int_equal(bind_read(&object, &layout, random), 0);
	assert_memory_equal(random, randoms[1], sizeof(random));
}

// As in OpenSSL 1.1 and BoringSSL: what lies before it on the heap is pointed to as well, first.
static void of_two_ways_to_a_random_the_shorter_is_taken(void **state)
{
	(void)state;
	uint8_t heap[SLUICE_OBJECT_BYTES] = {}, memory[SLUICE_OBJECT_BYTES] = {};
	uint8_t random[SLUICE_RANDOM_BYTES];
	const uint8_t *neighbour = heap + 0x40, *inner = heap + 0x120;
	struct bind_object object = object_at(memory);
	struct sluice_library layout;

	memcpy(heap + 0x120 + 0x30, randoms[1], SLUICE_RANDOM_BYTES);
	memcpy(memory + 0x10, &neighbour, sizeof(neighbour));
	memcpy(memory + 0x28, &inner, sizeof(inner));
	memcpy(memory + 0x48, &neighbour, sizeof(neighbour));
	assert_int_equal(bind_search(&object, randoms, 2, &layout), 1);
	assert_int_equal(layout.pointer_offset, 0x28);
	assert_int_equal(layout.random_offset, 0x30);
	assert_int_equal(bind_read(&object, &layout, random), 0);
	assert_memory_equal(random, randoms[1], sizeof(random));
}

static void an_object_without_a_random_teaches_nothing(void **state)
{
	(void)state;
	uint8_t memory[SLUICE_OBJECT_BYTES] = {};
	struct bind_object object = object_at(memory);
	struct sluice_library layout = {.learned = 0};
	uint64_t nowhere = 0xdead0000dead0000;

	memcpy(memory + 8, &nowhere, sizeof(nowhere));
	assert_int_equal(bind_search(&object, randoms, 2, &layout), -ENOENT);
	assert_false(layout.learned);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_random_in_the_object_is_found),
		cmocka_unit_test(of_two_ways_to_a_random_the_shorter_is_taken),
		cmocka_unit_test(an_object_without_a_random_teaches_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
