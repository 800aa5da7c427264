// See snapshot.h.
#include "cli/snapshot.h"

static const char *const paths[SNAPSHOT_VIEWS] = {
	[SNAPSHOT_STATUS] = "/v1/status", [SNAPSHOT_QUEUE] = "/v1/queue",
	[SNAPSHOT_LIMITS] = "/v1/limits", [SNAPSHOT_FLOWS] = "/v1/flows",
	[SNAPSHOT_TEAMS] = "/v1/teams",
};

int snapshot_take(const struct cli *cli, size_t n_views, struct snapshot *ret)
{
	struct snapshot snapshot = {0};

	for (size_t i = 0; i < n_views; i++) {
		int error = client_get(cli, paths[i], &snapshot.views[i]);

		if (error) {
			snapshot_clear(&snapshot);
			return error;
		}
	}
	*ret = snapshot;
	return 0;
}

void snapshot_clear(struct snapshot *snapshot)
{
	for (size_t i = 0; i < SNAPSHOT_VIEWS; i++)
		reply_clear(&snapshot->views[i]);
}
