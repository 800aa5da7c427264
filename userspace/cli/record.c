// sluice record: the requests that sluiced sees, as a trace for sluice simulate. Twice a second it
// asks for those that came since, so sluiced need not know of it.
//
// Each time the newest one that it has already is asked for again: a sluiced that was restarted
// counts from 1, and does not have it. Its requests are not mixed with those before.
//
// A signal ends it between two questions: signals are blocked and waited for, so every line is
// whole and everything that was asked for is written.
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/field.h"
#include "base/cleanup.h"
#include "simulate/trace.h"

#define POLL_MS 500

struct recording {
	FILE *out;
	const char *name; // of the output
	uint64_t last;    // the newest request that is written, and when it came; 0: none yet
	double last_t;
	long left; // requests to write; < 0: without end
	uint64_t missed;
};

static uint64_t number_of(struct json_object *request)
{
	struct json_object *seq = NULL;

	return json_object_object_get_ex(request, "seq", &seq) ? json_object_get_uint64(seq) : 0;
}

// Whether this sluiced has never sent what is written already.
static bool is_another(const struct recording *r, struct json_object *requests)
{
	struct json_object *first = json_object_array_get_idx(requests, 0);

	if (!r->last)
		return false;
	return !first || (number_of(first) == r->last && field_number(first, "t") != r->last_t);
}

static int write_one(struct recording *r, struct json_object *request)
{
	uint64_t number = number_of(request);

	if (number <= r->last)
		return 0;
	if (r->last)
		r->missed += number - r->last - 1;
	r->last = number;
	r->last_t = field_number(request, "t");
	if (r->left > 0)
		r->left--;
	return trace_write(r->out, request);
}

static int write_all(struct recording *r, struct json_object *requests)
{
	size_t n = json_object_array_length(requests);
	int error = 0;

	for (size_t i = 0; i < n && r->left && !error; i++)
		error = write_one(r, json_object_array_get_idx(requests, i));
	if (!error && (fflush(r->out) || ferror(r->out)))
		error = -errno;
	return error ? cli_fail("cannot write %s: %s", r->name, strerror(-error)) : CLI_OK;
}

static int ask(const struct cli *cli, struct recording *r)
{
	char path[64];
	struct reply reply;
	int result, error;

	snprintf(path, sizeof(path), "/v1/trace?after=%" PRIu64, r->last ? r->last - 1 : 0);
	error = client_get(cli, path, &reply);
	if (error)
		return client_failed(cli, error);
	if (!json_object_is_type(reply.json, json_type_array))
		result = client_failed(cli, -EBADMSG);
	else if (is_another(r, reply.json))
		result = cli_fail("sluiced was restarted: the trace ends here");
	else
		result = write_all(r, reply.json);
	reply_clear(&reply);
	return result;
}

// Whether a signal came meanwhile that ends it.
static bool pause_until_signal(const sigset_t *signals)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000};

	return sigtimedwait(signals, NULL, &pause) > 0;
}

static int follow(const struct cli *cli, struct recording *r)
{
	sigset_t signals;
	int result;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	do
		result = ask(cli, r);
	while (!result && r->left && !pause_until_signal(&signals));
	if (!result && r->left)
		result = ask(cli, r); // what came while it slept
	if (r->missed)
		cli_fail("note: %" PRIu64 " requests are missing: more came between two questions "
			 "than sluiced remembers",
			 r->missed);
	return result;
}

int verb_record(const struct cli *cli, int argc, char **argv)
{
	struct recording recording = {
		.out = stdout,
		.name = "the output",
		.left = cli->count ? cli->count : -1,
	};
	CLEANUP_FCLOSE FILE *file = NULL;

	(void)argc;
	(void)argv;
	if (cli->output && strcmp(cli->output, "-") != 0) {
		file = fopen(cli->output, "we");
		if (!file)
			return cli_fail("cannot write %s: %s", cli->output, strerror(errno));
		recording.out = file;
		recording.name = cli->output;
	}
	return follow(cli, &recording);
}
