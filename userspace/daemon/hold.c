// Acting on held connections: moving the gate, pushing, keeping alive, ending them.
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"

enum { LOOK_EVERY_S = 16 };

// Up to where the plaintext of HTTP/1.1 may leave: the end of its last request in a row of admitted
// ones. Several requests written at once (pipelined) leave when the last of them may, for they
// stand in one queue.
static uint64_t grant_of_requests(const struct flow *flow)
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

// Of HTTP/2: all that was read, or the beginning of the first request that must wait. What was
// granted before stays so.
static uint64_t grant_of_frames(const struct flow *flow)
{
	const struct exchange *waiting = flow_first_waiting(flow);
	uint64_t granted =
		waiting ? waiting->request.begin : conversation_reached(flow->conversation);

	return granted > flow->granted ? granted : flow->granted;
}

static uint64_t grant_of(const struct flow *flow)
{
	if (flow->counts_bursts)
		return flow->bursts_granted;
	switch (conversation_protocol(flow->conversation)) {
	case PROTOCOL_HTTP2:
		return grant_of_frames(flow);
	case PROTOCOL_WEBSOCKET:
		return SLUICE_GRANT_ALL;
	default:
		return grant_of_requests(flow);
	}
}

// The event that says so may still stand in the ring, behind those of many others.
bool flow_is_kept(struct daemon *d, const struct flow *flow)
{
	struct sluice_flow seen;

	return !kernel_read_flow(d->kernel, flow->target.cookie, &seen) &&
	       seen.flags & SLUICE_FLOW_HELD;
}

int flow_set_gate(struct daemon *d, const struct flow *flow, enum sluice_gate_mode mode,
		  uint64_t granted)
{
	const struct sluice_gate gate = {
		.granted = granted, .unbound_end = flow->unbound_end, .mode = mode};

	return kernel_set_gate(d->kernel, flow->target.cookie, &gate);
}

void flow_update_gate(struct daemon *d, struct flow *flow, uint64_t decided_ns)
{
	enum sluice_gate_mode mode =
		flow->counts_bursts ? SLUICE_GATE_BURSTS : SLUICE_GATE_GOVERNED;
	uint64_t granted = grant_of(flow);
	bool opens = granted > flow->granted;

	if ((flow->opaque_reason && !flow->counts_bursts) || flow->is_aborted ||
	    granted == flow->granted)
		return;
	if (flow_set_gate(d, flow, mode, granted)) {
		flow_set_opaque(d, flow, "the kernel's table of flows is full");
		return;
	}
	flow->granted = granted;
	flow->released_ns = opens ? decided_ns : 0;
	if (opens && (flow->is_held || flow_is_kept(d, flow)))
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
	// Of what was written behind it, no event tells.
	flow->is_held = flow_is_kept(d, flow);
}

void flow_abort(struct daemon *d, struct flow *flow)
{
	struct exchange *exchange;
	int err = target_abort(&flow->target);

	if (err && !flow->is_bound && !flow->counts_bursts) // without a gate the kernel lets it go
		flow_set_gate(d, flow, SLUICE_GATE_GOVERNED, 0);
	flow->is_aborted = true; // the gate stays shut
	flow_set_timer(flow, 0);
	TAILQ_FOREACH (exchange, &flow->exchanges, in_flow)
		exchange_over(d, exchange,
			      (exchange->request_complete && !exchange->is_detained) ||
				      exchange->state == EXCHANGE_RESPONDING,
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
	if (refused_ns < flow->pushed_ns) // and it has been sent since
		return;
	flow->is_held = true;
	if (!flow->is_bound && !flow->opaque_reason) {
		if (!evtimer_pending(flow->timer, NULL))
			flow_set_timer(flow, UNDECIDED_MS);
		return;
	}
	// Frames that the kernel does not follow are let go when they have been read.
	flow_update_gate(d, flow, 0);
	if (flow->is_held && !flow->doomed_by && !flow_first_waiting(flow) &&
	    (flow->granted || flow->opaque_reason))
		flow_push(d, flow); // it was let go between the refusal and now
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
	if (flow->counts_bursts)
		burst_submit_if_due(d, flow);
	else if (flow->is_bound)
		flow_submit_if_due(d, flow, true);
	else if (flow->process->state == PROCESS_ATTACHING)
		flow_set_opaque(d, flow, "its probes were not in place in time");
	else if (flow->is_held) {
		process_probe_again(d, flow->process);
		flow_set_opaque(d, flow, "no probe saw its plaintext");
	}
	daemon_govern(d);
}

// As the kernel's gate has it.
static uint64_t write_end_of(const struct flow *flow, const struct sluice_flow *seen)
{
	return seen->write_end > flow->unbound_end ? seen->write_end : flow->unbound_end;
}

static bool is_all_read(const struct flow *flow, const struct sluice_flow *seen)
{
	return conversation_protocol(flow->conversation) == PROTOCOL_HTTP2 &&
	       !flow->counts_bursts && !flow_first_waiting(flow) &&
	       conversation_reached(flow->conversation) >= write_end_of(flow, seen);
}

// Something of the flow is kept although nothing of it waits, and was so a second ago: an event
// was lost. It must not wait for ever for an answer to a question nobody heard.
static bool is_forgotten(struct daemon *d, struct flow *flow)
{
	const struct exchange *waiting = flow_first_waiting(flow);
	uint64_t suspected = flow->suspect_end, end;
	struct sluice_flow seen;

	flow->suspect_end = 0;
	if ((waiting && waiting->state == EXCHANGE_QUEUED) || flow->doomed_by)
		return false;
	if (kernel_read_flow(d->kernel, flow->target.cookie, &seen) ||
	    !(seen.flags & SLUICE_FLOW_HELD))
		return false;
	if (is_all_read(flow, &seen)) { // and let go: what is kept has missed that
		flow->is_held = true;
		flow_update_gate(d, flow, 0);
		flow_push(d, flow);
		return false;
	}
	end = flow->counts_bursts ? seen.burst : write_end_of(flow, &seen);
	if (end <= flow->granted)
		return false;
	flow->suspect_end = end;
	return suspected == end;
}

// What the daemon has missed of it is found out again, if it can be.
static void recall(struct daemon *d, struct flow *flow)
{
	if (flow->counts_bursts)
		burst_take(d, flow, flow->suspect_end);
	else
		flow_set_opaque(d, flow, "what it wrote was not seen (events were lost)");
}

// A request that must wait holds all streams of its connection. Those that are being answered need
// their WINDOW_UPDATEs, and the server its PING replies.
static void mind_live_streams(struct daemon *d, struct flow *flow)
{
	struct exchange *waiting = flow_first_waiting(flow);
	bool has_live = flow_has_live_streams(flow), is_long;

	if (!waiting || waiting->state != EXCHANGE_QUEUED)
		return;
	is_long = clock_now_ns() - waiting->submitted_ns > d->policy->http2_max_hold_ns;
	if (flow->doomed_by && (!has_live || is_long)) {
		flow_abort(d, flow);
	} else if (conversation_protocol(flow->conversation) == PROTOCOL_HTTP2 &&
		   !flow->doomed_by && has_live && is_long) {
		log_debug("flow %" PRIu64 " is let go over the limit: other streams wait behind it",
			  flow->number);
		exchange_let_go(d, waiting);
		flow_submit_if_due(d, flow, false);
	}
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
	if (d->policy->mode != MODE_ENFORCE || flow->is_aborted ||
	    (flow->opaque_reason && !flow->counts_bursts))
		return;
	mind_live_streams(d, flow);
	if (is_forgotten(d, flow))
		recall(d, flow);
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
