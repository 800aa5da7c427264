// Fetches a view and shows it. See view.h.
#include <stdio.h>
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/table.h"
#include "cli/view.h"

int view_show(const struct cli *cli, const char *path, view_fn *print)
{
	struct style style = style_of(stdout);
	struct reply reply;
	int error = client_get(cli, path, &reply);

	if (error)
		return client_failed(cli, error);
	if (cli->json)
		fwrite(reply.body, 1, reply.length, stdout);
	else
		print(reply.json, stdout, &style);
	reply_clear(&reply);
	return CLI_OK;
}
