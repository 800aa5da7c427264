// Finds and enters cgroups. See cgroup.h.
#include "cli/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

// Undoes mountinfo's octal escapes ("\040" is a space) in place.
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		unsigned int code;

		if (*from == '\\' && sscanf(from + 1, "%3o", &code) == 1 && strlen(from) >= 4) {
			*to = (char)code;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

// "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw": field 4 is the part of
// the hierarchy that is mounted, field 5 the mount point, and behind the lone "-" comes the type.
static bool is_cgroup2(char *line, char **ret_root, char **ret_mount)
{
	char *type = strstr(line, " - "), *rest = NULL, *word;
	int field = 0;

	if (!type || strncmp(type + 3, "cgroup2 ", 8))
		return false;
	*ret_root = *ret_mount = NULL;
	for (word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		field++;
		if (field == 4)
			*ret_root = word;
		if (field == 5) {
			*ret_mount = word;
			unescape(word);
			return true;
		}
	}
	return false;
}

int cgroup_mount_in(FILE *mountinfo, const char *preferred, char **ret)
{
	CLEANUP_FREE char *line = NULL;
	CLEANUP_FREE char *found = NULL;
	bool found_is_whole = false;
	size_t room = 0;

	while (getline(&line, &room, mountinfo) > 0) {
		char *root, *mount;
		bool is_preferred, is_whole;

		if (!is_cgroup2(line, &root, &mount))
			continue;
		is_preferred = preferred && !strcmp(mount, preferred);
		is_whole = root[0] == '/' && !root[1];
		if (found && !is_preferred && (found_is_whole || !is_whole))
			continue;
		free(found);
		found = strdup(mount);
		if (!found)
			return -ENOMEM;
		if (is_preferred)
			break;
		found_is_whole = is_whole;
	}
	if (!found)
		return -ENOENT;
	*ret = TAKE_PTR(found);
	return 0;
}

int cgroup_mount(const char *preferred, char **ret)
{
	FILE *mountinfo = fopen("/proc/self/mountinfo", "re");
	int error;

	if (!mountinfo)
		return -errno;
	error = cgroup_mount_in(mountinfo, preferred, ret);
	fclose(mountinfo);
	return error;
}

int cgroup_from_pattern(const char *pattern, char **ret)
{
	static const char star[] = "run";
	size_t stars = 0;
	char *path, *to;

	if (strpbrk(pattern, "?[\\"))
		return -EINVAL;
	for (const char *p = strchr(pattern, '*'); p; p = strchr(p + 1, '*'))
		stars++;
	path = to = malloc(strlen(pattern) + stars * strlen(star) + 2);
	if (!path)
		return -ENOMEM;
	if (*pattern != '/')
		*to++ = '/';
	for (; *pattern; pattern++) {
		if (*pattern == '*')
			to = stpcpy(to, star);
		else
			*to++ = *pattern;
	}
	*to = '\0';
	*ret = path;
	return 0;
}

static bool is_plain_path(const char *path)
{
	const char *last = strrchr(path, '/');

	return *path == '/' && !strstr(path, "/../") && strcmp(last, "/..") != 0;
}

// mkdir -p for what is below the mount.
static int make(const char *mount, const char *path, char **ret_directory)
{
	size_t start = strlen(mount);
	CLEANUP_FREE char *directory = malloc(start + strlen(path) + 1);

	if (!directory)
		return -ENOMEM;
	strcpy(stpcpy(directory, mount), path);
	for (char *end = directory + start; *end;) {
		char kept;

		end += strspn(end, "/");
		end += strcspn(end, "/");
		kept = *end;
		*end = '\0';
		if (mkdir(directory, 0755) < 0 && errno != EEXIST)
			return -errno;
		*end = kept;
	}
	*ret_directory = TAKE_PTR(directory);
	return 0;
}

static int join(const char *directory)
{
	CLEANUP_CLOSE int cgroup = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_CLOSE int procs = -1;

	if (cgroup < 0)
		return -errno;
	procs = openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (procs < 0)
		return -errno;
	// "0" is whoever writes it, by whatever number its pid namespace knows it.
	return write(procs, "0", 1) < 0 ? -errno : 0;
}

int cgroup_enter(const char *mount, const char *path)
{
	CLEANUP_FREE char *directory = NULL;
	CLEANUP_FREE char *deeper = NULL;
	int error;

	if (!is_plain_path(path))
		return -EINVAL;
	error = make(mount, path, &directory);
	if (!error)
		error = join(directory);
	if (error != -EBUSY)
		return error;
	error = make(directory, "/run", &deeper);
	return error ? error : join(deeper);
}
