// See tap.h.
#include "tap/tap.h"
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include "base/cleanup.h"

// One probe, put in by a thread of its own: each waits for the kernel's event_mutex, which a
// detach (of ours, or of a daemon that was killed) holds for a tenth of a second. Waiting together
// they wait once, not eight times.
struct attachment {
	struct kernel *kernel;
	const struct mapped_library *mapped;
	struct tap *tap;
	size_t point;
	int err;
	pthread_t thread;
	bool has_thread;
};

static void *attach_one(void *arg)
{
	struct attachment *at = arg;
	const struct library *library = at->mapped->library;
	const struct probe_point *point = &library->points[at->point];
	struct bpf_link *link = kernel_attach_probe(at->kernel, point->probe,
						    at->tap->tgid ? (int)at->tap->tgid : -1,
						    at->mapped->path, point->offset, library->id);

	at->err = link ? 0 : -errno;
	at->tap->links[at->point] = link;
	return NULL;
}

static int attach_all(struct kernel *kernel, const struct mapped_library *mapped, struct tap *tap)
{
	CLEANUP_FREE struct attachment *all = calloc(tap->n_links, sizeof(*all));
	int err = 0;

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < tap->n_links; i++) {
		all[i] = (struct attachment){kernel, mapped, tap, i, 0, 0, false};
		all[i].has_thread = !pthread_create(&all[i].thread, NULL, attach_one, &all[i]);
		if (!all[i].has_thread)
			attach_one(&all[i]);
	}
	for (size_t i = 0; i < tap->n_links; i++) {
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
	library_hold(tap->library);
	tap->tgid = tgid;
	tap->n_links = mapped->library->n_points;
	tap->links = calloc(tap->n_links, sizeof(*tap->links));
	err = tap->links ? attach_all(kernel, mapped, tap) : -ENOMEM;
	if (err)
		tap_free(tap);
	else
		*ret = tap;
	return err;
}

void tap_free(struct tap *tap)
{
	for (size_t i = 0; tap->links && i < tap->n_links; i++)
		bpf_link__destroy(tap->links[i]);
	library_release(tap->library);
	free(tap->links);
	free(tap);
}

struct bpf_link *tap_take_link(struct tap *tap)
{
	for (size_t i = 0; i < tap->n_links; i++)
		if (tap->links[i]) {
			struct bpf_link *link = tap->links[i];

			tap->links[i] = NULL;
			return link;
		}
	return NULL;
}
