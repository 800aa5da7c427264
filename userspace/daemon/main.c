// sluiced: governs the traffic that this host's programs send to OpenAI. See daemon.h for the way
// of a request, sluiced(8) for the options.
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/endpoints.h"
#include "daemon/lock.h"
#include "daemon/trace.h"
#include "serve/api.h"
#include "wire/memory.h"

enum { HEARTBEAT_MS = 250, EXIT_USAGE = 2, NICE = -10 };

struct options {
	const char *config, *socket, *state_dir;
};

struct daemon *the_daemon;

static const char usage[] =
	"Usage: sluiced [--config FILE] [--socket PATH] [--state-dir DIR] [--verbose]\n"
	"Governs the traffic that this host's programs send to OpenAI. Runs in the foreground.\n"
	"\n"
	"  --config FILE     the policy (default /etc/sluice/sluice.yaml)\n"
	"  --socket PATH     where `sluice` asks (default /run/sluice/sluice.sock)\n"
	"  --state-dir DIR   levels of buckets, for the next start; only one daemon may use it\n"
	"                    (default /var/lib/sluice)\n"
	"  --verbose         log every step\n"
	"  --help, --version\n"
	"\n"
	"SIGHUP reloads the policy. SIGTERM sends what is held, detaches and ends.\n";

// -1: go on; else an exit code.
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {
		{"config", required_argument, NULL, 'c'},
		{"socket", required_argument, NULL, 's'},
		{"state-dir", required_argument, NULL, 'd'},
		{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{},
	};
	int option;

	*o = (struct options){"/etc/sluice/sluice.yaml", "/run/sluice/sluice.sock",
			      "/var/lib/sluice"};
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
		switch (option) {
		case 'c':
			o->config = optarg;
			break;
		case 's':
			o->socket = optarg;
			break;
		case 'd':
			o->state_dir = optarg;
			break;
		case 'v':
			log_set_verbose(1);
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("sluiced " SLUICE_VERSION);
			return EXIT_SUCCESS;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	if (optind == argc)
		return -1;
	fprintf(stderr, "sluiced: unexpected argument \"%s\"\n%s", argv[optind], usage);
	return EXIT_USAGE;
}

static void log_lines(char *text)
{
	for (char *line = text ? strtok(text, "\n") : NULL; line; line = strtok(NULL, "\n"))
		log_error("%s", line);
}

static bool new_ask_of(void *daemon, uint64_t id, struct ask *ret)
{
	const struct exchange *exchange = exchange_find(daemon, id);

	if (exchange)
		exchange_ask(daemon, exchange, ret);
	return exchange;
}

static void assign_to_policy(struct daemon *d, struct flow *flow, void *arg)
{
	(void)arg;
	flow_assign_team(d, flow);
	if (conversation_keep_headers(flow->conversation, d->kept_headers))
		log_warning("out of memory: headers of flow %llu are not seen as labels",
			    (unsigned long long)flow->number);
}

static int govern_by(struct daemon *d, struct policy *policy)
{
	struct policy *old = d->policy;
	const char **labels = d->labels, **kept_headers = d->kept_headers;
	int err;

	if (labels_prepare(d, policy))
		return -ENOMEM;
	d->policy = policy;
	flow_each(d, assign_to_policy, NULL);
	err = governor_reload(d->governor, policy, new_ask_of, d, clock_now_ns());
	if (!err) {
		wire_set_bound(policy->plaintext_memory_bytes);
		policy_free(old);
		free(labels);
		free(kept_headers);
		return 0;
	}
	free(d->labels);
	free(d->kept_headers);
	d->labels = labels;
	d->kept_headers = kept_headers;
	d->policy = old;
	flow_each(d, assign_to_policy, NULL);
	return err;
}

int daemon_reload(struct daemon *d, char **ret_error)
{
	struct policy *policy = policy_load(d->config_path, ret_error);
	int err;

	if (!policy)
		return -EINVAL;
	err = govern_by(d, policy);
	if (err) {
		policy_free(policy);
		*ret_error = strdup("out of memory; the running policy stays");
		return err;
	}
	err = kernel_apply(d->kernel, policy);
	if (err && asprintf(ret_error, "the kernel's tables of hosts did not take the policy: %s",
			    strerror(-err)) < 0)
		*ret_error = NULL;
	if (policy->mode == MODE_OBSERVE)
		daemon_release_all(d);
	log_info("policy reloaded from %s", d->config_path);
	daemon_govern(d);
	return err;
}

static void on_hangup(evutil_socket_t fd, short what, void *daemon)
{
	CLEANUP_FREE char *error = NULL;

	(void)fd, (void)what;
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		   (unsigned long long)(clock_now_ns() / NS_PER_US));
	if (daemon_reload(daemon, &error)) {
		log_lines(error);
		log_error("policy not reloaded: the running one stays");
	}
	sd_notify(0, "READY=1");
}

static void on_terminate(evutil_socket_t fd, short what, void *daemon)
{
	struct daemon *d = daemon;

	(void)fd, (void)what;
	event_base_loopbreak(d->base);
}

static void on_heartbeat(evutil_socket_t fd, short what, void *daemon)
{
	struct daemon *d = daemon;

	(void)fd, (void)what;
	kernel_heartbeat(d->kernel, clock_now_ns());
	sd_notify(0, "WATCHDOG=1");
}

static int add_timer(struct event **ret, struct daemon *d, event_callback_fn fn, unsigned ms)
{
	struct timeval period = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	*ret = event_new(d->base, -1, EV_PERSIST, fn, d);
	return *ret && !event_add(*ret, &period) ? 0 : -ENOMEM;
}

