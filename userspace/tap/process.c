// See process.h.
#include "tap/process.h"
#include <pwd.h>
#include <string.h>
#include "base/cleanup.h"

static void read_cgroup(uint32_t tgid, char *ret, size_t bytes)
{
	CLEANUP_FCLOSE FILE *file = NULL;
	char path[64], line[PATH_MAX];

	*ret = 0;
	snprintf(path, sizeof(path), "/proc/%u/cgroup", tgid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "0::", 3)) {
			line[strcspn(line, "\n")] = 0;
			snprintf(ret, bytes, "%s", line + 3);
		}
}

void identity_read(struct identity *ret, uint32_t tgid, uint32_t uid)
{
	struct passwd entry, *found = NULL;
	char strings[1024];

	read_cgroup(tgid, ret->cgroup, sizeof(ret->cgroup));
	if (getpwuid_r(uid, &entry, strings, sizeof(strings), &found) || !found)
		snprintf(ret->user, sizeof(ret->user), "%u", uid);
	else
		snprintf(ret->user, sizeof(ret->user), "%s", found->pw_name);
}
