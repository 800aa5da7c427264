// Processes with governed flows, and the probes they need before their ClientHello may leave.
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"

struct process *process_get(struct daemon *d, uint32_t tgid, bool create)
{
	struct process *process;

	LIST_FOREACH (process, &d->processes[tgid % PROCESS_BUCKETS], in_bucket)
		if (process->tgid == tgid)
			return process;
	if (!create)
		return NULL;
	process = calloc(1, sizeof(*process));
	if (!process)
		return NULL;
	process->tgid = tgid;
	LIST_INSERT_HEAD(&d->processes[tgid % PROCESS_BUCKETS], process, in_bucket);
	d->n_processes++;
	return process;
}

// A probed process stays: its next connection finds it ready.
void process_release_if_unused(struct daemon *d, struct process *process)
{
	if (!LIST_EMPTY(&process->flows) || process->state != PROCESS_UNPROBED)
		return;
	binding_free(d, process);
	LIST_REMOVE(process, in_bucket);
	d->n_processes--;
	free(process);
}

void process_probe(struct daemon *d, struct process *process)
{
	if (process->state != PROCESS_UNPROBED)
		return;
	process->probed_ns = clock_now_ns();
	if (!attacher_attach(d->attacher, process->tgid))
		process->state = PROCESS_ATTACHING;
}

// It may have loaded another library since.
void process_probe_again(struct daemon *d, struct process *process)
{
	uint64_t now = clock_now_ns();

	if (process->state == PROCESS_PROBED &&
	    now - process->probed_ns > PROBE_AGAIN_S * NS_PER_S) {
		process->probed_ns = now;
		attacher_attach(d->attacher, process->tgid);
	}
}

static void on_child_due(evutil_socket_t fd, short what, void *tgid)
{
	struct process *process = process_get(the_daemon, (uint32_t)(uintptr_t)tgid, false);

	(void)fd, (void)what;
	if (process)
		process_probe(the_daemon, process);
}

// The child may go on with connections that its parent has opened. For those that it opens itself
// there is time at its ClientHello. Most children become another program at once, and then they are
// gone from here (SLUICE_EVENT_GONE) when this is due.
void process_forked(struct daemon *d, uint32_t parent, uint32_t child)
{
	const struct timeval wait = {.tv_usec = FORKED_MS * 1000};
	struct process *from = process_get(d, parent, false);
	struct flow *flow;

	if (from)
		LIST_FOREACH (flow, &from->flows, in_process)
			if (!flow->target.other_tgid)
				flow->target.other_tgid = child;
	if (from && !LIST_EMPTY(&from->flows) && process_get(d, child, true))
		event_base_once(d->base, -1, EV_TIMEOUT, on_child_due, (void *)(uintptr_t)child,
				&wait);
}

// It has ended, or become another program by exec: its probes go, and its number may come again.
void process_gone(struct daemon *d, uint32_t tgid)
{
	struct process *process = process_get(d, tgid, false);

	attacher_forget(d->attacher, tgid);
	if (!process)
		return;
	process->state = PROCESS_UNPROBED;
	process->n_libraries = 0;
	process_release_if_unused(d, process);
}

static bool is_alive(uint32_t tgid)
{
	CLEANUP_CLOSE int pidfd = syscall(SYS_pidfd_open, tgid, 0);
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};

	return pidfd >= 0 && poll(&ended, 1, 0) == 0;
}

// Whether it has written already, before the probes came that would have seen it.
static bool is_too_late(struct daemon *d, const struct flow *flow)
{
	struct sluice_flow seen;

	return !kernel_read_flow(d->kernel, flow->target.cookie, &seen) && seen.burst &&
	       !seen.write_end && seen.flags & SLUICE_FLOW_HELD;
}

// has_more: another library was found in a process that had been probed before.
static void go_on(struct daemon *d, struct process *process, bool has_more)
{
	struct flow *flow, *following;

	for (flow = LIST_FIRST(&process->flows); flow; flow = following) {
		following = LIST_NEXT(flow, in_process);
		if (flow->is_bound || flow->opaque_reason)
			continue;
		flow_set_timer(flow, 0);
		if (has_more && is_too_late(d, flow))
			flow_set_opaque(d, flow, "its probes were not in place in time");
		else if (process->state == PROCESS_PROBED)
			flow_push(d, flow);
		else
			flow_set_opaque(d, flow, "no TLS library with known probe points");
	}
}

static void on_result(struct daemon *d, const struct attach_result *result)
{
	struct process *process = process_get(d, result->tgid, false);
	bool was_probed, has_more;

	if (!process || process->state == PROCESS_UNPROBED) {
		attacher_forget(d->attacher, result->tgid);
		return;
	}
	was_probed = process->state == PROCESS_PROBED;
	has_more = was_probed && result->n_libraries > process->n_libraries;
	process->n_libraries = result->n_libraries;
	process->state = result->n_libraries > 0 ? PROCESS_PROBED : PROCESS_UNPROBED;
	log_debug("process %u: %d TLS libraries, %.1f ms", result->tgid, result->n_libraries,
		  result->took_ns / 1e6);
	if (process->state == PROCESS_PROBED && kernel_set_tapped(d->kernel, result->tgid, true))
		log_warning("too many probed processes: the ClientHellos of %u wait each",
			    result->tgid);
	if (!was_probed || has_more || process->state != PROCESS_PROBED)
		go_on(d, process, has_more);
	// If it ended before the kernel knew it as probed, no event tells.
	if (process->state == PROCESS_PROBED && !is_alive(result->tgid)) {
		kernel_set_tapped(d->kernel, result->tgid, false);
		process_gone(d, result->tgid);
	} else {
		process_release_if_unused(d, process);
	}
}

void daemon_on_attached(evutil_socket_t fd, short what, void *daemon)
{
	struct daemon *d = daemon;
	struct attach_result result;

	(void)fd, (void)what;
	while (attacher_result(d->attacher, &result))
		on_result(d, &result);
	daemon_govern(d);
}