static int add_reader(struct event **ret, struct daemon *d, event_callback_fn fn, int fd)
{
	*ret = event_new(d->base, fd, EV_READ | EV_PERSIST, fn, d);
	return *ret && !event_add(*ret, NULL) ? 0 : -ENOMEM;
}

static int add_events(struct daemon *d)
{
	static struct event *signals[3];
	const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
	int ring_fd = kernel_ring_open(d->kernel, daemon_on_event, d), err;

	if (ring_fd < 0)
		return ring_fd;
	for (int i = 0; i < 3; i++) {
		signals[i] = evsignal_new(d->base, numbers[i], i < 2 ? on_terminate : on_hangup, d);
		if (!signals[i] || event_add(signals[i], NULL))
			return -ENOMEM;
	}
	d->govern_timer = evtimer_new(d->base, daemon_on_govern_timer, d);
	d->twin_timer = evtimer_new(d->base, daemon_on_twin_timer, d);
	STAILQ_INIT(&d->twins);
	err = d->govern_timer && d->twin_timer ? 0 : -ENOMEM;
	err = err ?: add_reader(&d->ring_event, d, daemon_on_ring, ring_fd);
	err = err ?: add_reader(&d->attach_event, d, daemon_on_attached, attacher_fd(d->attacher));
	err = err ?: add_timer(&d->heartbeat_timer, d, on_heartbeat, HEARTBEAT_MS);
	return err ?: add_timer(&d->second_timer, d, daemon_on_second, 1000);
}

// What waits for this process are programs: it goes first where processors are short.
static void take_precedence(void)
{
	if (setpriority(PRIO_PROCESS, 0, NICE))
		log_debug("cannot raise my priority: %s", strerror(errno));
}

// Sixteen for each process that is probed by itself.
static void allow_many_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static struct event_base *new_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	// Milliseconds are too coarse for releasing a request on time.
	if (config && !event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER))
		base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	return base;
}

// What this host does not allow, and what follows.
static void warn_of_limits(struct daemon *d)
{
	const char *why;

	if (!target_can_borrow(&why))
		log_warning(
			"sockets cannot be borrowed (%s): they are released %s, and a connection "
			"held longer than its own timeouts is lost",
			why,
			kernel_has_iterator(d->kernel) ? "by the kernel's TCP iterator"
						       : "by their own timers");
	else if (!kernel_has_iterator(d->kernel))
		log_warning(
			"this kernel refuses the TCP iterator: a socket that cannot be borrowed "
			"is released by its own timers");
}

static int start(struct daemon *d, const struct options *o, struct api **ret_api)
{
	CLEANUP_FREE char *error = NULL;
	int err;

	d->config_path = o->config;
	d->started_ns = clock_now_ns();
	d->policy = policy_load(o->config, &error);
	if (!d->policy) {
		log_lines(error);
		return -EINVAL;
	}
	wire_set_bound(d->policy->plaintext_memory_bytes);
	err = kernel_open(&d->kernel, &error);
	if (err) {
		log_lines(error);
		return err;
	}
	d->base = new_base();
	d->wall_offset_ns = clock_wall_offset_ns();
	d->governor = governor_new(d->policy, clock_now_ns(), d->wall_offset_ns);
	err = d->base && d->governor && !labels_prepare(d, d->policy) ? 0 : -ENOMEM;
	if (!err)
		memory_open(d, o->state_dir);
	err = err ?: library_registry_new(&d->registry);
	err = err ?: attacher_new(&d->attacher, d->kernel, d->registry);
	err = err ?: add_events(d);
	if (err) {
		log_error("cannot start: %s", strerror(-err));
		return err;
	}
	err = api_open(ret_api, d->base, o->socket, daemon_endpoints, d);
	if (err) {
		log_error("cannot listen on %s: %s; give another with --socket", o->socket,
			  strerror(-err));
		return err;
	}
	warn_of_limits(d);
	kernel_heartbeat(d->kernel, clock_now_ns());
	err = kernel_apply(d->kernel, d->policy);
	if (err)
		log_error("the kernel's tables of hosts did not take the policy: %s",
			  strerror(-err));
	else
		older_take_over(d);
	return err;
}

static void free_flow(struct daemon *d, struct flow *flow, void *arg)
{
	(void)arg;
	flow_free(d, flow);
}

static void stop(struct daemon *d, struct api *api)
{
	if (api)
		api_close(api);
	if (d->kernel && d->governor) {
		kernel_stop_holding(d->kernel);
		daemon_release_all(d);
		flow_each(d, free_flow, NULL);
	}
	attacher_free(d->attacher);
	kernel_close(d->kernel);
	library_registry_free(d->registry);
	memory_close(d);
	governor_free(d->governor);
	policy_free(d->policy);
	trace_free(d->trace);
	free(d->labels);
	free(d->kept_headers);
}

int main(int argc, char **argv)
{
	static struct daemon d;
	struct options options;
	struct api *api = NULL;
	int code = parse_options(argc, argv, &options), lock;
	bool is_heir;

	if (code >= 0)
		return code;
	the_daemon = &d;
	signal(SIGPIPE, SIG_IGN);
	allow_many_descriptors();
	take_precedence();
	lock = state_lock(options.state_dir, &is_heir);
	if (lock < 0)
		return EXIT_FAILURE;
	if (is_heir)
		unlink(options.socket);
	code = start(&d, &options, &api) ? EXIT_FAILURE : EXIT_SUCCESS;
	if (!code) {
		log_info("ready (%s)", d.policy->mode == MODE_ENFORCE ? "enforce" : "observe");
		sd_notify(0, "READY=1");
		event_base_dispatch(d.base);
		sd_notify(0, "STOPPING=1");
		log_info("stopping: releasing what is held");
	}
	stop(&d, api);
	close(lock);
	return code;
}
