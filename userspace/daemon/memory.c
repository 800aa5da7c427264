// What survives a restart: the level of every bucket, written once a second as far as it changed.
// That the store fails (a full disk, a broken file) must not fail the daemon: it goes on without,
// and store/ says so.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "store/store.h"

#define CLOCK_STEP_NS (100 * 1000000LL) // a wall clock that moves more than that was set

static void restore(void *daemon, const struct bucket_state *state)
{
	struct daemon *d = daemon;
	int err = governor_restore(d->governor, state, clock_now_ns());

	if (err)
		log_debug("level of %s%s not restored: %s", state->limit, state->team,
			  err == -ENOENT ? "no such limit any more" : strerror(-err));
}

void memory_open(struct daemon *d, const char *directory)
{
	CLEANUP_FREE char *error = NULL;
	int err = store_open(&d->store, directory, &error);

	if (err) {
		log_warning("levels of buckets will not survive a restart: %s",
			    error ? error : "out of memory");
		d->store = NULL;
		return;
	}
	store_load(d->store, restore, d);
}

static void put(void *daemon, const struct bucket_state *state)
{
	struct daemon *d = daemon;

	if (d->store)
		store_put(d->store, state);
}

static void follow_wall_clock(struct daemon *d)
{
	int64_t offset_ns = clock_wall_offset_ns();

	if (llabs(offset_ns - d->wall_offset_ns) < CLOCK_STEP_NS)
		return;
	d->wall_offset_ns = offset_ns;
	governor_set_wall_offset(d->governor, offset_ns, clock_now_ns());
}

void memory_save(struct daemon *d)
{
	follow_wall_clock(d);
	governor_save(d->governor, false, clock_now_ns(), put, d);
	if (d->store && store_flush(d->store) == 1) // the file is a new one
		governor_save(d->governor, true, clock_now_ns(), put, d);
}

void memory_close(struct daemon *d)
{
	if (!d->store)
		return;
	if (d->governor)
		memory_save(d);
	store_close(d->store);
	d->store = NULL;
}
