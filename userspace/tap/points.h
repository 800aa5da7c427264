// Which places in a file are to be probed, so that everything is seen that its TLS functions write
// and read: a library's (OpenSSL, BoringSSL, GnuTLS), a program's that carries one within it, or
// those of Go.
#ifndef SLUICE_TAP_POINTS_H
#define SLUICE_TAP_POINTS_H

#include <stddef.h>
#include <stdint.h>
#include "tap/kernel.h"

struct probe_point {
	uint64_t offset; // in the file
	enum probe probe;
};

// Returns how many, with *ret_points malloc'd, 0 if the file has no such functions (*ret_points is
// NULL then), or -errno.
int points_find(int fd, struct probe_point **ret_points);

#endif
