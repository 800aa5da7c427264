// A process that talks to a governed host: who it is, as people name it.
#ifndef SLUICE_TAP_PROCESS_H
#define SLUICE_TAP_PROCESS_H

#include <limits.h>
#include <stdint.h>

struct identity {
	char cgroup[PATH_MAX]; // below the cgroup-v2 mount; "" if it is gone already
	char unit[256];        // the systemd unit that is nearest to the process; "" for none
	char exe[PATH_MAX];    // the program's file; "" if it may not be known
	char user[64];         // name, or the number where there is no name
};

// Reads it from /proc and the user database. What cannot be read is "".
void identity_read(struct identity *ret, uint32_t tgid, uint32_t uid);

#endif
