// See netns.h.
#include "act/netns.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/log.h"

static int open_namespace(uint32_t inode, uint32_t tgid, int *ret_fd)
{
	char path[64];
	struct stat st;
	int fd;

	*ret_fd = -1;
	if (!stat("/proc/self/ns/net", &st) && st.st_ino == inode)
		return 0;
	snprintf(path, sizeof(path), "/proc/%u/ns/net", tgid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || st.st_ino != inode) { // it moved on since, or its number is another's
		close(fd);
		return -ESTALE;
	}
	*ret_fd = fd;
	return 0;
}

struct netns *netns_get(struct netns **all, uint32_t inode, uint32_t tgid)
{
	struct netns *ns;
	int fd;

	for (ns = *all; ns; ns = ns->next)
		if (ns->inode == inode) {
			ns->users++;
			return ns;
		}
	if (open_namespace(inode, tgid, &fd))
		return NULL;
	ns = calloc(1, sizeof(*ns));
	if (!ns) {
		cleanup_close_fn(&fd);
		return NULL;
	}
	*ns = (struct netns){.inode = inode,
			     .fd = fd,
			     .raw4 = -1,
			     .raw6 = -1,
			     .diag = -1,
			     .users = 1,
			     .next = *all};
	*all = ns;
	return ns;
}

void netns_put(struct netns **all, struct netns *ns)
{
	struct netns **at = all;

	if (!ns || --ns->users)
		return;
	while (*at != ns)
		at = &(*at)->next;
	*at = ns->next;
	cleanup_close_fn(&ns->fd);
	cleanup_close_fn(&ns->raw4);
	cleanup_close_fn(&ns->raw6);
	cleanup_close_fn(&ns->diag);
	free(ns);
}

int netns_run(const struct netns *ns, int (*fn)(void *arg), void *arg)
{
	CLEANUP_CLOSE int own = -1;
	int result;

	if (ns->fd < 0)
		return fn(arg);
	own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0 || setns(ns->fd, CLONE_NEWNET))
		return -errno;
	result = fn(arg);
	if (setns(own, CLONE_NEWNET)) {
		log_error("cannot return to my own network namespace");
		abort(); // everything the daemon does next would go to the wrong place
	}
	return result;
}

struct socket_call {
	int family, type, protocol;
};

static int make_socket(void *arg)
{
	const struct socket_call *call = arg;
	int fd = socket(call->family, call->type | SOCK_CLOEXEC, call->protocol);

	return fd < 0 ? -errno : fd;
}

int netns_socket(const struct netns *ns, int *cached, int family, int type, int protocol)
{
	struct socket_call call = {family, type, protocol};

	if (*cached < 0)
		*cached = netns_run(ns, make_socket, &call);
	return *cached;
}
