// A socket of another process that the daemon acts on, and what it does to it.
//
// The descriptor is borrowed with pidfd_getfd() for one act and given back at once: while it is
// borrowed the program's own close() would not end the connection. Numbers of processes and
// descriptors are reused, so the socket's cookie is compared before every act.
#ifndef SLUICE_ACT_TARGET_H
#define SLUICE_ACT_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include "act/netns.h"
#include "sluice/abi.h"

struct target {
	uint64_t cookie;
	uint32_t tgid;
	// Of a process that may have it instead: one that was forked, or that it was passed to. 0:
	// none. It is asked when the first has the socket no more.
	uint32_t other_tgid;
	int fd_number;       // where it was found last, in either; -1: not looked for yet
	struct netns *netns; // may be NULL
	uint16_t family;
	uint16_t port, local_port; // host byte order
	uint8_t address[16], local_address[16];
};

// Whether this daemon may borrow at all. *ret_why: a static text, if not.
bool target_can_borrow(const char **ret_why);
// A descriptor of the socket, which the caller closes soon. -ESRCH: the process or the socket is
// gone; -EPERM: the kernel does not allow it (Yama). Processes in other pid and user namespaces are
// no exception: numbers are those of the daemon's own namespace, and CAP_SYS_PTRACE holds in those
// below it, too (ns_capable()).
int target_borrow(struct target *t);

// Makes the socket send what its gate lets pass. -errno as target_borrow().
int target_push(struct target *t);
// Keeps a held connection alive: one window probe, whose answer resets the kernel's timers.
int target_keep_alive(struct target *t);
// Ends the connection with a RST; the program wakes with a connection error.
int target_abort(struct target *t);
// The same by sock_diag, in the socket's network namespace: needs no descriptor, so it reaches
// orphans too. -EOPNOTSUPP: the kernel is built without CONFIG_INET_DIAG_DESTROY.
int target_destroy(const struct target *t);
// Whether the kernel has no such socket any more. If in doubt: false.
bool target_is_gone(const struct target *t);
// Bytes that the program has written and that have not left, or -errno.
int64_t target_unsent(struct target *t);
// Whether the socket's send buffer takes no more, so that the program cannot go on writing.
bool target_is_full(struct target *t);

// Sends the ACK that a held segment carries, without its data.
int twin_send(const struct sluice_twin *twin, struct netns *ns);

#endif
