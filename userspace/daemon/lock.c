// See lock.h. A killed daemon's locks are released last of all, so its number is in the file, and
// a file whose owner is exiting is replaced.
#include "daemon/lock.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/log.h"

enum { FLAG_EXITING = 4 }; // PF_EXITING, include/linux/sched.h

// proc(5): /proc/PID/stat, the fields behind the command's name.
static bool is_exiting(int pid)
{
	CLEANUP_FCLOSE FILE *file = NULL;
	char path[64], line[1024], state, *behind_name;
	unsigned flags;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return true;
	if (!fgets(line, sizeof(line), file))
		return false;
	behind_name = strrchr(line, ')');
	return behind_name &&
	       sscanf(behind_name + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) == 2 &&
	       (state == 'Z' || state == 'X' || flags & FLAG_EXITING);
}

static int owner_of(int fd)
{
	char text[16] = "";

	return pread(fd, text, sizeof(text) - 1, 0) > 0 ? atoi(text) : 0;
}

static int open_locked(const char *path, int *ret_owner)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640), err;

	*ret_owner = 0;
	if (fd < 0)
		return -errno;
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return fd;
	err = -errno;
	*ret_owner = owner_of(fd);
	close(fd);
	return err;
}

int state_lock(const char *dir, bool *ret_is_heir)
{
	char path[PATH_MAX];
	int fd, owner;

	*ret_is_heir = false;
	if (mkdir(dir, 0750) && errno != EEXIST) {
		int err = -errno;

		log_error("cannot make the state directory %s: %s; give another with --state-dir",
			  dir, strerror(-err));
		return err;
	}
	snprintf(path, sizeof(path), "%s/lock", dir);
	fd = open_locked(path, &owner);
	if (fd == -EWOULDBLOCK && owner > 0 && is_exiting(owner)) {
		*ret_is_heir = true;
		unlink(path);
		fd = open_locked(path, &owner);
	}
	if (fd == -EWOULDBLOCK)
		log_error("another sluiced (pid %d) is using %s: stop it first, or give another "
			  "--state-dir",
			  owner, dir);
	else if (fd < 0)
		log_error("cannot lock %s: %s", path, strerror(-fd));
	if (fd >= 0 && (ftruncate(fd, 0) || dprintf(fd, "%d\n", getpid()) < 0))
		log_warning("cannot write to %s: %s", path, strerror(errno));
	return fd;
}
