// sluice reload: sluiced reads its configuration again, or keeps the running one and says why.
#include <stdio.h>
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/field.h"

int verb_reload(const struct cli *cli, int argc, char **argv)
{
	struct reply reply;
	int result = CLI_OK;
	int error = client_request(cli, "POST", "/v1/reload", &reply);

	(void)argc;
	(void)argv;
	if (error)
		return client_failed(cli, error);
	if (cli->json)
		fwrite(reply.body, 1, reply.length, stdout);
	if (reply.status != 200) {
		result = CLI_FAILED;
		if (!cli->json)
			cli_fail("reload refused, the running policy stays:\n%s",
				 field_text(reply.json, "error"));
	} else if (!cli->json) {
		puts("reloaded");
	}
	reply_clear(&reply);
	return result;
}
