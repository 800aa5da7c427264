// See tap.h.
#include "tap/tap.h"
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

// One probe, put in by a thread of its own: each waits for the kernel's event_mutex, which a
// detach (of ours, or of a daemon that was killed) holds for a tenth of a second. Waiting together
// they wait once, not eight times.
struct attachment {
	struct kernel *kernel;
	const struct mapped_library *mapped;
	struct tap *tap;
	enum probe probe;
	int at_return;
	int err;
	pthread_t thread;
	bool has_thread;
};

static void *attach_one(void *arg)
{
	struct attachment *at = arg;
	const struct library *library = at->mapped->library;
	struct bpf_link *link = kernel_attach_probe(
		at->kernel, at->probe, at->at_return, at->tap->tgid ? (int)at->tap->tgid : -1,
		at->mapped->path, library->offsets[at->probe], library->id);

	at->err = link ? 0 : -errno;
	at->tap->links[at->probe][at->at_return] = link;
	return NULL;
}

static int attach_all(struct kernel *kernel, const struct mapped_library *mapped, struct tap *tap)
{
	struct attachment all[PROBES * 2];
	int n = 0, err = 0;

	for (int i = 0; i < PROBES * 2; i++) {
		if (!mapped->library->offsets[i / 2])
			continue;
		all[n] = (struct attachment){kernel, mapped, tap, i / 2, i % 2, 0, 0, false};
		all[n].has_thread = !pthread_create(&all[n].thread, NULL, attach_one, &all[n]);
		if (!all[n].has_thread)
			attach_one(&all[n]);
		n++;
	}
	for (int i = 0; i < n; i++) {
		if (all[i].has_thread)
			pthread_join(all[i].thread, NULL);
		err = err ?: all[i].err;
	}
	return err;
}

int tap_new(struct tap **ret, struct kernel *kernel, const struct mapped_library *mapped,
	    uint32_t tgid)
{
	struct tap *tap = calloc(1, sizeof(*tap));
	int err;

	if (!tap)
		return -ENOMEM;
	tap->library = mapped->library;
	tap->tgid = tgid;
	err = attach_all(kernel, mapped, tap);
	if (err)
		tap_free(tap);
	else
		*ret = tap;
	return err;
}

void tap_free(struct tap *tap)
{
	for (int probe = 0; probe < PROBES; probe++)
		for (int i = 0; i < 2; i++)
			bpf_link__destroy(tap->links[probe][i]);
	free(tap);
}

struct bpf_link *tap_take_link(struct tap *tap)
{
	for (int probe = 0; probe < PROBES; probe++)
		for (int i = 0; i < 2; i++)
			if (tap->links[probe][i]) {
				struct bpf_link *link = tap->links[probe][i];

				tap->links[probe][i] = NULL;
				return link;
			}
	return NULL;
}
