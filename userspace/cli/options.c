// See options.h. What is out of range is wrong usage, and said with what was expected.
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include "cli/key.h"
#include "cli/options.h"

#define MAX_OWN 16

enum { SET_SOCKET = 256, SET_JSON, SET_HELP, SET_VERSION };

static const struct option common[] = {
	{"socket", required_argument, NULL, SET_SOCKET},
	{"json", no_argument, NULL, SET_JSON},
	{"help", no_argument, NULL, SET_HELP},
	{"version", no_argument, NULL, SET_VERSION},
};

#define N_COMMON (sizeof(common) / sizeof(common[0]))

static int set_count(struct cli *cli, char *value)
{
	char *end;

	errno = 0;
	cli->count = strtol(value, &end, 10);
	if (errno || end == value || *end || cli->count < 1)
		return cli_misuse("--count %s: expected a whole number from 1", value);
	return CLI_OK;
}

static int set_interval(struct cli *cli, char *value)
{
	char *end;

	cli->interval_s = strtod(value, &end);
	if (end == value || *end || !(cli->interval_s >= 0.1 && cli->interval_s <= 86400))
		return cli_misuse("--interval %s: expected seconds, from 0.1 to 86400", value);
	return CLI_OK;
}

static int set_tokens(struct cli *cli, char *value)
{
	char *end;

	cli->tokens = strtod(value, &end);
	if (end == value || *end || !(cli->tokens >= 0 && cli->tokens <= 1e15))
		return cli_misuse("--tokens %s: expected a number from 0 to 1e15", value);
	return CLI_OK;
}

static int set_label(struct cli *cli, char *value)
{
	if (value[0] == '=' || !strchr(value, '='))
		return cli_misuse("--label: expected NAME=VALUE");
	if (cli->n_labels == CLI_MAX_LABELS)
		return cli_misuse("--label: expected at most %d of them", CLI_MAX_LABELS);
	cli->labels[cli->n_labels++] = value;
	return CLI_OK;
}

// A key of a bucket is a list of labels' values; only what must be an API key is hashed.
static int set_bucket_key(struct cli *cli, char *value)
{
	cli->key = value;
	return key_is_secret(value) ? key_take(cli, value) : CLI_OK;
}

#define TEXT_SETTER(member)                                                                        \
	static int set_##member(struct cli *cli, char *value)                                      \
	{                                                                                          \
		cli->member = value;                                                               \
		return CLI_OK;                                                                     \
	}
TEXT_SETTER(team)
TEXT_SETTER(cgroup)
TEXT_SETTER(config)
TEXT_SETTER(trace)
TEXT_SETTER(output)
TEXT_SETTER(policy)
TEXT_SETTER(model)
TEXT_SETTER(endpoint)
TEXT_SETTER(body)

const struct cli_option top_options[] = {{"count", set_count}, {"interval", set_interval}, {0}};
const struct cli_option run_options[] = {{"team", set_team}, {"cgroup", set_cgroup}, {0}};
const struct cli_option check_options[] = {
	{"model", set_model},   {"team", set_team},     {"key", key_take},
	{"tokens", set_tokens}, {"body", set_body},     {"endpoint", set_endpoint},
	{"label", set_label},   {"config", set_config}, {0},
};
const struct cli_option reset_options[] = {{"policy", set_policy}, {"key", set_bucket_key}, {0}};
const struct cli_option policy_options[] = {{"config", set_config}, {0}};
const struct cli_option record_options[] = {{"output", set_output}, {"count", set_count}, {0}};
const struct cli_option simulate_options[] = {{"config", set_config}, {"trace", set_trace}, {0}};

// The list that getopt_long(3) wants; an own option's value is its index.
static void list_options(const struct cli_option *own, struct option ret[N_COMMON + MAX_OWN + 1])
{
	size_t n = 0;

	for (; own && own[n].name && n < MAX_OWN; n++)
		ret[n] = (struct option){own[n].name, required_argument, NULL, (int)n};
	memcpy(&ret[n], common, sizeof(common));
	ret[n + N_COMMON] = (struct option){0};
}

static int set_option(struct options *options, const struct cli_option *own, int option)
{
	switch (option) {
	case SET_SOCKET:
		options->cli.socket = optarg;
		return CLI_OK;
	case SET_JSON:
		options->cli.json = true;
		return CLI_OK;
	case SET_HELP:
		options->help = true;
		return CLI_OK;
	case SET_VERSION:
		options->version = true;
		return CLI_OK;
	}
	return own[option].set(&options->cli, optarg);
}

// Cut at a "=": what is behind it may be a secret.
static int complain(const char *verb, const char *word, bool lacks_value)
{
	int length = (int)strcspn(word, "=");

	if (lacks_value)
		return cli_misuse("%.*s wants a value", length, word);
	if (verb)
		return cli_misuse("%s takes no %.*s", verb, length, word);
	return cli_misuse("unknown option %.*s; a verb's own options stand behind it", length,
			  word);
}

int options_read(struct options *options, const char *verb, const struct cli_option *own,
		 bool stops_at_operand, int argc, char **argv)
{
	struct option list[N_COMMON + MAX_OWN + 1];
	const char *mode = !verb || stops_at_operand ? "+:" : ":";
	int option, result;

	list_options(own, list);
	opterr = 0;
	optind = 0; // 0, not 1: glibc then forgets the last command line it read
	while ((option = getopt_long(argc, argv, mode, list, NULL)) != -1) {
		if (option == ':' || option == '?')
			return complain(verb, argv[optind - 1], option == ':');
		result = set_option(options, own, option);
		if (result)
			return result;
	}
	return CLI_OK;
}
