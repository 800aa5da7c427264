// See bind.h. OpenSSL keeps the random in the SSL object itself (0x160 in 3.0), BoringSSL one
// pointer away. No offset is ever assumed: they drift between patch releases.
#include "tap/bind.h"
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

enum { OBJECT_BYTES = 4096 };

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

int bind_search(uint32_t tgid, uint64_t ssl, const uint8_t (*randoms)[SLUICE_RANDOM_BYTES],
		size_t n, struct sluice_library *ret_layout)
{
	uint8_t object[OBJECT_BYTES], pointee[OBJECT_BYTES];
	ssize_t bytes = read_memory(tgid, ssl, object, sizeof(object));
	struct sluice_library layout = {.learned = 1, .pointer_offset = SLUICE_NO_POINTER};
	int found;

	if (bytes < 0)
		return bytes;
	found = search(object, bytes, randoms, n, &layout.random_offset);
	for (uint32_t at = 0; found < 0 && at + 8 <= bytes; at += 8) {
		uint64_t pointer;

		memcpy(&pointer, object + at, sizeof(pointer));
		if (pointer < 65536) // below mmap_min_addr: no pointer
			continue;
		layout.pointer_offset = at;
		found = search(pointee, read_memory(tgid, pointer, pointee, sizeof(pointee)),
			       randoms, n, &layout.random_offset);
	}
	if (found >= 0)
		*ret_layout = layout;
	return found;
}

int bind_read(uint32_t tgid, uint64_t ssl, const struct sluice_library *layout,
	      uint8_t ret_random[SLUICE_RANDOM_BYTES])
{
	ssize_t bytes;

	if (layout->pointer_offset != SLUICE_NO_POINTER) {
		bytes = read_memory(tgid, ssl + layout->pointer_offset, &ssl, sizeof(ssl));
		if (bytes != sizeof(ssl))
			return bytes < 0 ? bytes : -EFAULT;
	}
	bytes = read_memory(tgid, ssl + layout->random_offset, ret_random, SLUICE_RANDOM_BYTES);
	return bytes == SLUICE_RANDOM_BYTES ? 0 : bytes < 0 ? bytes : -EFAULT;
}
