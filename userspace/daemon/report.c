// What people see: the daemon's state as the JSON that the API serves. The keys are documented in
// sluice(1) and are a promise.
#include <json-c/json.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/daemon.h"
#include "serve/api.h"

typedef struct json_object json;

static void add_text(json *o, const char *key, const char *text)
{
	json_object_object_add(o, key, text ? json_object_new_string(text) : NULL);
}

static void add_count(json *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static void add_flag(json *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

// Rounded to a thousandth: nobody reads more, and JSON of doubles is long.
static void add_number(json *o, const char *key, double value)
{
	char text[64];

	snprintf(text, sizeof(text), "%.3f", value);
	json_object_object_add(o, key, json_object_new_double_s(value, text));
}

static uint64_t resident_bytes(void)
{
	CLEANUP_FCLOSE FILE *statm = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	if (!statm || fscanf(statm, "%*s %lu", &pages) != 1)
		return 0;
	return pages * sysconf(_SC_PAGESIZE);
}

static json *hooks(struct daemon *d)
{
	struct hook_view views[16];
	size_t n = kernel_hooks(d->kernel, views, 16);
	json *list = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		json *o = json_object_new_object();

		add_text(o, "name", views[i].name);
		add_flag(o, "attached", views[i].attached);
		json_object_array_add(list, o);
	}
	return list;
}

static json *libraries(struct daemon *d)
{
	json *list = json_object_new_array();

	for (size_t i = 0; i < library_count(d->registry); i++) {
		const struct library *library = library_get(d->registry, i);
		json *o = json_object_new_object();

		add_text(o, "path", library->path);
		add_text(o, "mode", library->is_wide ? "library" : "process");
		add_count(o, "processes", library->n_processes);
		if (library->layout.learned)
			add_count(o, "random_offset", library->layout.random_offset);
		else
			json_object_object_add(o, "random_offset", NULL);
		json_object_array_add(list, o);
	}
	return list;
}

static json *losses(struct daemon *d)
{
	static const char *const names[SLUICE_LOSSES] = {
		[SLUICE_LOST_RING_FULL] = "ring_full",  [SLUICE_LOST_FAULT] = "fault",
		[SLUICE_LOST_FLOWS_FULL] = "maps_full", [SLUICE_LOST_CALLS] = "calls",
		[SLUICE_LOST_HELLO] = "hello_unparsed",
	};
	json *o = json_object_new_object();

	for (int cause = 0; cause < SLUICE_LOSSES; cause++)
		add_count(o, names[cause], kernel_lost(d->kernel, cause));
	add_count(o, "stash_full", d->n.stash_dropped);
	add_count(o, "undecided_expired", kernel_count(d->kernel, SLUICE_COUNT_EXPIRED_FLOWS));
	return o;
}

static json *pushes(struct daemon *d)
{
	json *o = json_object_new_object();

	add_count(o, "pidfd", d->n.push_pidfd);
	add_count(o, "iter", d->n.push_iter);
	add_count(o, "failed", d->n.push_failed);
	return o;
}

static json *release_times(struct daemon *d)
{
	json *o = json_object_new_object();

	add_count(o, "count", d->release_times.n);
	add_count(o, "p50", samples_quantile(&d->release_times, 0.5));
	add_count(o, "p99", samples_quantile(&d->release_times, 0.99));
	return o;
}

static json *kernel_counts(struct daemon *d)
{
	json *o = json_object_new_object();

	add_count(o, "held_segments", kernel_count(d->kernel, SLUICE_COUNT_REFUSED_SEGMENTS));
	add_count(o, "twins", d->n.twins_sent);
	add_count(o, "twins_failed", d->n.twins_failed);
	add_count(o, "probe_hits", kernel_count(d->kernel, SLUICE_COUNT_PROBE_HITS));
	add_count(o, "not_tls", kernel_count(d->kernel, SLUICE_COUNT_NOT_TLS));
	return o;
}

static size_t probed_processes(struct daemon *d)
{
	struct process *process;
	size_t n = 0;

	for (int i = 0; i < PROCESS_BUCKETS; i++)
		LIST_FOREACH (process, &d->processes[i], in_bucket)
			n += process->state == PROCESS_PROBED;
	return n;
}

static json *status(void *ctx)
{
	struct daemon *d = ctx;
	uint64_t now = clock_now_ns();
	json *o = json_object_new_object();
	const char *why;

	add_flag(o, "enforcing", kernel_is_enforcing(d->kernel, now, &why));
	add_text(o, "why_not_enforcing", why);
	add_text(o, "mode", d->policy->mode == MODE_ENFORCE ? "enforce" : "observe");
	add_text(o, "version", SLUICE_VERSION);
	add_number(o, "uptime_s", (now - d->started_ns) / 1e9);
	add_text(o, "config", d->config_path);
	json_object_object_add(o, "hooks", hooks(d));
	json_object_object_add(o, "libraries", libraries(d));
	add_count(o, "processes", probed_processes(d));
	add_count(o, "flows", d->n_flows);
	add_count(o, "queued", governor_waiting(d->governor));
	add_count(o, "admitted", d->n.admitted);
	add_count(o, "denied", d->n.denied);
	add_count(o, "timed_out", d->n.timed_out);
	add_count(o, "opaque", d->n.opaque);
	add_count(o, "observed_waits", d->n.observed_waits);
	json_object_object_add(o, "lost_events", losses(d));
	json_object_object_add(o, "push", pushes(d));
	json_object_object_add(o, "decision_us", release_times(d));
	json_object_object_add(o, "kernel", kernel_counts(d));
	add_count(o, "rss_bytes", resident_bytes());
	return o;
}

static uint64_t time_queued_ns(const struct flow *flow, uint64_t now)
{
	const struct exchange *exchange;
	uint64_t ns = flow->queued_ns;

	TAILQ_FOREACH (exchange, &flow->exchanges, in_flow)
		if (exchange->state == EXCHANGE_QUEUED)
			ns += now - exchange->submitted_ns;
	return ns;
}

static void add_flow(struct daemon *d, struct flow *flow, void *list)
{
	json *o = json_object_new_object();
	const struct exchange *last = TAILQ_LAST(&flow->exchanges, exchange_list);
	char comm[SLUICE_COMM_BYTES + 1] = {};

	(void)d;
	memcpy(comm, flow->born.comm, SLUICE_COMM_BYTES);
	add_count(o, "id", flow->number);
	add_count(o, "pid", flow->born.tgid);
	add_text(o, "comm", comm);
	add_text(o, "user", flow->identity.user);
	add_text(o, "team", flow->team ? flow->team->name : NULL);
	add_text(o, "cgroup", flow->identity.cgroup);
	add_text(o, "host", flow->host);
	add_text(o, "model",
		 last && last->request.model[0] ? last->request.model : flow->last_model);
	add_text(o, "state", flow_state(flow));
	add_count(o, "requests", flow->n_requests);
	add_count(o, "tokens_in", flow->tokens_in);
	add_count(o, "tokens_out", flow->tokens_out);
	add_count(o, "queued_ms", time_queued_ns(flow, clock_now_ns()) / NS_PER_MS);
	add_number(o, "cost", flow->last_cost);
	add_text(o, "why_opaque", flow->opaque_reason);
	add_text(o, "library", flow->library ? flow->library->path : NULL);
	add_text(o, "address", flow->address);
	add_count(o, "local_port", flow->target.local_port);
	json_object_array_add(list, o);
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = json_object_get_uint64(json_object_object_get(*(json *const *)a, "id"));
	uint64_t y = json_object_get_uint64(json_object_object_get(*(json *const *)b, "id"));

	return x < y ? -1 : x > y;
}

static json *flows(void *ctx)
{
	json *list = json_object_new_array();

	flow_each(ctx, add_flow, list);
	json_object_array_sort(list, by_id);
	return list;
}

struct queue_list {
	struct daemon *d;
	json *list;
};

static void add_waiting(void *ctx, const struct waiting_view *view)
{
	struct queue_list *queue = ctx;
	const struct exchange *exchange = exchange_find(queue->d, view->id);
	json *o = json_object_new_object();

	add_count(o, "position", json_object_array_length(queue->list) + 1);
	add_text(o, "team", *view->team ? view->team : NULL);
	add_text(o, "model", view->model);
	add_number(o, "priority", view->priority);
	add_number(o, "cost", view->cost_tokens);
	add_count(o, "waiting_ms", view->waiting_ns / NS_PER_MS);
	if (view->eta_ns == UINT64_MAX)
		json_object_object_add(o, "eta_ms", NULL);
	else
		add_count(o, "eta_ms", view->eta_ns / NS_PER_MS);
	if (exchange) {
		char comm[SLUICE_COMM_BYTES + 1] = {};

		memcpy(comm, exchange->flow->born.comm, SLUICE_COMM_BYTES);
		add_count(o, "flow", exchange->flow->number);
		add_count(o, "pid", exchange->flow->born.tgid);
		add_text(o, "comm", comm);
	}
	json_object_array_add(queue->list, o);
}

static json *queue(void *ctx)
{
	struct queue_list queue = {ctx, json_object_new_array()};

	governor_each_waiting(queue.d->governor, clock_now_ns(), add_waiting, &queue);
	return queue.list;
}

static void add_bucket(void *list, const struct bucket_view *view)
{
	json *o = json_object_new_object();

	add_text(o, "policy", view->policy);
	add_text(o, "key", view->key);
	add_text(o, "resource", view->resource);
	add_number(o, "capacity", view->capacity);
	add_number(o, "level", view->level);
	add_number(o, "fill_per_s", view->fill_per_s);
	add_count(o, "queued", view->queued);
	json_object_array_add(list, o);
}

static json *limits(void *ctx)
{
	struct daemon *d = ctx;
	json *list = json_object_new_array();

	governor_each_bucket(d->governor, clock_now_ns(), add_bucket, list);
	return list;
}

static json *texts(char **list)
{
	json *array = json_object_new_array();

	for (; list && *list; list++)
		json_object_array_add(array, json_object_new_string(*list));
	return array;
}

static json *teams(void *ctx)
{
	struct daemon *d = ctx;
	json *list = json_object_new_array();

	for (size_t i = 0; i < d->policy->n_teams; i++) {
		const struct team *team = &d->policy->teams[i];
		json *o = json_object_new_object();

		add_text(o, "name", team->name);
		add_number(o, "weight", team->weight);
		add_number(o, "priority", team->priority);
		json_object_object_add(o, "cgroup", texts(team->cgroups));
		json_object_object_add(o, "unit", texts(team->units));
		json_object_object_add(o, "user", texts(team->users));
		add_text(o, "cgroup_mount", kernel_cgroup_mount(d->kernel));
		json_object_array_add(list, o);
	}
	return list;
}

static int reload(void *ctx, char **ret_error)
{
	return daemon_reload(ctx, ret_error);
}

void report_source(struct api_source *ret, struct daemon *d)
{
	*ret = (struct api_source){d, status, flows, queue, limits, teams, reload};
}
