// The TCP connections on this host that were there before the daemon, in every network namespace.
// The kernel programs have not seen their birth, so sock_diag tells of them (sock_diag(7)), and
// /proc/PID/fd whose they are. That is looked through once, however many there are.
#ifndef SLUICE_TAP_OLDER_H
#define SLUICE_TAP_OLDER_H

#include <stddef.h>
#include <stdint.h>
#include "sluice/abi.h"

enum { OLDER_MOST = 4096, OLDER_NAMESPACES_MOST = 256 };

struct older {
	uint64_t cookie;
	uint64_t inode; // of the socket, in /proc/PID/fd
	uint32_t netns; // inode of its network namespace
	uint32_t tgid;  // of a process that has it open: of several, the one of the lowest number
	uint32_t uid;
	uint16_t family;
	uint16_t port, local_port;              // host byte order
	uint8_t address[16], local_address[16]; // IPv4 as v4-mapped
	char comm[SLUICE_COMM_BYTES];
};

// Fills the connections to those remote ports that some process has open, at most `max`. Returns
// how many, or -errno if nothing could be asked. The calling thread is in another network namespace
// afterwards: call it on a thread of its own.
int older_find(const uint16_t *ports, size_t n_ports, struct older *out, size_t max);

#endif
