// sluice: asks sluiced what it does. One table of verbs, one table of options, and the way from
// the command line into a verb. No verb means "status".
//
// Options may stand before and behind the verb. Behind "run" they end at the first word that is
// none, so that those of the command are left to the command.
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

enum { OPTION_TEAM = 't', OPTION_CGROUP = 'c', OPTION_COUNT = 'n', OPTION_INTERVAL = 'i' };

struct verb {
	const char *name, *help;
	int (*run)(const struct cli *cli, int argc, char **argv);
	const char *options;   // letters of those that not every verb takes; NULL: none
	const char *arguments; // as the usage shows options and operands; NULL: none
	bool operands;         // wants some
	bool runs_a_command;   // everything from the first operand on is that command
};

static const struct verb verbs[] = {
	{
		.name = "status",
		.help = "is it enforcing, what is attached, what has it done (the default)",
		.run = verb_status,
	},
	{
		.name = "flows",
		.help = "connections to providers, and what their requests asked for",
		.run = verb_flows,
	},
	{
		.name = "queue",
		.help = "requests that wait, in the order in which they will leave",
		.run = verb_queue,
	},
	{
		.name = "limits",
		.help = "token buckets: level, capacity, fill rate",
		.run = verb_limits,
	},
	{
		.name = "top",
		.help = "all of it, live",
		.run = verb_top,
		.options = "ni",
		.arguments = "[--count N] [--interval SECONDS]",
	},
	{
		.name = "run",
		.help = "run a command in a team's cgroup",
		.run = verb_run,
		.options = "tc",
		.arguments = "--team NAME | --cgroup PATH [--] COMMAND [ARGUMENT...]",
		.operands = true,
		.runs_a_command = true,
	},
	{
		.name = "validate",
		.help = "check configuration files without loading them",
		.run = verb_validate,
		.arguments = "FILE...",
		.operands = true,
	},
	{
		.name = "reload",
		.help = "make sluiced read its configuration again",
		.run = verb_reload,
	},
};

#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static const struct option options[] = {
	{"socket", required_argument, NULL, 's'},
	{"json", no_argument, NULL, 'j'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{"team", required_argument, NULL, OPTION_TEAM},
	{"cgroup", required_argument, NULL, OPTION_CGROUP},
	{"count", required_argument, NULL, OPTION_COUNT},
	{"interval", required_argument, NULL, OPTION_INTERVAL},
	{0},
};

// What is to be done, as far as the command line has been read.
struct order {
	struct cli cli;
	const struct verb *verb;
	bool help, version;
	char verb_options[8]; // given ones that not every verb takes
};

