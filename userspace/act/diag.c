// Sockets by their cookie, over sock_diag(7): is it there, and its end (SOCK_DESTROY). See
// target.h.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include "act/target.h"

struct diag_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 diag;
};

static void fill_address(__be32 *to, const uint8_t address[16], uint16_t family)
{
	if (family == AF_INET)
		memcpy(to, address + 12, 4);
	else
		memcpy(to, address, 16);
}

static void fill(struct diag_request *r, const struct target *t, uint16_t type, uint16_t family)
{
	*r = (struct diag_request){
		.header = {.nlmsg_len = sizeof(*r),
			   .nlmsg_type = type,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.diag = {.sdiag_family = family,
			 .sdiag_protocol = IPPROTO_TCP,
			 .idiag_states = ~0U,
			 .id = {.idiag_sport = htons(t->local_port),
				.idiag_dport = htons(t->port),
				.idiag_cookie = {(uint32_t)t->cookie, t->cookie >> 32}}},
	};
	fill_address(r->diag.id.idiag_src, t->local_address, family);
	fill_address(r->diag.id.idiag_dst, t->address, family);
}

// 0: the kernel has done it, or has described the socket; -ENOENT: there is none.
static int ask(int fd, const struct diag_request *r)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char rest[2048];
	} answer;

	if (send(fd, r, sizeof(*r), 0) < 0)
		return -errno;
	for (;;) {
		ssize_t n = recv(fd, &answer, sizeof(answer), 0);

		if (n < (ssize_t)sizeof(answer.header))
			return n < 0 ? -errno : -EPROTO;
		if (answer.header.nlmsg_type == NLMSG_ERROR)
			return answer.error.error;
		// A description; the acknowledgment follows.
	}
}

static int ask_for(const struct target *t, uint16_t type)
{
	struct diag_request request;
	int fd, err;

	if (!t->netns)
		return -ESRCH;
	fd = netns_socket(t->netns, &t->netns->diag, AF_NETLINK, SOCK_DGRAM, NETLINK_SOCK_DIAG);
	if (fd < 0)
		return fd;
	fill(&request, t, type, t->family);
	err = ask(fd, &request);
	if (err == -ENOENT &&
	    t->family == AF_INET) { // an IPv6 socket connected to a v4-mapped address
		fill(&request, t, type, AF_INET6);
		err = ask(fd, &request);
	}
	return err;
}

int target_destroy(const struct target *t)
{
	return ask_for(t, SOCK_DESTROY);
}

bool target_is_gone(const struct target *t)
{
	return ask_for(t, SOCK_DIAG_BY_FAMILY) == -ENOENT;
}
