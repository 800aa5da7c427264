// The ACK twin: a held segment's headers as a bare ACK, sent from a raw socket in the same network
// namespace. Without it the peer retransmits what the program has long received. See target.h.
#include <errno.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include "act/target.h"

// RFC 1071, over big-endian 16-bit words; `bytes` is even.
static uint32_t sum_words(uint32_t sum, const void *data, size_t bytes)
{
	const uint8_t *p = data;

	for (; bytes > 1; bytes -= 2, p += 2)
		sum += p[0] << 8 | p[1];
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum);
}

// addresses: both, which stand side by side in either IP header.
static void make_bare_ack(struct tcphdr *tcp, size_t tcp_bytes, const void *addresses,
			  size_t address_bytes)
{
	tcp->fin = tcp->syn = tcp->rst = tcp->psh = tcp->urg = 0;
	tcp->ack = 1;
	tcp->urg_ptr = 0;
	tcp->check = 0;
	tcp->check = fold(sum_words(sum_words(IPPROTO_TCP + tcp_bytes, addresses, address_bytes),
				    tcp, tcp_bytes));
}

static int send4(uint8_t *packet, size_t bytes, struct netns *ns)
{
	struct iphdr *ip = (struct iphdr *)packet;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = ip->daddr};
	size_t ip_bytes = ip->ihl * 4;
	int fd = netns_socket(ns, &ns->raw4, AF_INET, SOCK_RAW, IPPROTO_RAW);

	if (fd < 0)
		return fd;
	if (ip_bytes < sizeof(*ip) || ip_bytes + sizeof(struct tcphdr) > bytes)
		return -EINVAL;
	ip->tot_len = htons(bytes);
	make_bare_ack((struct tcphdr *)(packet + ip_bytes), bytes - ip_bytes, &ip->saddr, 8);
	return sendto(fd, packet, bytes, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to)) < 0
		       ? -errno
		       : 0;
}

static int send6(uint8_t *packet, size_t bytes, struct netns *ns)
{
	struct ipv6hdr *ip = (struct ipv6hdr *)packet;
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = ip->daddr};
	int fd = netns_socket(ns, &ns->raw6, AF_INET6, SOCK_RAW, IPPROTO_RAW);

	if (fd < 0)
		return fd;
	if (sizeof(*ip) + sizeof(struct tcphdr) > bytes)
		return -EINVAL;
	ip->payload_len = htons(bytes - sizeof(*ip));
	make_bare_ack((struct tcphdr *)(packet + sizeof(*ip)), bytes - sizeof(*ip), &ip->saddr, 32);
	return sendto(fd, packet, bytes, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to)) < 0
		       ? -errno
		       : 0;
}

int twin_send(const struct sluice_twin *twin, struct netns *ns)
{
	uint8_t packet[SLUICE_HEADER_BYTES]; // the ring buffer is read-only

	if (!ns)
		return -ESRCH;
	if (twin->length > sizeof(packet) || twin->length < sizeof(struct iphdr))
		return -EINVAL;
	memcpy(packet, twin->headers, twin->length);
	return twin->family == AF_INET ? send4(packet, twin->length, ns)
				       : send6(packet, twin->length, ns);
}
