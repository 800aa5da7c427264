// What kernel.c (load, attach) and kernel_maps.c (typed access) share.
#ifndef SLUICE_TAP_KERNEL_PRIVATE_H
#define SLUICE_TAP_KERNEL_PRIVATE_H

#include "tap/kernel.h"

enum hook {
	HOOK_CONNECT4,
	HOOK_CONNECT6,
	HOOK_RELEASE,
	HOOK_FORK,
	HOOK_EXIT,
	HOOK_EXEC,
	HOOK_EGRESS,
	HOOKS
};

struct hook_place {
	const char *name;
	const char *program;
	const char *tracepoint; // NULL: it attaches to the cgroup root
	int attach_type;
};
extern const struct hook_place hook_places[HOOKS];

struct sluice;
struct ring_buffer;

struct kernel {
	struct sluice *skel;
	struct bpf_link *hooks[HOOKS];
	struct bpf_link *push_link; // of the iterator, made when first needed
	struct ring_buffer *ring;
	char *cgroup_mount;
	int cgroup_fd;
	uint32_t generation; // of the policy in the maps of hosts
};

#endif
