// sluice: asks sluiced what it does. One table of verbs, and the way from the command line into a
// verb. No verb means "status".
//
// The options of all verbs may stand before and behind the verb, its own behind it. Behind "run"
// they end at the first word that is none, so that those of the command are left to the command.
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/options.h"

struct verb {
	const char *name, *help;
	int (*run)(const struct cli *cli, int argc, char **argv);
	const struct cli_option *options; // its own; NULL: none
	const char *arguments;            // as the usage shows options and operands; NULL: none
	const char *more;                 // lines behind the usage; NULL: none
	bool operands;                    // wants some
	bool runs_a_command;              // everything from the first operand on is that command
	int failed, usage;                // exit codes that are not the usual ones; 0: they are
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
		.options = top_options,
		.arguments = "[--count N] [--interval SECONDS]",
	},
	{
		.name = "explain",
		.help = "what a request waits for, and for how long",
		.run = verb_explain,
		.arguments = "FLOW | rREQUEST",
		.operands = true,
	},
	{
		.name = "check",
		.help = "would such a request be admitted now? nothing is drawn",
		.run = verb_check,
		.options = check_options,
		.arguments =
			"--model MODEL [--team NAME] [--key KEY] [--tokens N | --body FILE]\n"
			"             [--endpoint PATH] [--label NAME=VALUE]... [--config FILE]",
		.more = "Exit codes: 0 admitted now, 1 would wait, 2 would be denied, 3 failed,\n"
			"64 wrong usage.",
		.failed = CHECK_FAILED,
		.usage = CHECK_USAGE,
	},
	{
		.name = "reset",
		.help = "open and fill token buckets",
		.run = verb_reset,
		.options = reset_options,
		.arguments = "[--policy NAME] [--key KEY]",
	},
	{
		.name = "policy",
		.help = "the policy in effect, or of a file, as YAML",
		.run = verb_policy,
		.options = policy_options,
		.arguments = "show [--config FILE]",
		.operands = true,
	},
	{
		.name = "run",
		.help = "run a command in a team's cgroup",
		.run = verb_run,
		.options = run_options,
		.arguments = "--team NAME | --cgroup PATH [--] COMMAND [ARGUMENT...]",
		.operands = true,
		.runs_a_command = true,
	},
	{
		.name = "record",
		.help = "write the requests that sluiced sees as a trace",
		.run = verb_record,
		.options = record_options,
		.arguments = "[--output FILE] [--count N]",
	},
	{
		.name = "simulate",
		.help = "what a configuration would have done to a trace",
		.run = verb_simulate,
		.options = simulate_options,
		.arguments = "--config FILE --trace FILE",
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
	     "Exit codes: 0 done, 1 failed, 2 wrong usage; check has its own. More in sluice(1).");
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

static int check_operands(const struct verb *verb, int operands, char **argv)
{
	if (operands && !verb->operands)
		return cli_misuse("%s takes no arguments, but there is '%s'", verb->name, argv[0]);
	if (!operands && verb->operands) {
		print_usage(verb, stderr);
		return CLI_USAGE;
	}
	return CLI_OK;
}

static int with_code(int result, int other)
{
	return result && other ? other : result;
}

// What stdout did not take (a full disk) is a failure, too.
static int finish(const struct verb *verb, int result)
{
	if (fflush(stdout) || ferror(stdout))
		return with_code(cli_fail("cannot write the output: %s", strerror(errno)),
				 verb->failed);
	return result;
}

static int run(const struct verb *verb, struct options *options, int argc, char **argv)
{
	int result =
		options_read(options, verb->name, verb->options, verb->runs_a_command, argc, argv);

	if (result)
		return with_code(result, verb->usage);
	if (options->help) {
		print_usage(verb, stdout);
		puts(verb->help);
		if (verb->more)
			puts(verb->more);
		return CLI_OK;
	}
	if (options->version) {
		puts("sluice " SLUICE_VERSION);
		return CLI_OK;
	}
	argc -= optind;
	argv += optind;
	result = check_operands(verb, argc, argv);
	return result ? with_code(result, verb->usage) : verb->run(&options->cli, argc, argv);
}

// *ret_verb: what is run.
static int dispatch(struct options *options, int argc, char **argv, const struct verb **ret_verb)
{
	int result = options_read(options, NULL, NULL, true, argc, argv);

	if (result)
		return result;
	argc -= optind;
	argv += optind;
	if (argc) {
		*ret_verb = find_verb(argv[0]);
		if (*ret_verb)
			return run(*ret_verb, options, argc, argv);
		*ret_verb = verbs;
		return cli_misuse("unknown verb '%s'", argv[0]);
	}
	if (options->help) {
		print_help();
		return CLI_OK;
	}
	if (options->version) {
		puts("sluice " SLUICE_VERSION);
		return CLI_OK;
	}
	return verbs[0].run(&options->cli, 0, argv);
}

int main(int argc, char **argv)
{
	const char *from_environment = getenv("SLUICE_SOCKET");
	struct options options = {
		.cli.socket = from_environment && *from_environment ? from_environment
								    : CLI_DEFAULT_SOCKET,
		.cli.interval_s = 1,
		.cli.tokens = -1,
	};
	const struct verb *verb = verbs;
	int result;

	setlocale(LC_CTYPE, ""); // not LC_NUMERIC: numbers keep their point
	result = dispatch(&options, argc, argv, &verb);
	return finish(verb, result);
}
