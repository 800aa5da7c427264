// Options: those that every verb takes (--socket, --json, --help, --version), and each verb's own,
// which all want a value and stand behind the verb.
#ifndef SLUICE_CLI_OPTIONS_H
#define SLUICE_CLI_OPTIONS_H

#include "cli/cli.h"

struct cli_option {
	const char *name; // NULL ends the list
	// The value is the command line's own, and may be overwritten. CLI_OK, or CLI_USAGE: it
	// has said what is wrong.
	int (*set)(struct cli *cli, char *value);
};

extern const struct cli_option top_options[], run_options[], check_options[], reset_options[],
	policy_options[], record_options[], simulate_options[];

struct options {
	struct cli cli;
	bool help, version;
};

// Reads options, and sets optind to the first operand; argv[0] is skipped. `own`: those of the
// verb; NULL: it has none. `verb`: its name; NULL: it is yet to come. Stops at the first operand
// if there is no verb yet, or `stops_at_operand`; else operands are moved behind the options.
int options_read(struct options *options, const char *verb, const struct cli_option *own,
		 bool stops_at_operand, int argc, char **argv);

#endif
