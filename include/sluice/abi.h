// The contract between the kernel programs (bpf/) and the daemon (userspace/tap/).
//
// Each map value has one writer: `sluice_flow` is the kernel's, `sluice_gate` the daemon's, so
// neither ever overwrites a field of the other's. Offsets in a connection's plaintext are
// absolute and count from its first byte, so a byte reported twice (a TLS write that is retried,
// a library probed twice) is recognised, and "may this leave?" is one comparison:
//
//     flow.write_end <= gate.granted
//
// HTTP/2 interleaves requests with frames that must not wait (PING, SETTINGS, WINDOW_UPDATE, the
// body of a request that was let through), so where the kernel can follow the frames the question
// is only whether the last request's HEADERS were let through:
//
//     flow.request_begin < gate.granted
//
// Of a flow whose plaintext is not readable (Java, rustls, stripped programs) requests are counted
// by TLS records: a burst of application data after an answer is one.
//
//     flow.burst <= gate.granted
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
#define SLUICE_MAX_PIECES 64     // chunk events of one SSL_write or SSL_read at most: 1 MB
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
// What makes the client's next data a new burst: the server has sent so much since the last. A
// response's head alone is longer; a pair of WINDOW_UPDATEs, as an upload gets them, is shorter
// (RFC 9113 section 6.9: 13 bytes, 35 as a record) ...
#define SLUICE_ANSWER_BYTES 400
// ... so much, if nothing was sent for so long ...
#define SLUICE_SHORT_ANSWER_BYTES 128
#define SLUICE_PAUSE_NS 20000000ULL
// ... or, at first, more than session tickets and SETTINGS are (RFC 8446 section 4.6.1).
#define SLUICE_FIRST_ANSWER_BYTES 1200

// flow.flags
#define SLUICE_FLOW_HELLO (1U << 0)        // its ClientHello was seen and its host is governed
#define SLUICE_FLOW_SENT (1U << 1)         // wire_end and acked are valid
#define SLUICE_FLOW_HELD (1U << 2)         // its last new segment was refused
#define SLUICE_FLOW_SHORT_PASSED (1U << 3) // its one short application-data record has passed
#define SLUICE_FLOW_EXPIRED (1U << 4)      // the daemon did not decide in time: everything passes
#define SLUICE_FLOW_CONNECT (1U << 5)      // it began with a CONNECT to a proxy (RFC 9110 §9.3.6)
#define SLUICE_FLOW_RECORD_DATA (1U << 6)  // the record that reaches to record_end is data
#define SLUICE_FLOW_RECORDS_LOST (1U << 7) // record_end is not known, until the next burst
#define SLUICE_FLOW_UNSEEN (1U << 8)       // a burst came of which no probe told

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
	// HTTP/2: plaintext offsets of the last HEADERS frame written, and of the next frame.
	__u64 request_begin;
	__u64 frame_end;
	// TLS records of what has left.
	__u64 data_bytes;     // in application-data records
	__u64 told_end;       // of write_end, what has left
	__u64 burst_ns;       // when its last segment left
	__u32 record_end;     // sequence number behind the last record begun
	__u32 burst;          // how many have begun
	__u32 burst_seq;      // where the last one began
	__u32 burst_ack;      // what its last segment acknowledged
	__u32 short_bytes;    // of short records since the last burst
	__u32 follows_frames; // it speaks HTTP/2, and frame_end is right. Not one of the flags, for
			      // those are the gate's to write, and this the probes'
};
SLUICE_ASSERT_SIZE(struct sluice_flow, 208);

enum sluice_gate_mode {
	SLUICE_GATE_GOVERNED = 1, // open up to `granted`, an offset in its plaintext
	SLUICE_GATE_PASS = 2,     // everything passes, nothing is reported
	SLUICE_GATE_BURSTS = 3,   // plaintext not readable: open for `granted` bursts
};

// Written by the daemon only. A flow that has none is undecided.
struct sluice_gate {
	__u64 granted; // up to where bytes may leave: see above
	// What was written before the kernel could name the flow of its session (map `unbound`),
	// and is not in flow.write_end until the next write.
	__u64 unbound_end;
	__u32 mode;
	__u32 padding;
};
SLUICE_ASSERT_SIZE(struct sluice_gate, 24);

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
	__u64 read;
};
SLUICE_ASSERT_SIZE(struct sluice_session_bytes, 32);

enum sluice_event_type {
	SLUICE_EVENT_HELLO = 1,  // struct sluice_hello
	SLUICE_EVENT_CHUNK = 2,  // struct sluice_chunk and its data
	SLUICE_EVENT_HELD = 3,   // struct sluice_event: the first new segment was refused
	SLUICE_EVENT_TWIN = 4,   // struct sluice_twin: a refused segment carried an ACK
	SLUICE_EVENT_CLOSED = 5, // struct sluice_event: the program closed the socket
	SLUICE_EVENT_GONE = 6, // struct sluice_event: the process `cookie` has ended or called exec
	SLUICE_EVENT_BURST = 7,  // struct sluice_event: burst `number` begins, of a flow that is
				 // governed by bursts, or of one whose probes did not tell of it
	SLUICE_EVENT_FORKED = 8, // struct sluice_event: the probed process `number`, or one of
				 // its family, has forked the process `cookie`
};

struct sluice_event {
	__u32 type;
	__u32 number;  // of SLUICE_EVENT_BURST and SLUICE_EVENT_FORKED
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
SLUICE_ASSERT_SIZE(struct sluice_hello, 24 + 208 + 24 + 128);

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

// Names a goroutine of a Go program while it is in a read.
struct sluice_goroutine {
	__u64 g; // its address in the process
	__u64 tgid;
};
SLUICE_ASSERT_SIZE(struct sluice_goroutine, 16);

#endif
