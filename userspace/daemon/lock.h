// Two daemons would hold and release each other's traffic: only one may use a state directory.
#ifndef SLUICE_DAEMON_LOCK_H
#define SLUICE_DAEMON_LOCK_H

#include <stdbool.h>

// Makes the directory if need be and locks it until the descriptor that is returned is closed, or
// the process ends. *ret_is_heir: the last owner was killed and is still being taken apart, which
// takes the kernel seconds where many probes are to be removed; its socket answers nobody.
// -EWOULDBLOCK: another daemon runs; another negative errno: it was said what failed.
int state_lock(const char *dir, bool *ret_is_heir);

#endif
