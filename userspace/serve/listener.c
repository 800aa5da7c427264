// The API's listening socket.
//
// Whoever can connect can reload the policy and see every flow, so the file is never, not even
// between bind() and chmod(), open to more than its owner and group: Linux gives a bound socket
// the mode that fchmod() has set on the file descriptor before (unix_bind() in net/unix/af_unix.c).
//
// A file left behind by a daemon that was killed refuses connections: only then is it replaced.
#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "serve/listener.h"

#define GROUP "sluice"
#define BACKLOG 128

static int make_parents(const char *path)
{
	CLEANUP_FREE char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return 0;
}

static int new_socket(int flags)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	return fd < 0 ? -errno : fd;
}

// Makes room at the address: 0 if nothing is there any more.
static int remove_stale(const struct sockaddr_un *address)
{
	CLEANUP_CLOSE int fd = -1;
	struct stat st;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = new_socket(SOCK_NONBLOCK);
	if (fd < 0)
		return fd;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
		return -EADDRINUSE; // EAGAIN: alive, with a full backlog
	if (errno != ECONNREFUSED && errno != ENOENT)
		return -errno;
	if (unlink(address->sun_path) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

// The group may connect; without root or without such a group the owner alone can.
static int let_group_in(const char *path)
{
	const struct group *group = getgrnam(GROUP);

	if (group && lchown(path, (uid_t)-1, group->gr_gid) < 0 && errno != EPERM)
		return -errno;
	return chmod(path, 0660) < 0 ? -errno : 0;
}

static int bind_and_listen(int fd, const struct sockaddr_un *address)
{
	int error;

	if (fchmod(fd, 0600) < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		return -errno;
	error = let_group_in(address->sun_path);
	if (!error && listen(fd, BACKLOG) < 0)
		error = -errno;
	if (error)
		unlink(address->sun_path);
	return error;
}

int listener_open(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEANUP_CLOSE int fd = -1;
	int error, ret;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	if (!*path)
		return -EINVAL;
	strcpy(address.sun_path, path);

	error = make_parents(path);
	if (!error)
		error = remove_stale(&address);
	if (error)
		return error;
	fd = new_socket(SOCK_NONBLOCK);
	if (fd < 0)
		return fd;
	error = bind_and_listen(fd, &address);
	if (error)
		return error;
	ret = fd;
	fd = -1;
	return ret;
}
