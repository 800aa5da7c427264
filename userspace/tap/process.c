// See process.h.
#include "tap/process.h"
#include <pwd.h>
#include <string.h>
#include "base/cleanup.h"

enum { MAX_USERS = 256 };

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

// The last component of the cgroup's path that is named like a unit (systemd.resource-control(5)).
static void find_unit(const char *cgroup, char *ret, size_t bytes)
{
	static const char *const suffixes[] = {".service", ".scope", ".slice", ".socket", ".mount"};
	char path[PATH_MAX], *rest = path, *name;

	*ret = 0;
	snprintf(path, sizeof(path), "%s", cgroup);
	while ((name = strsep(&rest, "/"))) {
		const char *suffix = strrchr(name, '.');

		for (size_t i = 0; suffix && i < sizeof(suffixes) / sizeof(*suffixes); i++)
			if (!strcmp(suffix, suffixes[i]))
				snprintf(ret, bytes, "%s", name);
	}
}

static void read_exe(uint32_t tgid, char *ret, size_t bytes)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/exe", tgid);
	n = readlink(path, ret, bytes - 1);
	ret[n > 0 ? n : 0] = 0;
}

// The user database may be a slow server's, and one process may open a thousand connections: each
// user is asked for once.
static const char *user_name(uint32_t uid)
{
	static struct {
		uint32_t uid;
		char name[64];
	} known[MAX_USERS];
	static unsigned n;
	struct passwd entry, *found = NULL;
	char strings[1024];
	unsigned slot;

	for (unsigned i = 0; i < n && i < MAX_USERS; i++)
		if (known[i].uid == uid)
			return known[i].name;
	slot = n++ % MAX_USERS;
	known[slot].uid = uid;
	if (getpwuid_r(uid, &entry, strings, sizeof(strings), &found) || !found)
		snprintf(known[slot].name, sizeof(known[slot].name), "%u", uid);
	else
		snprintf(known[slot].name, sizeof(known[slot].name), "%s", found->pw_name);
	return known[slot].name;
}

void identity_read(struct identity *ret, uint32_t tgid, uint32_t uid)
{
	read_cgroup(tgid, ret->cgroup, sizeof(ret->cgroup));
	find_unit(ret->cgroup, ret->unit, sizeof(ret->unit));
	read_exe(tgid, ret->exe, sizeof(ret->exe));
	snprintf(ret->user, sizeof(ret->user), "%s", user_name(uid));
}
