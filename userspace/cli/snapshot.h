// Several of the daemon's views, asked for one after the other.
#ifndef SLUICE_CLI_SNAPSHOT_H
#define SLUICE_CLI_SNAPSHOT_H

#include "cli/client.h"

enum {
	SNAPSHOT_STATUS,
	SNAPSHOT_QUEUE,
	SNAPSHOT_LIMITS,
	SNAPSHOT_FLOWS,
	SNAPSHOT_TEAMS,
	SNAPSHOT_VIEWS,
};

struct snapshot {
	struct reply views[SNAPSHOT_VIEWS];
};

// Fills the first `n_views`; the others are empty. Errors as client_get(); nothing is to be
// cleared then.
int snapshot_take(const struct cli *cli, size_t n_views, struct snapshot *ret);
void snapshot_clear(struct snapshot *snapshot);

#endif
