// Acting on held connections: moving the gate, pushing, keeping alive, ending them.
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"

enum { LOOK_EVERY_S = 16 };

// Up to where the flow's plaintext may leave: the end of its last request in a row of admitted
// ones. Several requests written at once (pipelined) leave when the last of them may, for they
// stand in one queue.
static uint64_t grant_of(const struct flow *flow)
{
	uint64_t granted = flow->granted_by_past;
	const struct exchange *exchange;

	TAILQ_FOREACH (exchange, &flow->exchanges, in_flow) {
		if (exchange->state < EXCHANGE_ADMITTED)
			break;
		granted = exchange->request.end; // REQUEST_UNKNOWN_LENGTH is SLUICE_GRANT_ALL
	}
	return granted;
}

// The event that says so may still stand in the ring, behind those of many others.
static bool is_kept_by_kernel(struct daemon *d, const struct flow *flow)
{
	struct sluice_flow seen;

	return !kernel_read_flow(d->kernel, flow->target.cookie, &seen) &&
	       seen.flags & SLUICE_FLOW_HELD;
}

void flow_update_gate(struct daemon *d, struct flow *flow, uint64_t decided_ns)
{
	uint64_t granted = grant_of(flow);
	bool opens = granted > flow->granted;

	if (flow->opaque_reason || flow->is_aborted || granted == flow->granted)
		return;
	if (kernel_set_gate(d->kernel, flow->target.cookie, SLUICE_GATE_GOVERNED, granted)) {
		flow_set_opaque(d, flow, "the kernel's table of flows is full");
		return;
	}
	flow->granted = granted;
	flow->released_ns = opens ? decided_ns : 0;
	if (opens && (flow->is_held || is_kept_by_kernel(d, flow)))
		flow_push(d, flow);
}

struct iterator_push {
	struct daemon *d;
	uint64_t cookie;
};

static int push_by_iterator(void *arg)
{
	const struct iterator_push *push = arg;

	return kernel_push_by_iterator(push->d->kernel, push->cookie);
}

void flow_push(struct daemon *d, struct flow *flow)
{
	int err;

	flow->is_held = false;
	flow->pushed_ns = clock_now_ns(); // what is refused from now on is another matter
	err = target_push(&flow->target);
	d->n.push_pidfd += !err;
	if (err &&
	    flow->target.netns) { // Yama forbids it, or the program has given the socket away
		struct iterator_push push = {d, flow->target.cookie};

		err = netns_run(flow->target.netns, push_by_iterator, &push);
		d->n.push_iter += !err;
	}
	if (err) { // its own timer sends it within some 200 ms
		d->n.push_failed++;
		log_debug("cannot push flow %" PRIu64 ": %s", flow->number, strerror(-err));
	} else if (flow->released_ns) {
		samples_add(&d->release_times, clock_now_ns() - flow->released_ns);
	}
	flow->released_ns = 0;
}

void flow_abort(struct daemon *d, struct flow *flow)
{
	struct exchange *exchange;
	int err = target_abort(&flow->target);

	flow->is_aborted = true; // the gate stays shut
	flow_set_timer(flow, 0);
	TAILQ_FOREACH (exchange, &flow->exchanges, in_flow)
		exchange_over(d, exchange,
			      exchange->request_complete || exchange->state == EXCHANGE_RESPONDING,
			      NULL);
	flow->abort_failed = err && err != -ESRCH && err != -ENOENT;
	if (flow->abort_failed) {
		d->n.aborts_failed++;
		log_warning("cannot end the connection of process %u (%s): %s; its request is kept "
			    "back all the same",
			    flow->born.tgid, flow->born.comm, strerror(-err));
	}
}

// The kernel has refused a segment, at refused_ns.
void flow_on_held(struct daemon *d, struct flow *flow, uint64_t refused_ns)
{
	bool is_waiting = !TAILQ_EMPTY(&flow->exchanges) &&
			  TAILQ_LAST(&flow->exchanges, exchange_list)->state < EXCHANGE_ADMITTED;

	if (refused_ns < flow->pushed_ns) // and it has been sent since
		return;
	flow->is_held = true;
	if (flow->opaque_reason || (flow->is_bound && !is_waiting && flow->granted))
		flow_push(d, flow); // it was let go between the refusal and now
	else if (!flow->is_bound && !evtimer_pending(flow->timer, NULL))
		flow_set_timer(flow, UNDECIDED_MS);
}

