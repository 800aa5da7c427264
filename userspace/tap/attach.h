// Puts probes into processes and takes them out, on threads of its own: attaching a process takes
// some 10 ms, detaching it can take most of a second.
//
// A probe for one process costs other users of the same library nothing, so that is the rule.
// Where many short-lived processes use one library (a shell loop of curls), the library is probed
// once for all, and goes back to the rule when it quietens. While one gives way to the other a
// call may be seen twice, which does no harm: offsets are absolute (include/sluice/abi.h).
#ifndef SLUICE_TAP_ATTACH_H
#define SLUICE_TAP_ATTACH_H

#include <stdbool.h>
#include <stdint.h>
#include "tap/kernel.h"
#include "tap/library.h"

struct attacher;

struct attach_result {
	uint32_t tgid;
	int n_libraries; // probed; 0: the process has no library with known probe points; or -errno
	uint64_t took_ns;
};

int attacher_new(struct attacher **ret, struct kernel *kernel, struct library_registry *registry);
// Waits for both threads, 10 s at most, and destroys all links. The process must end soon after:
// a thread that a file system keeps is left behind with its links.
void attacher_free(struct attacher *a);
// Readable when results wait. Owned by the attacher.
int attacher_fd(const struct attacher *a);

int attacher_attach(struct attacher *a, uint32_t tgid); // a result follows
int attacher_forget(struct attacher *a, uint32_t tgid); // the process has ended or called exec
int attacher_tidy(struct attacher *a); // now and then: wide libraries that have quietened
// Takes one result; false if there is none.
bool attacher_result(struct attacher *a, struct attach_result *ret);

#endif
