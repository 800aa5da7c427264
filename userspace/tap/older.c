// See older.h.
#include "tap/older.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "base/cleanup.h"

struct search {
	const uint16_t *ports;
	size_t n_ports;
	struct older *out;
	size_t n, max;
	uint32_t netns; // which the thread is in
	uint32_t seen[OLDER_NAMESPACES_MOST];
	size_t n_seen;
};

static bool is_wanted(const struct search *s, uint16_t port)
{
	for (size_t i = 0; i < s->n_ports; i++)
		if (s->ports[i] == port)
			return true;
	return false;
}

static void copy_address(uint8_t to[16], uint8_t family, const __be32 from[4])
{
	memset(to, 0, 16);
	if (family == AF_INET6) {
		memcpy(to, from, 16);
		return;
	}
	to[10] = to[11] = 0xff;
	memcpy(to + 12, from, 4);
}

static void take(struct search *s, const struct inet_diag_msg *msg)
{
	struct older *older = &s->out[s->n];

	if (s->n == s->max || !is_wanted(s, ntohs(msg->id.idiag_dport)))
		return;
	*older = (struct older){
		// sock_diag_save_cookie() gives the socket one if it has none yet.
		.cookie = (uint64_t)msg->id.idiag_cookie[1] << 32 | msg->id.idiag_cookie[0],
		.inode = msg->idiag_inode,
		.netns = s->netns,
		.uid = msg->idiag_uid,
		.family = msg->idiag_family,
		.port = ntohs(msg->id.idiag_dport),
		.local_port = ntohs(msg->id.idiag_sport),
	};
	copy_address(older->address, msg->idiag_family, msg->id.idiag_dst);
	copy_address(older->local_address, msg->idiag_family, msg->id.idiag_src);
	s->n++;
}

static int error_of(const struct nlmsghdr *header)
{
	const struct nlmsgerr *message = NLMSG_DATA(header);

	return header->nlmsg_len >= NLMSG_LENGTH(sizeof(*message)) && message->error
		       ? message->error
		       : -EPROTO;
}

// 1: more follows; 0: that was all; or -errno.
static int take_answers(struct search *s, const char *buffer, int bytes)
{
	const struct nlmsghdr *header = (const struct nlmsghdr *)buffer;

	for (; NLMSG_OK(header, bytes); header = NLMSG_NEXT(header, bytes)) {
		if (header->nlmsg_type == NLMSG_DONE)
			return 0;
		if (header->nlmsg_type == NLMSG_ERROR)
			return error_of(header);
		if (header->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
			take(s, NLMSG_DATA(header));
	}
	return 1;
}

static int dump(struct search *s, uint8_t family)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 body;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.body = {.sdiag_family = family,
			 .sdiag_protocol = IPPROTO_TCP,
			 .idiag_states = 1 << TCP_ESTABLISHED | 1 << TCP_CLOSE_WAIT},
	};
	CLEANUP_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct timeval patience = {.tv_sec = 2};
	_Alignas(struct nlmsghdr) char buffer[32768];
	int more = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
	    send(fd, &request, sizeof(request), 0) < 0)
		return -errno;
	while (more > 0) {
		ssize_t bytes = recv(fd, buffer, sizeof(buffer), 0);

		if (bytes <= 0)
			return -errno;
		more = take_answers(s, buffer, (int)bytes);
	}
	return more;
}

static bool is_new(const struct search *s, uint32_t netns)
{
	for (size_t i = 0; i < s->n_seen; i++)
		if (s->seen[i] == netns)
			return false;
	return s->n_seen < OLDER_NAMESPACES_MOST;
}

// Looks through the network namespace of a process, if that was not done yet. A process that ends
// meanwhile is none; of others in its namespace each gets its turn.
static int look_into(struct search *s, const char *pid)
{
	CLEANUP_CLOSE int fd = -1;
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%.16s/ns/net", pid);
	if (stat(path, &st) || !is_new(s, st.st_ino))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || !is_new(s, st.st_ino))
		return 0;
	s->seen[s->n_seen++] = st.st_ino;
	if (st.st_ino != s->netns && setns(fd, CLONE_NEWNET))
		return -errno;
	s->netns = st.st_ino;
	return dump(s, AF_INET) ?: dump(s, AF_INET6);
}

static void read_comm(const char *pid, char comm[SLUICE_COMM_BYTES])
{
	CLEANUP_FCLOSE FILE *file = NULL;
	char path[64], line[64] = "";

	snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	file = fopen(path, "re");
	if (file && fgets(line, sizeof(line), file))
		line[strcspn(line, "\n")] = 0;
	snprintf(comm, SLUICE_COMM_BYTES, "%.*s", SLUICE_COMM_BYTES - 1, line);
}

static int by_inode(const void *a, const void *b)
{
	uint64_t x = ((const struct older *)a)->inode, y = ((const struct older *)b)->inode;

	return x < y ? -1 : x > y;
}

// Notes the process as the owner of those of the sockets that it has open.
static void look_through_descriptors(struct search *s, const char *pid)
{
	CLEANUP_CLOSEDIR DIR *dir = NULL;
	struct dirent *entry;
	char path[64], link[64], comm[SLUICE_COMM_BYTES] = "";

	snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
		struct older key = {}, *found;

		link[n > 0 ? n : 0] = 0;
		if (sscanf(link, "socket:[%" SCNu64 "]", &key.inode) != 1)
			continue;
		found = bsearch(&key, s->out, s->n, sizeof(*s->out), by_inode);
		if (!found || found->tgid)
			continue;
		found->tgid = (uint32_t)atoi(pid);
		if (!comm[0])
			read_comm(pid, comm);
		memcpy(found->comm, comm, sizeof(comm));
	}
}

static void drop_ownerless(struct search *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n; i++)
		if (s->out[i].tgid)
			s->out[kept++] = s->out[i];
	s->n = kept;
}

int older_find(const uint16_t *ports, size_t n_ports, struct older *out, size_t max)
{
	struct search s = {.ports = ports, .n_ports = n_ports, .out = out, .max = max};
	CLEANUP_CLOSEDIR DIR *proc = opendir("/proc");
	struct dirent *entry;
	struct stat own;
	int err = 0;

	if (!proc || stat("/proc/thread-self/ns/net", &own))
		return -errno;
	s.netns = own.st_ino;
	while ((entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]))
			err = look_into(&s, entry->d_name) ?: err;
	if (!s.n)
		return err;
	qsort(out, s.n, sizeof(*out), by_inode);
	rewinddir(proc);
	while ((entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]))
			look_through_descriptors(&s, entry->d_name);
	drop_ownerless(&s);
	return (int)s.n;
}
