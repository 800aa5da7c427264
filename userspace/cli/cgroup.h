// cgroup v2, as far as "sluice run" needs it: where it is mounted, and how to get into a cgroup.
// Paths are below the mount, "/chat.slice/x". Errors are negative errno.
#ifndef SLUICE_CLI_CGROUP_H
#define SLUICE_CLI_CGROUP_H

#include <stdio.h>

// Finds the mount point in the text of /proc/self/mountinfo (proc_pid_mountinfo(5)): `preferred` if
// cgroup v2 is mounted there, else the first that shows the whole hierarchy. *ret is malloc'd.
// -ENOENT: cgroup v2 is mounted nowhere.
int cgroup_mount_in(FILE *mountinfo, const char *preferred, char **ret);

// The same for this process.
int cgroup_mount(const char *preferred, char **ret);

// A path that the team's pattern matches: each "*" becomes "run". *ret is malloc'd. -EINVAL: it
// holds other wildcards, for which this cannot be said.
int cgroup_from_pattern(const char *pattern, char **ret);

// Makes the cgroup and its parents if need be, and moves the calling process into it. Where it
// takes no processes because its children have controllers (cgroups(7), "no internal processes"),
// it goes one deeper, into "run", which is still of the team. -EINVAL: not an absolute path, or one
// with "..".
int cgroup_enter(const char *mount, const char *path);

#endif
