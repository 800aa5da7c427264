// What every verb gets, and the ways in which it may end. A verb is a function in a file of its
// name; main.c holds the table of them.
#ifndef SLUICE_CLI_CLI_H
#define SLUICE_CLI_CLI_H

#include <stdbool.h>

#define CLI_DEFAULT_SOCKET "/run/sluice/sluice.sock"

// Exit codes.
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_CANNOT_EXECUTE = 126, CLI_NOT_FOUND = 127 };

// The options, wherever on the command line they stood.
struct cli {
	const char *socket;
	bool json;
	const char *team;   // run; NULL: not given
	const char *cgroup; // run; NULL: not given
	long count;         // top: 0 is for ever
	double interval_s;  // top
};

// Each gets the operands behind the options and returns an exit code; it has said on stderr what
// went wrong by then.
int verb_status(const struct cli *cli, int argc, char **argv);
int verb_flows(const struct cli *cli, int argc, char **argv);
int verb_queue(const struct cli *cli, int argc, char **argv);
int verb_limits(const struct cli *cli, int argc, char **argv);
int verb_top(const struct cli *cli, int argc, char **argv);
int verb_run(const struct cli *cli, int argc, char **argv);
int verb_validate(const struct cli *cli, int argc, char **argv);
int verb_reload(const struct cli *cli, int argc, char **argv);

// Prints "sluice: " and the message on stderr; returns CLI_FAILED, or CLI_USAGE.
int cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int cli_misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
