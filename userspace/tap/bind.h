// Finds out where a TLS library keeps the client random in its SSL object, by looking for a random
// that was seen on the wire in the memory of the process that sent it.
#ifndef SLUICE_TAP_BIND_H
#define SLUICE_TAP_BIND_H

#include <stddef.h>
#include <stdint.h>
#include "sluice/abi.h"

// Searches the SSL object at `ssl` in process `tgid`, and the objects it points to, for one of
// `n` randoms. Returns the random's index with *ret_layout filled, -ENOENT if none is there, or
// another negative errno if the memory cannot be read.
int bind_search(uint32_t tgid, uint64_t ssl, const uint8_t (*randoms)[SLUICE_RANDOM_BYTES],
		size_t n, struct sluice_library *ret_layout);
// Reads the random of an SSL object whose layout is known. 0, or -errno.
int bind_read(uint32_t tgid, uint64_t ssl, const struct sluice_library *layout,
	      uint8_t ret_random[SLUICE_RANDOM_BYTES]);

#endif
