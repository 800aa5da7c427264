// See bind.h. OpenSSL keeps the random in the SSL object itself (0x160 in 3.0), BoringSSL one
// pointer away. No offset is ever assumed: they drift between patch releases.
#include "tap/bind.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/uio.h>

static ssize_t read_memory(uint32_t tgid, uint64_t at, void *buffer, size_t bytes)
{
	struct iovec here = {buffer, bytes}, there = {(void *)(uintptr_t)at, bytes};
	ssize_t n = process_vm_readv(tgid, &here, 1, &there, 1, 0);

	return n < 0 ? -errno : n;
}

// The index of a random that stands in `memory`, with *ret_offset, or -ENOENT.
static int search(const uint8_t *memory, ssize_t bytes,
		  const uint8_t (*randoms)[SLUICE_RANDOM_BYTES], size_t n, uint32_t *ret_offset)
{
	for (size_t i = 0; i < n && bytes > 0; i++) {
		const uint8_t *found = memmem(memory, bytes, randoms[i], SLUICE_RANDOM_BYTES);

		if (found) {
			*ret_offset = found - memory;
			return i;
		}
	}
	return -ENOENT;
}

// Searches what the object points to. Of several pointers that lead to the random the one from
// which it is the least far is taken: the others are to what merely lies before it on the heap,
// which is so by chance, and not for the next connection.
static int search_pointees(const struct bind_object *object,
			   const uint8_t (*randoms)[SLUICE_RANDOM_BYTES], size_t n,
			   struct sluice_library *layout)
{
	uint8_t pointee[SLUICE_OBJECT_BYTES];
	int found = -ENOENT;

	layout->random_offset = UINT32_MAX;
	for (uint32_t at = 0; at + sizeof(uint64_t) <= object->bytes; at += sizeof(uint64_t)) {
		uint64_t pointer;
		uint32_t offset;
		int random;

		memcpy(&pointer, object->memory + at, sizeof(pointer));
		if (pointer < 65536) // below mmap_min_addr: no pointer
			continue;
		random = search(pointee,
				read_memory(object->tgid, pointer, pointee, sizeof(pointee)),
				randoms, n, &offset);
		if (random < 0 || offset >= layout->random_offset)
			continue;
		layout->pointer_offset = at;
		layout->random_offset = offset;
		found = random;
	}
	return found;
}

int bind_search(struct bind_object *object, const uint8_t (*randoms)[SLUICE_RANDOM_BYTES], size_t n,
		struct sluice_library *ret_layout)
{
	struct sluice_library layout = {.learned = 1, .pointer_offset = SLUICE_NO_POINTER};
	int found;

	if (!object->bytes) {
		ssize_t bytes = read_memory(object->tgid, object->ssl, object->memory,
					    sizeof(object->memory));

		if (bytes < 0)
			return bytes;
		object->bytes = bytes;
	}
	found = search(object->memory, object->bytes, randoms, n, &layout.random_offset);
	if (found < 0)
		found = search_pointees(object, randoms, n, &layout);
	if (found >= 0)
		*ret_layout = layout;
	return found;
}

int bind_read(const struct bind_object *object, const struct sluice_library *layout,
	      uint8_t ret_random[SLUICE_RANDOM_BYTES])
{
	bool direct = layout->pointer_offset == SLUICE_NO_POINTER;
	uint64_t at = object->ssl;
	ssize_t bytes;

	if (direct && layout->random_offset + SLUICE_RANDOM_BYTES <= object->bytes) {
		memcpy(ret_random, object->memory + layout->random_offset, SLUICE_RANDOM_BYTES);
		return 0;
	}
	if (!direct) {
		bytes = read_memory(object->tgid, at + layout->pointer_offset, &at, sizeof(at));
		if (bytes != sizeof(at))
			return bytes < 0 ? bytes : -EFAULT;
	}
	bytes = read_memory(object->tgid, at + layout->random_offset, ret_random,
			    SLUICE_RANDOM_BYTES);
	return bytes == SLUICE_RANDOM_BYTES ? 0 : bytes < 0 ? bytes : -EFAULT;
}
