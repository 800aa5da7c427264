// Reads the IP and TCP headers of an outgoing packet. Packets at a cgroup_skb hook start at the
// network header. IPv6 extension headers are not walked: local TCP sockets send none, and a
// packet that has them passes.
#ifndef SLUICE_PACKET_BPF_H
#define SLUICE_PACKET_BPF_H

#include "maps.bpf.h"
#include <bpf/bpf_endian.h>

#define AF_INET 2
#define AF_INET6 10

#define TCP_FLAG_FIN_BIT 0x01
#define TCP_FLAG_SYN_BIT 0x02
#define TCP_FLAG_RST_BIT 0x04

struct packet {
	__u32 header_bytes; // IP and TCP
	__u32 payload_bytes;
	__u32 seq;
	__u32 ack;
	__u16 family;
	__u16 source_port;
	__u8 flags;
	__u8 source[16]; // IPv4 as v4-mapped
};

// 0, or -1 where the packet is not plain TCP.
static __always_inline int read_packet(struct __sk_buff *skb, struct packet *p)
{
	struct tcphdr tcp;
	__u8 flags;
	__u32 at;

	if (skb->protocol == bpf_htons(0x0800)) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.protocol != IPPROTO_TCP)
			return -1;
		at = ip.ihl * 4;
		p->family = AF_INET;
		p->source[10] = p->source[11] = 0xff;
		__builtin_memcpy(p->source + 12, &ip.saddr, 4);
	} else if (skb->protocol == bpf_htons(0x86dd)) {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.nexthdr != IPPROTO_TCP)
			return -1;
		at = sizeof(ip);
		p->family = AF_INET6;
		__builtin_memcpy(p->source, &ip.saddr, 16);
	} else {
		return -1;
	}
	if (bpf_skb_load_bytes(skb, at, &tcp, sizeof(tcp)) ||
	    bpf_skb_load_bytes(skb, at + 13, &flags, 1))
		return -1;
	p->header_bytes = at + tcp.doff * 4;
	p->payload_bytes = skb->len > p->header_bytes ? skb->len - p->header_bytes : 0;
	p->seq = bpf_ntohl(tcp.seq);
	p->ack = bpf_ntohl(tcp.ack_seq);
	p->flags = flags;
	p->source_port = bpf_ntohs(tcp.source);
	return 0;
}

// Sequence numbers wrap (RFC 9293 §3.4).
static __always_inline int seq_before(__u32 a, __u32 b)
{
	return (__s32)(a - b) < 0;
}

#endif
