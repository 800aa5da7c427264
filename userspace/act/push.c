// Push, keep-alive, abort and a look at the send buffer: a system call or two each on a borrowed
// descriptor. See target.h.
#include <errno.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "act/target.h"
#include "base/cleanup.h"

static int get_int(int fd, int level, int option)
{
	int value = 0;
	socklen_t bytes = sizeof(value);

	return getsockopt(fd, level, option, &value, &bytes) ? 0 : value;
}

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

int target_push(struct target *t)
{
	CLEANUP_CLOSE int fd = target_borrow(t);
	int was_corked, err;

	if (fd < 0)
		return fd;
	was_corked = get_int(fd, IPPROTO_TCP, TCP_CORK);
	err = set_int(fd, IPPROTO_TCP, TCP_CORK, 0); // calls tcp_push_pending_frames()
	if (was_corked)
		set_int(fd, IPPROTO_TCP, TCP_CORK, 1);
	return err;
}

int target_keep_alive(struct target *t)
{
	CLEANUP_CLOSE int fd = target_borrow(t);
	int was_reusable, err;

	if (fd < 0)
		return fd;
	// Repair mode off, when it is off, sends a window probe (do_tcp_setsockopt()); it also
	// clears SO_REUSEADDR.
	was_reusable = get_int(fd, SOL_SOCKET, SO_REUSEADDR);
	err = set_int(fd, IPPROTO_TCP, TCP_REPAIR, 0);
	if (was_reusable)
		set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	return err;
}

int64_t target_unsent(struct target *t)
{
	CLEANUP_CLOSE int fd = target_borrow(t);
	int bytes;

	if (fd < 0)
		return fd;
	return ioctl(fd, SIOCOUTQNSD, &bytes) ? -errno : bytes; // tcp_ioctl()
}

bool target_is_full(struct target *t)
{
	CLEANUP_CLOSE int fd = target_borrow(t);
	uint32_t memory[SK_MEMINFO_VARS] = {};
	socklen_t bytes = sizeof(memory);

	// As sk_stream_memory_free() has it.
	return fd >= 0 && !getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &bytes) &&
	       memory[SK_MEMINFO_WMEM_QUEUED] >= memory[SK_MEMINFO_SNDBUF];
}

int target_abort(struct target *t)
{
	static const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
	CLEANUP_CLOSE int fd = target_borrow(t);

	if (fd >= 0 && !connect(fd, &nowhere, sizeof(nowhere))) // tcp_disconnect()
		return 0;
	return target_destroy(t);
}
