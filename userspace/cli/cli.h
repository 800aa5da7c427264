// What every verb gets, and the ways in which it may end. A verb is a function in a file of its
// name; main.c holds the table of them, options.c what they take.
#ifndef SLUICE_CLI_CLI_H
#define SLUICE_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#define CLI_DEFAULT_SOCKET "/run/sluice/sluice.sock"
#define CLI_MAX_LABELS 32

// Exit codes.
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_CANNOT_EXECUTE = 126, CLI_NOT_FOUND = 127 };
// Those of check, whose answer is one: 64 is EX_USAGE of sysexits.h.
enum { CHECK_ADMITTED = 0, CHECK_WAITS = 1, CHECK_DENIED = 2, CHECK_FAILED = 3, CHECK_USAGE = 64 };

// The options of all verbs. NULL: not given.
struct cli {
	const char *socket;
	bool json;
	const char *team;                   // run, check
	const char *cgroup;                 // run
	const char *config;                 // check, policy, simulate
	const char *trace;                  // simulate
	const char *output;                 // record
	const char *policy;                 // reset
	const char *model, *endpoint;       // check
	const char *body;                   // check: a file
	const char *labels[CLI_MAX_LABELS]; // check: "NAME=VALUE"
	size_t n_labels;
	const char *key;   // check: an API key's digest; reset: a bucket's key
	char digest[17];   // that key points to if an API key was given
	double tokens;     // check; < 0: not given
	long count;        // top, record: 0 is for ever
	double interval_s; // top
};

// Each gets the operands behind the options and returns an exit code; it has said on stderr what
// went wrong by then.
int verb_status(const struct cli *cli, int argc, char **argv);
int verb_flows(const struct cli *cli, int argc, char **argv);
int verb_queue(const struct cli *cli, int argc, char **argv);
int verb_limits(const struct cli *cli, int argc, char **argv);
int verb_top(const struct cli *cli, int argc, char **argv);
int verb_explain(const struct cli *cli, int argc, char **argv);
int verb_check(const struct cli *cli, int argc, char **argv);
int verb_reset(const struct cli *cli, int argc, char **argv);
int verb_policy(const struct cli *cli, int argc, char **argv);
int verb_run(const struct cli *cli, int argc, char **argv);
int verb_record(const struct cli *cli, int argc, char **argv);
int verb_simulate(const struct cli *cli, int argc, char **argv);
int verb_validate(const struct cli *cli, int argc, char **argv);
int verb_reload(const struct cli *cli, int argc, char **argv);

// Prints "sluice: " and the message on stderr; returns CLI_FAILED, or CLI_USAGE.
int cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int cli_misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
