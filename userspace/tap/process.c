// See process.h.
#include "tap/process.h"
#include <pwd.h>
#include <stdbool.h>
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

static bool is_container_id(const char *name, size_t bytes)
{
	return bytes == 64 && strspn(name, "0123456789abcdef") >= bytes;
}

// A component of a cgroup's path: the id stands by itself (Docker's cgroupfs driver, Kubernetes,
// ECS) or between a runtime's name and ".scope" (systemd drivers: docker-ID.scope,
// cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope); LXC and systemd-nspawn have names.
static void find_in_component(const char *name, char *ret, size_t bytes)
{
	static const char *const prefixes[] = {"lxc.payload.", "machine-", "systemd-nspawn@"};
	const char *end = strrchr(name, '.'), *dash = strrchr(name, '-');
	const char *id = dash && end && !strcmp(end, ".scope") ? dash + 1 : name;
	size_t length = id == name ? strlen(name) : (size_t)(end - id);

	if (is_container_id(id, length)) {
		snprintf(ret, bytes, "%.*s", (int)length, id);
		return;
	}
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		size_t n = strlen(prefixes[i]);

		if (strncmp(name, prefixes[i], n))
			continue;
		// The name of an LXC container may have dots; the others are units.
		length = i == 0 || !end ? strlen(name + n) : (size_t)(end - name - n);
		snprintf(ret, bytes, "%.*s", (int)length, name + n);
	}
}

void identity_find_container(const char *cgroup, char *ret, size_t bytes)
{
	char path[PATH_MAX], *rest = path, *name;

	*ret = 0;
	snprintf(path, sizeof(path), "%s", cgroup);
	while ((name = strsep(&rest, "/"))) // the innermost counts
		find_in_component(name, ret, bytes);
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
	identity_find_container(ret->cgroup, ret->container, sizeof(ret->container));
	read_exe(tgid, ret->exe, sizeof(ret->exe));
	snprintf(ret->user, sizeof(ret->user), "%s", user_name(uid));
}