static void complain(const char *format, va_list arguments)
{
	fflush(stdout);
	fputs("sluice: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

int cli_fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain(format, arguments);
	va_end(arguments);
	return CLI_FAILED;
}

int cli_misuse(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain(format, arguments);
	va_end(arguments);
	fputs("Try 'sluice --help'.\n", stderr);
	return CLI_USAGE;
}

static void print_help(void)
{
	puts("Usage: sluice [OPTION...] [VERB]\n"
	     "Shows and steers sluiced, which governs this host's traffic to OpenAI.\n");
	for (size_t i = 0; i < N_VERBS; i++)
		printf("  %-9s %s\n", verbs[i].name, verbs[i].help);
	puts("\n"
	     "  --socket PATH  where sluiced listens (default: $SLUICE_SOCKET, or\n"
	     "                 " CLI_DEFAULT_SOCKET ")\n"
	     "  --json         print what sluiced says as JSON\n"
	     "  --help         this text; behind a verb: the verb's\n"
	     "  --version      the version\n\n"
	     "Exit codes: 0 done, 1 failed, 2 wrong usage. More in sluice(1).");
}

static void print_usage(const struct verb *verb, FILE *out)
{
	fprintf(out, "Usage: sluice [--socket PATH] [--json] %s%s%s\n", verb->name,
		verb->arguments ? " " : "", verb->arguments ? verb->arguments : "");
}

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < N_VERBS; i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static int set_count(struct cli *cli, const char *text)
{
	char *end;

	errno = 0;
	cli->count = strtol(text, &end, 10);
	if (errno || end == text || *end || cli->count < 1)
		return cli_misuse("--count %s: expected a whole number from 1", text);
	return CLI_OK;
}

static int set_interval(struct cli *cli, const char *text)
{
	char *end;

	cli->interval_s = strtod(text, &end);
	if (end == text || *end || !(cli->interval_s >= 0.1 && cli->interval_s <= 86400))
		return cli_misuse("--interval %s: expected seconds, from 0.1 to 86400", text);
	return CLI_OK;
}

static int set_option(struct order *order, int option)
{
	struct cli *cli = &order->cli;

	switch (option) {
	case 's':
		cli->socket = optarg;
		return CLI_OK;
	case 'j':
		cli->json = true;
		return CLI_OK;
	case 'h':
		order->help = true;
		return CLI_OK;
	case 'V':
		order->version = true;
		return CLI_OK;
	}
	if (!strchr(order->verb_options, option))
		order->verb_options[strlen(order->verb_options)] = (char)option;
	switch (option) {
	case OPTION_TEAM:
		cli->team = optarg;
		return CLI_OK;
	case OPTION_CGROUP:
		cli->cgroup = optarg;
		return CLI_OK;
	case OPTION_COUNT:
		return set_count(cli, optarg);
	default:
		return set_interval(cli, optarg);
	}
}

// Reads options up to the first operand, or (mode "") all of them. optind ends up at the first
// operand. argv[0] is skipped.
static int read_options(struct order *order, int argc, char **argv, const char *mode)
{
	int option, result;

	opterr = 0;
	optind = 0; // 0, not 1: glibc then forgets the last command line it read
	while ((option = getopt_long(argc, argv, mode, options, NULL)) != -1) {
		if (option == ':')
			return cli_misuse("%s wants a value", argv[optind - 1]);
		if (option == '?')
			return cli_misuse("unknown option %s", argv[optind - 1]);
		result = set_option(order, option);
		if (result)
			return result;
	}
	return CLI_OK;
}

static const char *option_name(int option)
{
	for (const struct option *o = options; o->name; o++)
		if (o->val == option)
			return o->name;
	return "";
}

static int check(const struct order *order, int operands, char **argv)
{
	const struct verb *verb = order->verb;

	for (const char *given = order->verb_options; *given; given++)
		if (!verb->options || !strchr(verb->options, *given))
			return cli_misuse("%s takes no --%s", verb->name, option_name(*given));
	if (operands && !verb->operands)
		return cli_misuse("%s takes no arguments, but there is '%s'", verb->name, argv[0]);
	if (!operands && verb->operands) {
		print_usage(verb, stderr);
		return CLI_USAGE;
	}
	return CLI_OK;
}

// What stdout did not take (a full disk) is a failure, too.
static int finish(int result)
{
	if (fflush(stdout) || ferror(stdout))
		return cli_fail("cannot write the output: %s", strerror(errno));
	return result;
}

static int dispatch(struct order *order, int argc, char **argv)
{
	int result = read_options(order, argc, argv, "+:");

	if (result)
		return result;
	order->verb = &verbs[0];
	if (optind < argc) {
		argc -= optind;
		argv += optind;
		order->verb = find_verb(argv[0]);
		if (!order->verb)
			return cli_misuse("unknown verb '%s'", argv[0]);
		result = read_options(order, argc, argv, order->verb->runs_a_command ? "+:" : ":");
		if (result)
			return result;
		if (order->help) {
			print_usage(order->verb, stdout);
			puts(order->verb->help);
			return CLI_OK;
		}
	}
	if (order->help) {
		print_help();
		return CLI_OK;
	}
	if (order->version) {
		puts("sluice " SLUICE_VERSION);
		return CLI_OK;
	}
	result = check(order, argc - optind, argv + optind);
	if (result)
		return result;
	return order->verb->run(&order->cli, argc - optind, argv + optind);
}

int main(int argc, char **argv)
{
	const char *from_environment = getenv("SLUICE_SOCKET");
	struct order order = {
		.cli.socket = from_environment && *from_environment ? from_environment
								    : CLI_DEFAULT_SOCKET,
		.cli.interval_s = 1,
	};

	setlocale(LC_CTYPE, ""); // not LC_NUMERIC: numbers keep their point
	return finish(dispatch(&order, argc, argv));
}
