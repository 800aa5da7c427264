// The network namespaces that governed flows live in, and the sockets the daemon needs in each:
// raw ones for ACK twins, a sock_diag one to destroy orphans.
#ifndef SLUICE_ACT_NETNS_H
#define SLUICE_ACT_NETNS_H

#include <stdint.h>

struct netns {
	uint32_t inode;
	int fd;         // of the namespace; -1: the daemon's own
	int raw4, raw6; // -1: not opened yet
	int diag;
	unsigned users;
	struct netns *next;
};

// The namespace of that inode, which process `tgid` is in. Counted: give it back with
// netns_put(). NULL: it could not be opened (the process is gone).
struct netns *netns_get(struct netns **all, uint32_t inode, uint32_t tgid);
void netns_put(struct netns **all, struct netns *ns);

// Runs fn(arg) with the calling thread in that namespace. Returns what fn returns, or -errno.
int netns_run(const struct netns *ns, int (*fn)(void *arg), void *arg);
// A socket made in that namespace, kept in *cached.
int netns_socket(const struct netns *ns, int *cached, int family, int type, int protocol);

#endif
