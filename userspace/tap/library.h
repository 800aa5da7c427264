// The TLS libraries that processes on this host have mapped: files with SSL_write and its kin, and
// where in the file those functions are. A program that carries its own OpenSSL and names it
// (Node), or Go's crypto/tls, counts as a library.
#ifndef SLUICE_TAP_LIBRARY_H
#define SLUICE_TAP_LIBRARY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "sluice/abi.h"
#include "tap/points.h"

enum { MAX_PROCESS_LIBRARIES = 4 };

// What tells one file from another that had its inode before, or was changed. Not the time of the
// last status change, which is another when the file is deleted while programs run it.
struct file_id {
	dev_t device;
	ino_t inode;
	int64_t modified_ns;
	off_t bytes;
};

struct library {
	uint32_t id; // index in the kernel's map, and the probes' cookie
	struct file_id file;
	char *path; // as its processes see it
	struct probe_point *points;
	size_t n_points;
	struct sluice_library layout;
	unsigned n_processes; // probed one by one
	bool is_wide;         // probed once for all processes
	bool is_new;          // what the kernel's map has under its id is of another
	unsigned n_taps;      // that hold its probes, those to be taken out among them
	uint64_t unused_ns;   // since there was none
	struct library *next_retired;
};

struct library_registry;

int library_registry_new(struct library_registry **ret);
void library_registry_free(struct library_registry *registry);

// A library mapped by a process, and a path by which this process can open that very file.
struct mapped_library {
	struct library *library; // lives as long as the registry, if not under its id
	char path[PATH_MAX];
};
// Finds the TLS libraries of a process. Returns how many were filled, or -errno.
// For one thread only. What is found for the first time is_new. If all ids are taken, one is taken
// from a library that has had no probes for the longest, a minute at least. Files without TLS
// functions are remembered too, so a further process costs one read of its maps.
int library_find(struct library_registry *registry, uint32_t tgid, struct mapped_library *out,
		 size_t max);
// Its id stays its own as long as it is held. Any thread.
void library_hold(struct library *library);
void library_release(struct library *library);
// The library that has that id now, or NULL. Any thread; so for the count.
struct library *library_get(struct library_registry *registry, uint32_t id);
size_t library_count(struct library_registry *registry);

#endif
