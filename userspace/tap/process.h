// A process that talks to a governed host: who it is, as people name it.
#ifndef SLUICE_TAP_PROCESS_H
#define SLUICE_TAP_PROCESS_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

struct identity {
	char cgroup[PATH_MAX]; // below the cgroup-v2 mount; "" if it is gone already
	// The container's id (64 hex digits), or its name where the runtime has names; "" for none.
	char container[72];
	char unit[256];     // the systemd unit that is nearest to the process; "" for none
	char exe[PATH_MAX]; // its file, as it sees it; "" if it may not be known
	char user[64];      // name on this host, or the number where there is no name
};

// Reads it from /proc and the user database. What cannot be read is "".
void identity_read(struct identity *ret, uint32_t tgid, uint32_t uid);
// The container that a cgroup is of: the innermost whose name a container runtime has given it.
// "" if there is none.
void identity_find_container(const char *cgroup, char *ret, size_t bytes);

#endif
