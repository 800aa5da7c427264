// sluice check: what a request would meet now. Nothing is drawn, and the exit code is the answer.
//
// With --config no sluiced is asked: the file's policy governs nothing else, and every bucket is
// full, so the same question gets the same answer each time (in CI, for instance).
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/body.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/field.h"
#include "cli/needs.h"
#include "config/policy.h"
#include "govern/governor.h"
#include "serve/question.h"

#define DEFAULT_ENDPOINT "/v1/chat/completions"

typedef struct json_object json;

static void add_text(json *o, const char *key, const char *text)
{
	if (text)
		json_object_object_add(o, key, json_object_new_string(text));
}

static void add_label(json *labels, const char *name_and_value)
{
	const char *equals = strchr(name_and_value, '=');
	CLEANUP_FREE char *name = strndup(name_and_value, (size_t)(equals - name_and_value));

	if (name)
		add_text(labels, name, equals + 1);
}

// What options say counts more than what the body says.
static int fill(const struct cli *cli, json *labels, json *amounts)
{
	const char *endpoint = cli->endpoint ? cli->endpoint : DEFAULT_ENDPOINT;
	int result = CLI_OK;

	add_text(labels, "endpoint", endpoint);
	if (cli->body)
		result = body_read(cli->body, endpoint, labels, amounts);
	if (cli->tokens >= 0)
		json_object_object_add(amounts, "tokens", json_object_new_double(cli->tokens));
	add_text(labels, "model", cli->model);
	add_text(labels, "team", cli->team);
	add_text(labels, "api_key", cli->key);
	for (size_t i = 0; i < cli->n_labels; i++)
		add_label(labels, cli->labels[i]);
	return result;
}

// NULL: it has said why.
static json *question_of(const struct cli *cli)
{
	json *question = json_object_new_object();
	json *labels = json_object_new_object(), *amounts = json_object_new_object();
	int result;

	if (!question || !labels || !amounts) {
		json_object_put(question);
		json_object_put(labels);
		json_object_put(amounts);
		cli_fail("out of memory");
		return NULL;
	}
	json_object_object_add(question, "labels", labels);
	json_object_object_add(question, "amounts", amounts);
	result = fill(cli, labels, amounts);
	if (!result)
		return question;
	json_object_put(question);
	return NULL;
}

static int code_of(json *answer)
{
	const char *verdict = field_text(answer, "verdict");

	if (!strcmp(verdict, "admitted"))
		return CHECK_ADMITTED;
	if (!strcmp(verdict, "queued"))
		return CHECK_WAITS;
	if (!strcmp(verdict, "denied"))
		return CHECK_DENIED;
	cli_fail("sluiced gives an unknown verdict; are both of one version?");
	return CHECK_FAILED;
}

static int show(const struct cli *cli, json *answer)
{
	const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
	struct style style = style_of(stdout);

	if (cli->json) {
		puts(json_object_to_json_string_ext(answer, flags));
	} else {
		verdict_print(answer, stdout);
		needs_print(answer, stdout, &style);
	}
	return code_of(answer);
}

static int ask_daemon(const struct cli *cli, json *question)
{
	struct reply reply;
	int error = client_post(cli, "/v1/check", question, &reply), result = CHECK_FAILED;

	if (error) {
		client_failed(cli, error);
		return CHECK_FAILED;
	}
	if (reply.status == 200)
		result = show(cli, reply.json);
	else
		cli_fail("%s", field_text(reply.json, "error"));
	reply_clear(&reply);
	return result;
}

static int ask_governor(const struct cli *cli, const struct policy *policy, json *question)
{
	uint64_t now = clock_now_ns();
	struct governor *governor = governor_new(policy, now, clock_wall_offset_ns());
	CLEANUP_FREE char *problem = NULL;
	int error = -ENOMEM, result = CHECK_FAILED;
	json *answer = NULL;

	if (governor)
		error = question_answer(governor, policy, question, now, &answer, &problem);
	if (error)
		cli_fail("%s", problem ? problem : strerror(-error));
	else
		result = show(cli, answer);
	json_object_put(answer);
	governor_free(governor);
	return result;
}

static int ask_file(const struct cli *cli, json *question)
{
	CLEANUP_FREE char *problems = NULL;
	struct policy *policy = policy_load(cli->config, &problems);
	int result;

	if (!policy) {
		cli_fail("the configuration is wrong:\n%s", problems ? problems : strerror(ENOMEM));
		return CHECK_FAILED;
	}
	result = ask_governor(cli, policy, question);
	policy_free(policy);
	return result;
}

int verb_check(const struct cli *cli, int argc, char **argv)
{
	json *question;
	int result;

	(void)argc;
	(void)argv;
	if (!cli->model && !cli->body) {
		cli_misuse("check: for which model? give --model MODEL or --body FILE");
		return CHECK_USAGE;
	}
	if (cli->tokens >= 0 && cli->body) {
		cli_misuse("check: give --tokens or --body, which says how many there are");
		return CHECK_USAGE;
	}
	question = question_of(cli);
	if (!question)
		return CHECK_FAILED;
	result = cli->config ? ask_file(cli, question) : ask_daemon(cli, question);
	json_object_put(question);
	return result;
}
