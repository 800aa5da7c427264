// A process that talks to a governed host: who it is, as people name it.
#ifndef SLUICE_TAP_PROCESS_H
#define SLUICE_TAP_PROCESS_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

struct identity {
	char cgroup[PATH_MAX]; // below the cgroup-v2 mount; "" if it is gone already
	char container[72];    // the id (or name) of the container, from the cgroup; "" for none
	char unit[256];        // the systemd unit that is nearest to the process; "" for none
	char exe[PATH_MAX];    // the program's file; "" if it may not be known
	char user[64];         // name, or the number where there is no name
};

// Reads it from /proc and the user database. What cannot be read is "".
void identity_read(struct identity *ret, uint32_t tgid, uint32_t uid);
// The container that a cgroup is of, as container runtimes name cgroups; "" if it is of none.
void identity_find_container(const char *cgroup, char *ret, size_t bytes);

#endif
