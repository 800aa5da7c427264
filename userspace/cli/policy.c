// sluice policy show: the whole policy as it is understood, defaults and blueprints included, as
// YAML that loads again: what sluiced runs, or what a file says.
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/field.h"
#include "config/policy.h"

static int show_file(const char *path)
{
	CLEANUP_FREE char *problems = NULL;
	struct policy *policy = policy_load(path, &problems);
	int error;

	if (!policy)
		return cli_fail("the configuration is wrong:\n%s",
				problems ? problems : strerror(ENOMEM));
	error = policy_write(policy, stdout);
	policy_free(policy);
	return error ? cli_fail("cannot write the policy: %s", strerror(-error)) : CLI_OK;
}

static int show_running(const struct cli *cli)
{
	struct reply reply;
	int error = client_request(cli, "GET", "/v1/policy", &reply), result = CLI_OK;

	if (error)
		return client_failed(cli, error);
	if (reply.status == 200)
		fwrite(reply.body, 1, reply.length, stdout);
	else
		result = cli_fail("%s", field_text(reply.json, "error"));
	reply_clear(&reply);
	return result;
}

int verb_policy(const struct cli *cli, int argc, char **argv)
{
	if (argc != 1 || strcmp(argv[0], "show") != 0)
		return cli_misuse("policy %s: expected show", argv[0]);
	if (cli->json)
		return cli_misuse("policy show prints YAML, not JSON");
	return cli->config ? show_file(cli->config) : show_running(cli);
}
