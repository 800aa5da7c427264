// Which team a process belongs to: cgroup subtree (globs), systemd unit, or user.
#ifndef SLUICE_GOVERN_TEAMS_H
#define SLUICE_GOVERN_TEAMS_H

#include <stdint.h>
#include "config/policy.h"

// `cgroup` is the path below the cgroup-v2 mount, "/chat.slice/x.service". `user` is the user's
// name or "". Returns the first team that matches, or NULL.
const struct team *team_of_process(const struct policy *policy, const char *cgroup, uint32_t uid,
				   const char *user);

#endif
