// sluice simulate: what a configuration would have done to a trace. Needs no sluiced and no root.
//
// The trace is read as a whole before the first request is decided, so a bad line leaves nothing
// half-done.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/cli.h"
#include "cli/simulate_print.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define OUTPUT_BUFFER_BYTES (1 << 20)
#define PROGRESS_AFTER_NS NS_PER_S // whoever waits less need not be told
#define PROGRESS_EVERY_NS (NS_PER_S / 4)
#define LARGE_TRACE_BYTES (64 << 20) // takes more than a second to read

struct simulation {
	struct simulated result;
	bool json;
	bool shows_progress, has_shown_any;
	uint64_t next_progress_ns;
};

static void simulation_clear(struct simulation *s)
{
	summary_free(&s->result.summary);
	free(s->result.limits);
}

static int on_decided(void *ctx, const struct fated *fated)
{
	struct simulation *s = ctx;

	if (s->json)
		simulate_print_decision(stdout, fated);
	return summary_add(&s->result.summary, fated);
}

static int on_limit(void *ctx, const struct limit_view *view)
{
	struct simulated *result = &((struct simulation *)ctx)->result;
	struct limit_view *limits =
		reallocarray(result->limits, result->n_limits + 1, sizeof(*limits));

	if (!limits)
		return -ENOMEM;
	result->limits = limits;
	limits[result->n_limits++] = *view;
	return 0;
}

static void on_progress(void *ctx, size_t n_decided, size_t n_requests)
{
	struct simulation *s = ctx;
	uint64_t now_ns;

	if (!s->shows_progress)
		return;
	now_ns = clock_now_ns();
	if (now_ns < s->next_progress_ns)
		return;
	s->next_progress_ns = now_ns + PROGRESS_EVERY_NS;
	s->has_shown_any = true;
	fprintf(stderr, "\r\033[Ksimulating: %zu %%", n_decided * 100 / n_requests);
}

static void hide_progress(struct simulation *s)
{
	if (s->has_shown_any)
		fputs("\r\033[K", stderr);
	s->has_shown_any = false;
}

static struct policy *load(const char *path)
{
	CLEANUP_FREE char *problems = NULL;
	struct policy *policy = policy_load_for_trace(path, &problems);

	if (policy)
		simulate_adapt(policy);
	else
		cli_fail("the configuration is wrong:\n%s", problems ? problems : strerror(ENOMEM));
	return policy;
}

static bool is_standard_input(const char *path)
{
	return !strcmp(path, "-");
}

static int read_from(struct simulation *s, FILE *in, const char *name, const struct policy *policy,
		     struct trace *ret)
{
	CLEANUP_FREE char *problem = NULL;
	struct stat file;
	int error;

	if (s->shows_progress && fstat(fileno(in), &file) == 0 &&
	    file.st_size > LARGE_TRACE_BYTES) {
		s->has_shown_any = true;
		fputs("reading the trace", stderr);
	}
	error = trace_read(in, name, policy, ret, &problem);
	hide_progress(s);
	return error ? cli_fail("%s", problem ? problem : strerror(-error)) : CLI_OK;
}

static int read_trace(struct simulation *s, const char *path, const struct policy *policy,
		      struct trace *ret)
{
	CLEANUP_FCLOSE FILE *in = NULL;

	if (is_standard_input(path))
		return read_from(s, stdin, "standard input", policy, ret);
	in = fopen(path, "re");
	if (!in)
		return cli_fail("cannot read the trace %s: %s", path, strerror(errno));
	return read_from(s, in, path, policy, ret);
}

static int run(struct simulation *s, const struct policy *policy, const struct trace *trace)
{
	static const struct simulation_events events = {on_decided, on_limit, on_progress};
	int error;

	s->next_progress_ns = clock_now_ns() + PROGRESS_AFTER_NS;
	error = simulate(policy, trace, &events, s, &s->result.duration_ns);
	hide_progress(s);
	if (error == -EDEADLK)
		return cli_fail("the simulation stalled: the governor says that no request that "
				"waits will ever be decided; please report this with the trace");
	if (error)
		return cli_fail("the simulation failed: %s", strerror(-error));
	summary_sort(&s->result.summary);
	return CLI_OK;
}

static void print(const struct simulation *s)
{
	struct style style = style_of(stdout);

	if (s->json)
		simulate_print_summary(stdout, &s->result);
	else
		simulate_print_tables(stdout, &style, &s->result);
}

static int simulate_trace(struct simulation *s, const char *path, const struct policy *policy)
{
	__attribute__((cleanup(trace_free))) struct trace trace = {0};
	int result = read_trace(s, path, policy, &trace);

	if (!result)
		result = run(s, policy, &trace);
	if (!result)
		print(s);
	return result;
}

int verb_simulate(const struct cli *cli, int argc, char **argv)
{
	__attribute__((cleanup(simulation_clear))) struct simulation simulation = {
		.json = cli->json,
		.shows_progress = isatty(STDERR_FILENO) && !(cli->json && isatty(STDOUT_FILENO)),
	};
	struct policy *policy;
	int result;

	(void)argc;
	(void)argv;
	if (!cli->config || !cli->trace)
		return cli_misuse("simulate: what, and under which policy? give --config FILE and "
				  "--trace FILE");
	policy = load(cli->config);
	if (!policy)
		return CLI_FAILED;
	setvbuf(stdout, NULL, _IOFBF, OUTPUT_BUFFER_BYTES);
	result = simulate_trace(&simulation, cli->trace, policy);
	policy_free(policy);
	return result;
}
