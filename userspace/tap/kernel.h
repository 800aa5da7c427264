// The kernel side of Sluice, as the daemon sees it: the programs (loaded, attached, asked whether
// they still stand), the maps (typed), and the ring buffer.
#ifndef SLUICE_TAP_KERNEL_H
#define SLUICE_TAP_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "config/policy.h"
#include "sluice/abi.h"

struct kernel;
struct bpf_link;

// Loads all programs and attaches those of the cgroup root and the process tracepoints; the gate
// holds nothing until kernel_apply() says so. On failure *ret_error is one malloc'd line that says
// what is missing and what to do, and nothing is left attached.
int kernel_open(struct kernel **ret, char **ret_error);
// Detaches. What the gate held moves on by its own timers; push it first.
void kernel_close(struct kernel *k);

// Makes the kernel side follow the policy: governed ports, hosts and addresses, mode, failure.
int kernel_apply(struct kernel *k, const struct policy *policy);
// From now on nothing is kept, whatever the maps say.
void kernel_stop_holding(struct kernel *k);
void kernel_heartbeat(struct kernel *k, uint64_t now_ns);

// Whether the kernel says now that the gate is attached and would keep a segment. If not,
// *ret_why is a static text.
bool kernel_is_enforcing(struct kernel *k, uint64_t now_ns, const char **ret_why);

struct hook_view {
	const char *name;
	bool attached;
};
// Asks the kernel about each hook. Returns how many were filled.
size_t kernel_hooks(struct kernel *k, struct hook_view *out, size_t max);
bool kernel_has_iterator(const struct kernel *k);
const char *kernel_cgroup_mount(const struct kernel *k);

// The ring buffer. `fn` is called for each event by kernel_consume().
typedef int (*kernel_event_fn)(void *ctx, void *event, size_t bytes);
int kernel_ring_open(struct kernel *k, kernel_event_fn fn, void *ctx); // its epoll fd, or -errno
int kernel_consume(struct kernel *k);                                  // events, or -errno

int kernel_set_gate(struct kernel *k, uint64_t cookie, const struct sluice_gate *gate);
int kernel_read_flow(struct kernel *k, uint64_t cookie, struct sluice_flow *ret);
// Enters a flow that the kernel has not seen the birth of. -EEXIST: it has.
int kernel_adopt_flow(struct kernel *k, uint64_t cookie, const struct sluice_flow *flow);
// Removes what the daemon and the random know of a flow, and leaves the flow itself.
void kernel_forget_past(struct kernel *k, uint64_t cookie, const uint8_t *random);
// Removes a flow from all maps: what is left of it passes.
void kernel_forget_flow(struct kernel *k, uint64_t cookie, const uint8_t *random);
int kernel_set_tapped(struct kernel *k, uint32_t tgid, bool tapped);
int kernel_set_library(struct kernel *k, uint32_t id, const struct sluice_library *library);
// What an SSL object has written under its own name. -ENOENT: nothing.
int kernel_read_session(struct kernel *k, const struct sluice_session *session,
			struct sluice_session_bytes *ret);
void kernel_forget_session(struct kernel *k, const struct sluice_session *session);
// Removes the reads that goroutines of a process were in when it ended. Any thread.
void kernel_forget_reads(struct kernel *k, uint32_t tgid);
// Runs the iterator that pushes `cookie`, in the network namespace of the calling thread.
int kernel_push_by_iterator(struct kernel *k, uint64_t cookie);

// What a probe calls: one of the programs of bpf/tls.bpf.c and bpf/gotls.bpf.c.
enum probe {
	PROBE_SSL_WRITE,
	PROBE_SSL_WRITE_EX,
	PROBE_GNUTLS_SEND,
	PROBE_GNUTLS_SEND_RANGE,
	PROBE_WRITE_RETURN,
	PROBE_GNUTLS_UNCORK,
	PROBE_GNUTLS_UNCORK_RETURN,
	PROBE_READ,
	PROBE_SSL_READ_EX,
	PROBE_READ_RETURN,
	PROBE_GO_WRITE,
	PROBE_GO_READ,
	PROBE_GO_READ_RETURN,
	PROBES,
};
// Attaches one probe at a file offset (of a function's entry, even if it is for the function's
// return; Go's are of an instruction), for one process (pid) or all (-1). NULL with errno set.
// Thread-safe.
struct bpf_link *kernel_attach_probe(struct kernel *k, enum probe probe, int pid, const char *path,
				     uint64_t offset, uint32_t library);

uint64_t kernel_count(const struct kernel *k, enum sluice_count what);
uint64_t kernel_lost(const struct kernel *k, enum sluice_loss cause);

#endif
