// Borrowing a program's socket. See target.h.
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include "act/target.h"
#include "base/cleanup.h"

static bool is_socket(int fd, uint64_t cookie)
{
	uint64_t found = 0;
	socklen_t bytes = sizeof(found);

	return !getsockopt(fd, SOL_SOCKET, SO_COOKIE, &found, &bytes) && found == cookie;
}

static int try_number(const struct target *t, int pidfd, int number)
{
	int fd = syscall(SYS_pidfd_getfd, pidfd, number, 0);

	if (fd < 0)
		return -errno;
	if (is_socket(fd, t->cookie))
		return fd;
	close(fd);
	return -EBADF;
}

// Looks through the process's descriptors. Once per connection: the number is kept.
static int search_numbers(struct target *t, uint32_t tgid, int pidfd)
{
	CLEANUP_CLOSEDIR DIR *dir = NULL;
	struct dirent *entry;
	char path[64], link[32];

	snprintf(path, sizeof(path), "/proc/%u/fd", tgid);
	dir = opendir(path);
	if (!dir)
		return -ESRCH;
	while ((entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
		int fd;

		if (n < 8 || memcmp(link, "socket:", 7))
			continue;
		fd = try_number(t, pidfd, atoi(entry->d_name));
		if (fd == -EPERM)
			return fd;
		if (fd >= 0) {
			t->fd_number = atoi(entry->d_name);
			return fd;
		}
	}
	return -ESRCH;
}

static int borrow_from(struct target *t, uint32_t tgid)
{
	CLEANUP_CLOSE int pidfd = syscall(SYS_pidfd_open, tgid, 0);
	int fd = -EBADF;

	if (pidfd < 0)
		return -errno;
	if (t->fd_number >= 0)
		fd = try_number(t, pidfd, t->fd_number);
	if (fd >= 0 || fd == -EPERM)
		return fd;
	return search_numbers(t, tgid, pidfd);
}

int target_borrow(struct target *t)
{
	uint32_t first = t->tgid, other = t->other_tgid;
	int fd = borrow_from(t, first);

	if (fd >= 0 || fd == -EPERM || !other)
		return fd;
	fd = borrow_from(t, other);
	if (fd >= 0) { // the next search begins there
		t->tgid = other;
		t->other_tgid = first;
	}
	return fd;
}

bool target_can_borrow(const char **ret_why)
{
	CLEANUP_FCLOSE FILE *yama = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
	CLEANUP_CLOSE int self = syscall(SYS_pidfd_open, getpid(), 0);
	int scope = 0, fd;

	*ret_why = NULL;
	if (yama && fscanf(yama, "%d", &scope) == 1 && scope >= 3)
		*ret_why = "kernel.yama.ptrace_scope is 3";
	// A process may always borrow from itself, so a refusal is a system call filter's.
	fd = syscall(SYS_pidfd_getfd, self, STDERR_FILENO, 0);
	if (fd >= 0)
		close(fd);
	else if (errno == EPERM || errno == ENOSYS)
		*ret_why = "the system call pidfd_getfd is filtered or missing";
	return !*ret_why;
}