// Most flows are let go within a millisecond, and their data carries the ACK after all: only for
// one that stays held is the ACK sent alone.
void flow_keep_twin(struct daemon *d, struct flow *flow, const struct sluice_twin *twin)
{
	struct timeval wait = {.tv_usec = TWIN_AFTER_MS * 1000};

	flow->twin = *twin;
	if (!flow->has_twin)
		STAILQ_INSERT_TAIL(&d->twins, flow, in_twins);
	flow->has_twin = true;
	if (!evtimer_pending(d->twin_timer, NULL))
		evtimer_add(d->twin_timer, &wait);
}

void daemon_on_twin_timer(evutil_socket_t fd, short what, void *daemon)
{
	struct daemon *d = daemon;
	struct flow *flow;

	(void)fd, (void)what;
	while ((flow = STAILQ_FIRST(&d->twins))) {
		STAILQ_REMOVE_HEAD(&d->twins, in_twins);
		flow->has_twin = false;
		if (!flow->is_held)
			continue;
		if (twin_send(&flow->twin, flow->target.netns))
			d->n.twins_failed++;
		else
			d->n.twins_sent++;
	}
}

// 0: no timer.
void flow_set_timer(struct flow *flow, unsigned ms)
{
	struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	if (ms)
		evtimer_add(flow->timer, &wait);
	else
		evtimer_del(flow->timer);
}

void flow_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct flow *flow = arg;
	struct daemon *d = the_daemon;

	(void)fd, (void)what;
	if (flow->is_bound)
		exchange_submit_if_due(d, flow, true);
	else if (flow->process->state == PROCESS_ATTACHING)
		flow_set_opaque(d, flow, "its probes were not in place in time");
	else if (flow->is_held) {
		flow_set_opaque(d, flow, "no probe saw its plaintext");
		process_probe_again(d, flow->process);
	}
	daemon_govern(d);
}

// Something of the flow is kept although nothing of it waits, and was so a second ago: an event
// was lost. It must not wait for ever for an answer to a question nobody heard.
static bool is_forgotten(struct daemon *d, struct flow *flow)
{
	const struct exchange *last = TAILQ_LAST(&flow->exchanges, exchange_list);
	uint64_t suspected = flow->suspect_end;
	struct sluice_flow seen;

	flow->suspect_end = 0;
	if (last && last->state == EXCHANGE_QUEUED)
		return false;
	if (kernel_read_flow(d->kernel, flow->target.cookie, &seen) ||
	    !(seen.flags & SLUICE_FLOW_HELD) || seen.write_end <= flow->granted)
		return false;
	flow->suspect_end = seen.write_end;
	return suspected == seen.write_end;
}

// Both must say so: sock_diag does not find a socket bound to a device, and a process may have
// given its socket to another.
static bool is_gone(struct flow *flow)
{
	CLEANUP_CLOSE int fd = target_borrow(&flow->target);

	return fd == -ESRCH && target_is_gone(&flow->target);
}

static void tend(struct daemon *d, struct flow *flow, void *arg)
{
	(void)arg;
	// The event of its end may have been lost: each flow is looked for in turn.
	if (flow->number % LOOK_EVERY_S == d->n_seconds % LOOK_EVERY_S && is_gone(flow)) {
		flow_end(d, flow);
		return;
	}
	if (flow->abort_failed)
		flow_abort(d, flow);
	if (d->policy->mode != MODE_ENFORCE || flow->is_aborted || flow->opaque_reason)
		return;
	if (is_forgotten(d, flow))
		flow_set_opaque(d, flow, "what it wrote was not seen (events were lost)");
	else if (flow->is_held)
		target_keep_alive(&flow->target);
}

void daemon_on_second(evutil_socket_t fd, short what, void *daemon)
{
	struct daemon *d = daemon;
	uint64_t now = clock_now_ns();
	struct process *process;

	(void)fd, (void)what;
	d->n_seconds++;
	flow_each(d, tend, NULL);
	for (int i = 0; i < PROCESS_BUCKETS; i++)
		LIST_FOREACH (process, &d->processes[i], in_bucket)
			binding_sweep(d, process, now);
	attacher_tidy(d->attacher);
	memory_save(d);
	daemon_govern(d);
}

static void release(struct daemon *d, struct flow *flow, void *arg)
{
	(void)arg;
	if (flow->is_held && !flow->is_aborted)
		flow_push(d, flow);
}

// When the kernel keeps nothing any more: what it has kept is sent.
void daemon_release_all(struct daemon *d)
{
	flow_each(d, release, NULL);
}
