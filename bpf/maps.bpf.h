// The maps and global data that the kernel programs share with each other and with the daemon.
//
// __weak: each object that includes this defines them, and linking (bpftool gen object) makes
// them one.
#ifndef SLUICE_MAPS_BPF_H
#define SLUICE_MAPS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "sluice/abi.h"

#define MAX_FLOWS 65536
#define RING_BYTES (8 << 20) // eight of the largest writes (SLUICE_MAX_PIECES)

// socket cookie → flow. Written at connect() and by every program; read by the daemon, which
// deletes a governed flow after its end (others go at sock_release). Full: the connection passes
// unseen, counted as SLUICE_LOST_FLOWS_FULL. Not an LRU map: those evict live entries.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_FLOWS);
	__type(key, __u64);
	__type(value, struct sluice_flow);
} flows SEC(".maps") __weak;

// socket cookie → gate. Written by the daemon only. Full: the daemon cannot enter the flow, which
// then passes after SLUICE_UNDECIDED_NS and is counted as expired.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_FLOWS);
	__type(key, __u64);
	__type(value, struct sluice_gate);
} gates SEC(".maps") __weak;

// client random → socket cookie. Written when a ClientHello leaves; read by the TLS probes;
// deleted by the daemon with the flow. Full: as `flows`.
struct random_key {
	__u8 bytes[SLUICE_RANDOM_BYTES];
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_FLOWS);
	__type(key, struct random_key);
	__type(value, __u64);
} by_random SEC(".maps") __weak;

// Names of governed hosts, lower case, zero-padded; a wildcard "*.x.y" stands as ".x.y". Written
// by the daemon from the policy; read at each ClientHello.
struct host_key {
	char name[SLUICE_HOST_BYTES];
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct host_key);
	__type(value, __u32);
} hosts SEC(".maps") __weak;

// Governed addresses, IPv4 as v4-mapped. As `hosts`.
struct address_key {
	__u8 bytes[16];
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct address_key);
	__type(value, __u32);
} addresses SEC(".maps") __weak;

// tgid → 1: the TLS libraries of this process are probed, so its ClientHellos need not wait.
// Written by the daemon; deleted at exec and exit. Full: those processes' ClientHellos wait each.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u32);
} tapped SEC(".maps") __weak;

// tgid of a process that a probed one has forked → tgid of the first of the family. Written at
// fork, deleted at exec and exit. Full: the child's use of its parent's connections is not seen.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u32);
} families SEC(".maps") __weak;

// probe cookie → layout of that library's SSL object. Written by the daemon.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLUICE_MAX_LIBRARIES);
	__type(key, __u32);
	__type(value, struct sluice_library);
} libraries SEC(".maps") __weak;

// SSL objects met before their library was learned. Written by the TLS probes, which move the
// counts to the flow as soon as they can name it; swept by the daemon. Full: the session's flow
// cannot be bound and becomes opaque.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct sluice_session);
	__type(value, struct sluice_session_bytes);
} unbound SEC(".maps") __weak;

// The SSL_write or SSL_read that a thread is in. Per task, so that a preempted probe cannot meet
// another thread's, and gone with the task.
struct call {
	__u64 ssl;
	__u64 buffer;
	__u64 length_pointer; // of the _ex functions, which give the length through it; else 0
	__u64 cookie;         // of the flow; 0: unbound
	__u64 start;          // plaintext offset at which a write begins
	__u64 length;         // of a write, as far as it was told when it began
	__u32 library;
	__u32 under_way; // SLUICE_WRITE + 1, SLUICE_READ + 1, or 0
	__u32 uncorking; // it is within gnutls_record_uncork(), which calls gnutls_record_send()
	__u32 padding;
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct call);
} calls SEC(".maps") __weak;

// Kernel → daemon. Full: the event is lost and counted.
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_BYTES);
} events SEC(".maps") __weak;

// Sockets that the daemon wants pushed by the iterator (its fallback). Written by the daemon.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u32);
} to_push SEC(".maps") __weak;

// From the daemon: a bit for each governed port; the time of its last heartbeat; enum sluice_mode;
// whether a stale heartbeat shuts the gates (on_daemon_failure: closed).
__u8 governed_ports[65536 / 8] __weak;
__u64 heartbeat_ns __weak;
__u32 mode __weak;
__u32 shut_on_failure __weak;

// To the daemon.
__u64 lost[SLUICE_LOSSES] __weak;
__u64 counts[SLUICE_COUNTS] __weak;

static __always_inline void count_lost(enum sluice_loss cause)
{
	__sync_fetch_and_add(&lost[cause], 1);
}

static __always_inline void count(enum sluice_count what)
{
	__sync_fetch_and_add(&counts[what], 1);
}

static __always_inline int is_governed_port(__u16 port)
{
	return governed_ports[port >> 3] & (1 << (port & 7));
}

#endif
