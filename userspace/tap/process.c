// See process.h.
#include "tap/process.h"
#include <pwd.h>
#include <stdbool.h>
#include <string.h>
#include "base/cleanup.h"

enum { MAX_USERS = 256, CONTAINER_ID_DIGITS = 64 };

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

static bool ends_in(const char *text, const char *suffix)
{
	size_t n = strlen(text), m = strlen(suffix);

	return n >= m && !strcmp(text + n - m, suffix);
}

// The id that a container runtime has put into the name of a cgroup, or NULL. It stands by itself
// (cgroupfs drivers, Kubernetes, ECS) or behind the runtime's name, which ends in "-" or, where a
// systemd name was given to the cgroupfs driver, in ":".
static const char *find_id(const char *name, size_t length)
{
	const char *id = name + length - CONTAINER_ID_DIGITS;

	if (length < CONTAINER_ID_DIGITS || strspn(id, "0123456789abcdef") < CONTAINER_ID_DIGITS)
		return NULL;
	return id == name || id[-1] == '-' || id[-1] == ':' ? id : NULL;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Copies what systemd has escaped, "web\x2d1", as it was (systemd.unit(5), "String escaping").
static void copy_unescaped(const char *from, size_t length, char *to, size_t bytes)
{
	const char *end = from + length;
	size_t n = 0;

	while (from < end && n + 1 < bytes) {
		bool is_escaped = end - from >= 4 && from[0] == '\\' && from[1] == 'x' &&
				  hex_digit(from[2]) >= 0 && hex_digit(from[3]) >= 0;

		to[n++] = is_escaped ? (char)(hex_digit(from[2]) << 4 | hex_digit(from[3])) : *from;
		from += is_escaped ? 4 : 1;
	}
	to[n] = 0;
}

// Containers that have names: those of LXC, machines of systemd, Cloud Foundry's.
static const struct {
	const char *parent, *prefix, *suffix;
} NAMED[] = {
	{NULL, "lxc.payload.", ""},
	{"lxc", "", ""}, // LXC before 4.0, and Proxmox
	{"garden", "", ""},
	{NULL, "machine-", ".scope"},
	{NULL, "systemd-nspawn@", ".service"},
};

// name: a component of a cgroup's path; parent: the one before, "" if it is the first.
static void find_in_component(const char *parent, const char *name, char *ret, size_t bytes)
{
	size_t length = strlen(name) - (ends_in(name, ".scope") ? strlen(".scope") : 0);
	const char *id = find_id(name, length);

	if (id) {
		snprintf(ret, bytes, "%.*s", CONTAINER_ID_DIGITS, id);
		return;
	}
	for (size_t i = 0; i < sizeof(NAMED) / sizeof(*NAMED); i++) {
		size_t prefix = strlen(NAMED[i].prefix), suffix = strlen(NAMED[i].suffix);

		if ((!NAMED[i].parent || !strcmp(NAMED[i].parent, parent)) &&
		    !strncmp(name, NAMED[i].prefix, prefix) && ends_in(name, NAMED[i].suffix) &&
		    strlen(name) > prefix + suffix)
			copy_unescaped(name + prefix, strlen(name) - prefix - suffix, ret, bytes);
	}
}

void identity_find_container(const char *cgroup, char *ret, size_t bytes)
{
	char path[PATH_MAX], *rest = path, *name;
	const char *parent = "";

	*ret = 0;
	snprintf(path, sizeof(path), "%s", cgroup);
	for (; (name = strsep(&rest, "/")); parent = name) // the innermost counts
		find_in_component(parent, name, ret, bytes);
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
