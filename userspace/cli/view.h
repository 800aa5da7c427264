// One of the daemon's views, fetched and shown: as the daemon's own JSON, or as text for people.
#ifndef SLUICE_CLI_VIEW_H
#define SLUICE_CLI_VIEW_H

#include <stdio.h>

struct cli;
struct json_object;
struct style;

typedef void view_fn(struct json_object *content, FILE *out, const struct style *style);

// Returns an exit code.
int view_show(const struct cli *cli, const char *path, view_fn *print);

view_fn view_status;
view_fn view_flows;
view_fn view_queue;
view_fn view_limits;

#endif
