// One library's probes, for one process or for all: the links that hold them in place.
#ifndef SLUICE_TAP_TAP_H
#define SLUICE_TAP_TAP_H

#include <stdint.h>
#include <sys/queue.h>
#include "tap/kernel.h"
#include "tap/library.h"

struct tap {
	struct library *library;
	uint32_t tgid;           // 0: all processes
	struct bpf_link **links; // one for each of the library's points
	size_t n_links;
	LIST_ENTRY(tap) next;
};
LIST_HEAD(tap_list, tap);

// Puts all probes of the library in, or none. -errno.
int tap_new(struct tap **ret, struct kernel *kernel, const struct mapped_library *mapped,
	    uint32_t tgid);
// Takes them out, which waits for an RCU grace period for each.
void tap_free(struct tap *tap);
// One of its links, for the caller to destroy; NULL when it has none any more.
struct bpf_link *tap_take_link(struct tap *tap);

#endif
