// Acting on held connections: moving the gate, pushing, keeping alive, ending them.
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"

// Up to where the flow's plaintext may leave: the end of its last request in a row of admitted
// ones. Several requests written at once (pipelined) leave when the last of them may, for they
// stand in one queue.
static uint64_t grant_of(const struct flow *flow)
{
	uint64_t granted = flow->granted_by_past;
	const struct exchange *exchange;

	TAILQ_FOREACH(exchange, &flow->exchanges, in_flow) {
		if (exchange->state < EXCHANGE_ADMITTED)
			break;
		granted = exchange->request.end; // REQUEST_UNKNOWN_LENGTH is SLUICE_GRANT_ALL
	}
	return granted;
}

void flow_update_gate(struct daemon *d, struct flow *flow)
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
	if (opens && flow->is_held)
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
	int err = target_push(&flow->target);

	flow->is_held = false;
	if (!err) {
		d->n.push_pidfd++;
		return;
	}
	if (err != -ESRCH && flow->target.netns) {
		struct iterator_push push = {d, flow->target.cookie};

		err = netns_run(flow->target.netns, push_by_iterator, &push);
		if (!err) {
			d->n.push_iter++;
			return;
		}
	}
	// Its own timer sends it within some 200 ms.
	d->n.push_failed++;
	log_debug("cannot push flow %" PRIu64 ": %s", flow->number, strerror(-err));
}

void flow_abort(struct daemon *d, struct flow *flow)
{
	struct exchange *exchange;
	int err = target_abort(&flow->target);

	flow->is_aborted = true; // the gate stays shut
	flow_set_timer(flow, 0);
	TAILQ_FOREACH(exchange, &flow->exchanges, in_flow)
		exchange_over(d, exchange, exchange->state >= EXCHANGE_ADMITTED);
	if (err && err != -ESRCH && err != -ENOENT) {
		d->n.aborts_failed++;
		log_warning("cannot end the connection of process %u (%s): %s; its request is kept "
			    "back all the same", flow->born.tgid, flow->born.comm, strerror(-err));
	}
}

// The kernel has refused a segment.
void flow_on_held(struct daemon *d, struct flow *flow)
{
	bool is_waiting = !TAILQ_EMPTY(&flow->exchanges) &&
			  TAILQ_LAST(&flow->exchanges, exchange_list)->state < EXCHANGE_ADMITTED;

	flow->is_held = true;
	flow->held_ns = clock_now_ns();
	if (flow->opaque_reason || (flow->is_bound && !is_waiting && flow->granted))
		flow_push(d, flow); // it was let go between the refusal and now
	else if (!flow->is_bound && !evtimer_pending(flow->timer, NULL))
		flow_set_timer(flow, UNDECIDED_MS);
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
	else if (flow->is_held)
		flow_set_opaque(d, flow, "no probe saw its plaintext");
	daemon_govern(d);
}

// Something of the flow is kept although nothing of it waits: an event was lost. It must not wait
// for ever for an answer to a question nobody heard.
static bool is_forgotten(struct daemon *d, const struct flow *flow, uint64_t now_ns)
{
	const struct exchange *last = TAILQ_LAST(&flow->exchanges, exchange_list);
	struct sluice_flow seen;

	if (flow->opaque_reason || flow->is_aborted || !flow->is_bound ||
	    (last && last->state == EXCHANGE_QUEUED))
		return false;
	if (kernel_read_flow(d->kernel, flow->target.cookie, &seen) ||
	    !(seen.flags & SLUICE_FLOW_HELD) || seen.write_end <= flow->granted)
		return false;
	return flow->is_held ? now_ns - flow->held_ns > NS_PER_S : true;
}

static void tend(struct daemon *d, struct flow *flow, void *arg)
{
	uint64_t now_ns = *(uint64_t *)arg;

	if (d->policy->mode != MODE_ENFORCE || flow->is_aborted)
		return;
	if (is_forgotten(d, flow, now_ns)) {
		flow_set_opaque(d, flow, "what it wrote was not seen (events were lost)");
		return;
	}
	if (flow->is_held)
		target_keep_alive(&flow->target);
}

void daemon_on_second(evutil_socket_t fd, short what, void *daemon)
{
	struct daemon *d = daemon;
	uint64_t now = clock_now_ns();
	struct process *process;

	(void)fd, (void)what;
	flow_each(d, tend, &now);
	for (int i = 0; i < PROCESS_BUCKETS; i++)
		LIST_FOREACH(process, &d->processes[i], in_bucket)
			binding_sweep(d, process, now);
	attacher_tidy(d->attacher);
	daemon_govern(d);
}

static void release(struct daemon *d, struct flow *flow, void *arg)
{
	(void)arg;
	if (flow->is_held && !flow->is_aborted)
		flow_push(d, flow);
}

// Before the daemon stops: from now on the kernel keeps nothing, and what it kept is sent.
void daemon_release_all(struct daemon *d)
{
	kernel_stop_holding(d->kernel);
	flow_each(d, release, NULL);
}
