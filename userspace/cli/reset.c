// sluice reset: opens and fills buckets, as if nothing had been drawn and nothing refused.
#include <json-c/json.h>
#include <stdio.h>
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/field.h"

static struct json_object *order_of(const struct cli *cli)
{
	struct json_object *order = json_object_new_object();

	if (order && cli->policy)
		json_object_object_add(order, "policy", json_object_new_string(cli->policy));
	if (order && cli->key)
		json_object_object_add(order, "key", json_object_new_string(cli->key));
	return order;
}

static int show(const struct cli *cli, const struct reply *reply)
{
	double n = field_number(reply->json, "reset");

	if (cli->json)
		fwrite(reply->body, 1, reply->length, stdout);
	if (reply->status != 200)
		return cli->json ? CLI_FAILED : cli_fail("%s", field_text(reply->json, "error"));
	if (!cli->json)
		printf("%s bucket%s reset\n", whole(n).text, n == 1 ? "" : "s");
	return CLI_OK;
}

int verb_reset(const struct cli *cli, int argc, char **argv)
{
	struct json_object *order = order_of(cli);
	struct reply reply;
	int error = client_post(cli, "/v1/reset", order, &reply), result;

	(void)argc;
	(void)argv;
	json_object_put(order);
	if (error)
		return client_failed(cli, error);
	result = show(cli, &reply);
	reply_clear(&reply);
	return result;
}
