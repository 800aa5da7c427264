// The kernel's events, in the order in which they happened, each handed to the part it concerns.
#include <errno.h>
#include "base/clock.h"
#include "daemon/daemon.h"

static void on_chunk(struct daemon *d, const struct sluice_chunk *chunk)
{
	struct flow *flow = chunk->event.cookie ? flow_find(d, chunk->event.cookie) : NULL;

	if (!chunk->event.cookie) {
		binding_take(d, chunk);
	} else if (flow) {
		if (!flow->is_bound)
			flow_bind(d, flow, library_get(d->registry, chunk->library));
		flow_take(d, flow, chunk);
	}
}

// The event of its birth was lost.
static void forget_unknown(struct daemon *d, uint64_t cookie)
{
	struct sluice_flow seen;

	if (!kernel_read_flow(d->kernel, cookie, &seen))
		kernel_forget_flow(d->kernel, cookie, seen.random);
}

int daemon_on_event(void *daemon, void *data, size_t bytes)
{
	const struct sluice_event *event = data;
	struct daemon *d = daemon;
	struct flow *flow;

	(void)bytes; // each type's size is fixed, or given in it, by the kernel side
	switch (event->type) {
	case SLUICE_EVENT_HELLO:
		flow_begin(d, data);
		break;
	case SLUICE_EVENT_CHUNK:
		on_chunk(d, data);
		break;
	case SLUICE_EVENT_HELD:
		flow = flow_find(d, event->cookie);
		if (flow)
			flow_on_held(d, flow, event->time_ns);
		break;
	case SLUICE_EVENT_TWIN:
		flow = flow_find(d, event->cookie);
		if (flow)
			flow_keep_twin(d, flow, data);
		break;
	case SLUICE_EVENT_CLOSED:
		flow = flow_find(d, event->cookie);
		if (flow)
			flow_end(d, flow);
		else
			forget_unknown(d, event->cookie);
		break;
	case SLUICE_EVENT_BURST:
		flow = flow_find(d, event->cookie);
		if (flow)
			flow_on_burst(d, flow, event->number);
		break;
	case SLUICE_EVENT_FORKED:
		process_forked(d, event->number, event->cookie);
		break;
	case SLUICE_EVENT_GONE:
		process_gone(d, event->cookie);
		break;
	}
	// The rest comes at the next turn of the loop: the heartbeat must not wait for a flood.
	return clock_now_ns() > d->consume_until_ns ? -EAGAIN : 0;
}

void daemon_on_ring(evutil_socket_t fd, short what, void *daemon)
{
	struct daemon *d = daemon;

	(void)fd, (void)what;
	d->consume_until_ns = clock_now_ns() + CONSUME_MS * NS_PER_MS;
	kernel_consume(d->kernel);
	daemon_govern(d);
}
