// See aside.h. The log goes with the file, under the name by which SQLite finds it there; the log's
// index is made from it at will.
#include "store/aside.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/log.h"

bool aside_is_broken(const char *path, int err)
{
	struct stat st;

	switch (-err) {
	case EUCLEAN:
	case EIO:
	case EACCES:
	case EPERM:
	case EISDIR:
	case ELOOP:
	case ENXIO:
	case ENODEV:
		return !lstat(path, &st);
	default: // no room, no memory, no descriptors, read-only, in use: not its fault
		return false;
	}
}

static void free_name(char *name, size_t size, const char *path)
{
	long long unix_s = time(NULL);
	struct stat st;

	do
		snprintf(name, size, "%s.broken-%lld", path, unix_s++);
	while (!lstat(name, &st));
}

static void move_beside(const char *path, const char *to, const char *suffix)
{
	char old[PATH_MAX + 16], new[PATH_MAX + 64];

	snprintf(old, sizeof(old), "%s%s", path, suffix);
	snprintf(new, sizeof(new), "%s%s", to, suffix);
	if (rename(old, new) && errno != ENOENT)
		log_warning("cannot move %s aside", old);
}

int aside_move(const char *path, const char *why)
{
	char to[PATH_MAX + 32], index[PATH_MAX + 16];

	free_name(to, sizeof(to), path);
	if (rename(path, to))
		return -1;
	move_beside(path, to, "-wal");
	move_beside(path, to, "-journal");
	snprintf(index, sizeof(index), "%s-shm", path);
	unlink(index);
	log_warning("%s %s: moved to %s and begun anew; what was used of the limits before is "
		    "forgotten",
		    path, why, to);
	return 0;
}
