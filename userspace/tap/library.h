// The TLS libraries that processes on this host have mapped: files that export SSL_write and its
// kin, and where in the file those functions are. A program that carries its own OpenSSL and
// exports it (Node) counts as a library.
#ifndef SLUICE_TAP_LIBRARY_H
#define SLUICE_TAP_LIBRARY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "sluice/abi.h"
#include "tap/kernel.h"

enum { MAX_PROCESS_LIBRARIES = 4 };

struct library {
	uint32_t id; // index in the kernel's map, and the probes' cookie
	dev_t device;
	ino_t inode;
	int64_t changed_ns;       // ctime: an upgraded file is another library
	char path[PATH_MAX];      // as its processes see it
	uint64_t offsets[PROBES]; // where to probe, in the file; 0: not at all
	struct sluice_library layout;
	unsigned n_processes; // probed one by one
	bool is_wide;         // probed once for all processes
};

struct library_registry;

int library_registry_new(struct library_registry **ret);
void library_registry_free(struct library_registry *registry);

// A library mapped by a process, and a path by which this process can open that very file.
struct mapped_library {
	struct library *library; // lives as long as the registry
	char path[PATH_MAX];
};
// Finds the TLS libraries of a process. Returns how many were filled, or -errno.
// For one thread only. Files without TLS functions are remembered too, so a further process costs
// one read of its maps.
int library_find(struct library_registry *registry, uint32_t tgid, struct mapped_library *out,
		 size_t max);
// The library of that id, or NULL. Any thread; so for the count.
struct library *library_get(struct library_registry *registry, uint32_t id);
size_t library_count(struct library_registry *registry);

#endif
