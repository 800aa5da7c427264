// Finds out where a TLS library keeps the client random in its SSL object, by looking for a random
// that was seen on the wire in the memory of the process that sent it.
#ifndef SLUICE_TAP_BIND_H
#define SLUICE_TAP_BIND_H

#include <stddef.h>
#include <stdint.h>
#include "sluice/abi.h"

// An SSL object, and as much of its beginning as is known (0: it is read from the process, which
// needs the right to ptrace it).
struct bind_object {
	uint32_t tgid;
	uint64_t ssl;
	size_t bytes;
	uint8_t memory[SLUICE_OBJECT_BYTES];
};

// Searches the object, and those it points to, for one of `n` randoms. Returns the random's index
// with *ret_layout filled, -ENOENT if none is there, or another negative errno if the memory cannot
// be read.
int bind_search(struct bind_object *object, const uint8_t (*randoms)[SLUICE_RANDOM_BYTES], size_t n,
		struct sluice_library *ret_layout);
// The random of an object whose layout is known. 0, or -errno.
int bind_read(const struct bind_object *object, const struct sluice_library *layout,
	      uint8_t ret_random[SLUICE_RANDOM_BYTES]);

#endif
