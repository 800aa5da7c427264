// The contract between the kernel programs (bpf/) and the daemon (userspace/tap/).
//
// Each map value has one writer: `sluice_flow` is the kernel's, `sluice_gate` the daemon's, so
// neither ever overwrites a field of the other's. Offsets in a connection's plaintext are
// absolute and count from its first byte, so a byte reported twice (a TLS write that is retried,
// a library probed twice) is recognised, and "may this leave?" is one comparison:
//
//     flow.write_end <= gate.granted
#ifndef SLUICE_ABI_H
#define SLUICE_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define SLUICE_ASSERT_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)

#define SLUICE_HOST_BYTES 128   // a host name with its NUL, lower case
#define SLUICE_RANDOM_BYTES 32  // RFC 8446 §4.1.2
#define SLUICE_COMM_BYTES 16    // TASK_COMM_LEN
#define SLUICE_HEADER_BYTES 120 // IPv4 or IPv6 and TCP headers with all options
#define SLUICE_MAX_LIBRARIES 256
#define SLUICE_PIECE_BYTES 16384 // plaintext in one chunk event at most
#define SLUICE_MAX_PIECES 16     // chunk events of one SSL_write or SSL_read at most
#define SLUICE_OBJECT_BYTES 2048 // of an SSL object
#define SLUICE_GRANT_ALL (~0ULL) // "until told otherwise"
#define SLUICE_NO_POINTER (~0U)
// How long a ClientHello waits for its process to be probed, at most. Some 10 ms is usual; while
// probes of dead processes are taken out, each step waits for an RCU grace period and 0.3 s was
// seen.
#define SLUICE_HELLO_NS 1000000000ULL
// How long application data waits for its plaintext to be seen.
#define SLUICE_UNDECIDED_NS 200000000ULL
#define SLUICE_HEARTBEAT_STALE_NS 1000000000ULL

// flow.flags
#define SLUICE_FLOW_HELLO (1U << 0)        // its ClientHello was seen and its host is governed
#define SLUICE_FLOW_SENT (1U << 1)         // wire_end and acked are valid
#define SLUICE_FLOW_HELD (1U << 2)         // its last new segment was refused
#define SLUICE_FLOW_SHORT_PASSED (1U << 3) // its one short application-data record has passed
#define SLUICE_FLOW_EXPIRED (1U << 4)      // the daemon did not decide in time: everything passes

// One TCP connection to a governed port. Written by the kernel programs only.
struct sluice_flow {
	__u64 born_ns;      // CLOCK_MONOTONIC, at connect()
	__u64 undecided_ns; // when a segment first waited for the daemon to know the flow; 0: never
	__u64 cgroup_id;
	__u64 written;   // plaintext bytes that the TLS library has accepted
	__u64 write_end; // `written` plus the bytes of a write under way
	__u64 read;      // plaintext bytes that the program has read
	__u32 tgid;
	__u32 uid;
	__u32 flags;
	__u32 wire_end;      // TCP sequence number behind the last byte that left
	__u32 acked;         // newest acknowledgment number that left
	__u32 handshake_end; // sequence number behind the last TLS handshake record let pass
	__u8 address[16];    // remote, IPv4 as v4-mapped IPv6 (RFC 4291 §2.5.5.2)
	__u16 port;          // remote, host byte order
	__u16 family;        // AF_INET or AF_INET6, of the packets
	__u32 netns;         // inode of its network namespace
	__u8 random[SLUICE_RANDOM_BYTES];
	char comm[SLUICE_COMM_BYTES];
};
SLUICE_ASSERT_SIZE(struct sluice_flow, 144);

enum sluice_gate_mode {
	SLUICE_GATE_GOVERNED = 1, // open up to `granted`
	SLUICE_GATE_OPAQUE = 2,   // not understood: everything passes, nothing is reported
};

// Written by the daemon only. A flow that has none is undecided.
struct sluice_gate {
	__u64 granted; // plaintext offset up to which bytes may leave
	__u32 mode;
	__u32 padding;
};
SLUICE_ASSERT_SIZE(struct sluice_gate, 16);

