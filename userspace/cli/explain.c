// sluice explain: what a request waits for. It is named as sluice queue and sluice flows do: "r12"
// is a request, "7" a flow.
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/field.h"
#include "cli/needs.h"

static void print_who(struct json_object *answer, FILE *out)
{
	const char *team = field_text(answer, "team"), *model = field_text(answer, "model");
	CLEANUP_FREE char *safe_comm = printable(field_text(answer, "comm"));
	CLEANUP_FREE char *safe_team = printable(team), *safe_model = printable(model);

	fprintf(out, "request %s", field_text(answer, "request"));
	if (field_present(answer, "flow"))
		fprintf(out, " of flow %s", field_text(answer, "flow"));
	fprintf(out, ": %s, pid %s", safe_comm ? safe_comm : "?", field_text(answer, "pid"));
	if (*team)
		fprintf(out, ", team %s", safe_team ? safe_team : "?");
	if (*model)
		fprintf(out, ", model %s", safe_model ? safe_model : "?");
	fputc('\n', out);
}

// Why it does not wait.
static const char *what_happened(const char *state)
{
	if (!strcmp(state, "ended"))
		return "has ended";
	if (!strcmp(state, "responding"))
		return "is being answered";
	return strcmp(state, "denied") ? "was admitted" : "was denied";
}

static void print_answer(struct json_object *answer, FILE *out, const struct style *style)
{
	bool knows_end = field_present(answer, "eta_ms");

	print_who(answer, out);
	if (field_bool(answer, "waits")) {
		fprintf(out, "waits for %s, expected to leave %s%s\n",
			duration(field_number(answer, "waiting_ms")).text,
			knows_end ? "in " : "nobody knows when",
			knows_end ? duration(field_number(answer, "eta_ms")).text : "");
	} else {
		fprintf(out, "does not wait: it %s; the same request ",
			what_happened(field_text(answer, "state")));
		verdict_print(answer, out);
	}
	needs_print(answer, out, style);
}

static int explain(const struct cli *cli, const char *parameter, const char *number)
{
	struct style style = style_of(stdout);
	struct reply reply;
	int error, result = CLI_OK;
	char path[64];

	snprintf(path, sizeof(path), "/v1/explain?%s=%s", parameter, number);
	error = client_request(cli, "GET", path, &reply);
	if (error)
		return client_failed(cli, error);
	if (cli->json)
		fwrite(reply.body, 1, reply.length, stdout);
	else if (reply.status == 200)
		print_answer(reply.json, stdout, &style);
	else
		cli_fail("%s", field_text(reply.json, "error"));
	if (reply.status != 200)
		result = CLI_FAILED;
	reply_clear(&reply);
	return result;
}

int verb_explain(const struct cli *cli, int argc, char **argv)
{
	const char *number = argv[0] + (argv[0][0] == 'r');
	size_t digits = strspn(number, "0123456789");

	if (argc > 1)
		return cli_misuse("explain: one at a time, but there is '%s'", argv[1]);
	if (!digits || digits > 20 || number[digits])
		return cli_misuse("explain %s: expected a flow, such as 7, or a request, such as "
				  "r12",
				  argv[0]);
	return explain(cli, number == argv[0] ? "flow" : "request", number);
}
