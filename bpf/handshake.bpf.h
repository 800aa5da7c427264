// What the kernel needs to know of a TLS handshake: the ClientHello's random and server name
// (RFC 8446 §4.1.2, §5.1; RFC 6066 §3).
#ifndef SLUICE_HANDSHAKE_BPF_H
#define SLUICE_HANDSHAKE_BPF_H

#include "packet.bpf.h"

enum {
	TLS_CHANGE_CIPHER_SPEC = 0x14,
	TLS_ALERT = 0x15,
	TLS_HANDSHAKE = 0x16,
	TLS_APPLICATION_DATA = 0x17,
	TLS_CLIENT_HELLO = 1,
	TLS_RECORD_BYTES = 5,
	RANDOM_AT = 11, // record header 5, handshake header 4, legacy_version 2
	SESSION_ID_AT = 43,
	MAX_EXTENSIONS = 48,
};

struct record {
	__u8 type;
	__u8 version[2];
	__u8 length[2];
};

static __always_inline int load_u8(struct __sk_buff *skb, __u32 at, __u32 *value)
{
	__u8 byte;

	if (bpf_skb_load_bytes(skb, at, &byte, 1))
		return -1;
	*value = byte;
	return 0;
}

static __always_inline int load_u16(struct __sk_buff *skb, __u32 at, __u32 *value)
{
	__u8 bytes[2];

	if (bpf_skb_load_bytes(skb, at, bytes, 2))
		return -1;
	*value = bytes[0] << 8 | bytes[1];
	return 0;
}

static __always_inline int is_client_hello(struct __sk_buff *skb, __u32 at)
{
	__u8 start[6];

	return !bpf_skb_load_bytes(skb, at, start, sizeof(start)) && start[0] == TLS_HANDSHAKE &&
	       start[1] == 3 && start[5] == TLS_CLIENT_HELLO;
}

// Finds the server_name extension. 0 with *ret_at and *ret_length set (length 0: there is none),
// or -1 where the ClientHello runs out of the segment or is malformed.
static __always_inline int find_server_name(struct __sk_buff *skb, __u32 hello, __u32 *ret_at,
					    __u32 *ret_length)
{
	__u32 at = hello + SESSION_ID_AT, n, type, end;

	*ret_length = 0;
	if (load_u8(skb, at, &n))
		return -1;
	at += 1 + n; // session id
	if (load_u16(skb, at, &n))
		return -1;
	at += 2 + n; // cipher suites
	if (load_u8(skb, at, &n))
		return -1;
	at += 1 + n; // compression methods
	if (load_u16(skb, at, &n))
		return 0; // no extensions
	at += 2;
	end = at + n;
	for (int i = 0; i < MAX_EXTENSIONS && at + 4 <= end; i++) {
		if (load_u16(skb, at, &type) || load_u16(skb, at + 2, &n))
			return -1;
		if (type == 0) { // list length 2, name type 1, name length 2
			if (load_u16(skb, at + 7, &n))
				return -1;
			*ret_at = at + 9;
			*ret_length = n;
			return 0;
		}
		at += 4 + n;
	}
	return at + 4 <= end ? -1 : 0;
}

#endif
