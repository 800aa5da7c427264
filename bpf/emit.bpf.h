// Writes events into the ring buffer, and counts those that found no room.
#ifndef SLUICE_EMIT_BPF_H
#define SLUICE_EMIT_BPF_H

#include "maps.bpf.h"

static __always_inline void start_event(struct sluice_event *event, __u32 type, __u64 cookie)
{
	event->type = type;
	event->number = 0;
	event->cookie = cookie;
	event->time_ns = bpf_ktime_get_ns();
}

static __always_inline void emit_plain(__u32 type, __u64 cookie)
{
	struct sluice_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		count_lost(SLUICE_LOST_RING_FULL);
		return;
	}
	start_event(event, type, cookie);
	bpf_ringbuf_submit(event, 0);
}

#endif