// Where a TLS library keeps the client random in its SSL object. Written by the daemon, which
// found it by searching the memory of a live connection; indexed by the probe's cookie.
struct sluice_library {
	__u32 learned;
	__u32 pointer_offset; // of the pointer to follow from the SSL object; SLUICE_NO_POINTER:
			      // none
	__u32 random_offset;
	__u32 padding;
};
SLUICE_ASSERT_SIZE(struct sluice_library, 16);

// Names an SSL object while its library's layout is not learned yet.
struct sluice_session {
	__u64 ssl;
	__u64 tgid;
};
SLUICE_ASSERT_SIZE(struct sluice_session, 16);

struct sluice_session_bytes {
	__u64 since_ns; // of its first write: addresses are used again
	__u64 written;
	__u64 write_end;
};
SLUICE_ASSERT_SIZE(struct sluice_session_bytes, 24);

enum sluice_event_type {
	SLUICE_EVENT_HELLO = 1,  // struct sluice_hello
	SLUICE_EVENT_CHUNK = 2,  // struct sluice_chunk and its data
	SLUICE_EVENT_HELD = 3,   // struct sluice_event: the first new segment was refused
	SLUICE_EVENT_TWIN = 4,   // struct sluice_twin: a refused segment carried an ACK
	SLUICE_EVENT_CLOSED = 5, // struct sluice_event: the program closed the socket
	SLUICE_EVENT_GONE = 6, // struct sluice_event: the process `cookie` has ended or called exec
};

struct sluice_event {
	__u32 type;
	__u32 padding;
	__u64 cookie;  // socket cookie; 0: not known yet
	__u64 time_ns; // CLOCK_MONOTONIC
};
SLUICE_ASSERT_SIZE(struct sluice_event, 24);

struct sluice_hello {
	struct sluice_event event;
	struct sluice_flow flow;
	__u32 held;       // the ClientHello waits until the daemon has put probes into the process
	__u16 local_port; // host byte order
	__u16 padding;
	__u8 local_address[16];
	char host[SLUICE_HOST_BYTES]; // from SNI; "" where there is none
};
SLUICE_ASSERT_SIZE(struct sluice_hello, 24 + 144 + 24 + 128);

// SLUICE_OBJECT: not plaintext but the beginning of the SSL object, sent ahead of the first write
// under an unlearned layout, so that the daemon can search it without the right to ptrace.
enum sluice_direction { SLUICE_WRITE = 0, SLUICE_READ = 1, SLUICE_OBJECT = 2 };

struct sluice_chunk {
	struct sluice_event event;
	__u64 ssl;
	__u64 offset;  // of data[0] in the plaintext of this direction
	__u64 skipped; // bytes behind `length` that were not captured
	__u32 tgid;
	__u32 library;
	__u32 length; // bytes in data
	__u32 direction;
	__u8 data[];
};
SLUICE_ASSERT_SIZE(struct sluice_chunk, 64);

struct sluice_twin {
	struct sluice_event event;
	__u32 length;
	__u32 family;
	__u8 headers[SLUICE_HEADER_BYTES + 8]; // room that lets a masked length be proved in bounds
};
SLUICE_ASSERT_SIZE(struct sluice_twin, 160);

// Why something was not seen. Each is counted; none is lost without a word.
enum sluice_loss {
	SLUICE_LOST_RING_FULL,
	SLUICE_LOST_FAULT,      // the program's memory was not resident
	SLUICE_LOST_FLOWS_FULL, // map `flows` or `by_random` full: the connection passes unseen
	SLUICE_LOST_CALLS,      // no task storage for a call under way
	SLUICE_LOST_HELLO,      // a ClientHello that could not be parsed
	SLUICE_LOSSES,
};

// What the kernel counts for people to see.
enum sluice_count {
	SLUICE_COUNT_REFUSED_SEGMENTS,
	SLUICE_COUNT_PROBE_HITS,
	SLUICE_COUNT_EXPIRED_FLOWS,
	SLUICE_COUNT_NOT_TLS, // connections to a governed port that do not begin with a ClientHello
	SLUICE_COUNTS,
};

// What the daemon tells the kernel programs, and they it, through the object's global data.
enum sluice_mode {
	SLUICE_MODE_OFF = 0,     // everything passes: the daemon is starting or stopping
	SLUICE_MODE_OBSERVE = 1, // only ClientHellos wait, until their process is probed
	SLUICE_MODE_ENFORCE = 2,
};

#endif
