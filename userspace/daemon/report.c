// What people see: the daemon's state as the JSON that the API serves. The keys are documented in
// sluice(1) and are a promise.
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/daemon.h"
#include "daemon/endpoints.h"
#include "serve/governed.h"
#include "serve/object.h"
#include "wire/memory.h"

typedef struct json_object json;

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

		object_add_text(o, "name", views[i].name);
		object_add_flag(o, "attached", views[i].attached);
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

		object_add_text(o, "path", library->path);
		object_add_text(o, "mode", library->is_wide ? "library" : "process");
		object_add_count(o, "processes", library->n_processes);
		if (library->layout.learned)
			object_add_count(o, "random_offset", library->layout.random_offset);
		else
			object_add_null(o, "random_offset");
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
		object_add_count(o, names[cause], kernel_lost(d->kernel, cause));
	object_add_count(o, "stash_full", d->n.stash_dropped);
	object_add_count(o, "undecided_expired",
			 kernel_count(d->kernel, SLUICE_COUNT_EXPIRED_FLOWS));
	return o;
}

static json *pushes(struct daemon *d)
{
	json *o = json_object_new_object();

	object_add_count(o, "pidfd", d->n.push_pidfd);
	object_add_count(o, "iter", d->n.push_iter);
	object_add_count(o, "failed", d->n.push_failed);
	return o;
}

static json *release_times(struct daemon *d)
{
	json *o = json_object_new_object();

	object_add_count(o, "count", d->release_times.n);
	object_add_count(o, "p50", samples_quantile(&d->release_times, 0.5));
	object_add_count(o, "p99", samples_quantile(&d->release_times, 0.99));
	return o;
}

static json *kernel_counts(struct daemon *d)
{
	json *o = json_object_new_object();

	object_add_count(o, "held_segments",
			 kernel_count(d->kernel, SLUICE_COUNT_REFUSED_SEGMENTS));
	object_add_count(o, "twins", d->n.twins_sent);
	object_add_count(o, "twins_failed", d->n.twins_failed);
	object_add_count(o, "probe_hits", kernel_count(d->kernel, SLUICE_COUNT_PROBE_HITS));
	object_add_count(o, "not_tls", kernel_count(d->kernel, SLUICE_COUNT_NOT_TLS));
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

json *report_status(void *ctx, const struct api_request *request, int *ret_code)
{
	struct daemon *d = ctx;
	uint64_t now = clock_now_ns();
	json *o = json_object_new_object();
	const char *why;

	(void)request, (void)ret_code;
	object_add_flag(o, "enforcing", kernel_is_enforcing(d->kernel, now, &why));
	object_add_text(o, "why_not_enforcing", why);
	object_add_text(o, "mode", d->policy->mode == MODE_ENFORCE ? "enforce" : "observe");
	object_add_text(o, "version", SLUICE_VERSION);
	object_add_number(o, "uptime_s", (now - d->started_ns) / 1e9, 3);
	object_add_text(o, "config", d->config_path);
	object_add(o, "hooks", hooks(d));
	object_add(o, "libraries", libraries(d));
	object_add_count(o, "processes", probed_processes(d));
	object_add_count(o, "flows", d->n_flows);
	object_add_count(o, "queued", governor_waiting(d->governor));
	object_add_count(o, "admitted", d->n.admitted);
	object_add_count(o, "denied", d->n.denied);
	object_add_count(o, "timed_out", d->n.timed_out);
	object_add_count(o, "opaque", d->n.opaque);
	object_add_count(o, "opaque_governed", d->n.bursts);
	object_add_count(o, "older", d->n.older);
	object_add_count(o, "let_go_over_limit", d->n.let_go);
	object_add_count(o, "websocket_turns", d->n.turns);
	object_add_count(o, "observed_waits", d->n.observed_waits);
	object_add_count(o, "unpriced", d->n.unpriced);
	object_add(o, "lost_events", losses(d));
	object_add(o, "push", pushes(d));
	object_add(o, "decision_us", release_times(d));
	object_add(o, "kernel", kernel_counts(d));
	object_add_count(o, "memory_bytes", wire_used());
	object_add_count(o, "rss_bytes", resident_bytes());
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

static void add_timing(json *o, const struct timing *timing)
{
	object_add_ms(o, "held_ms", timing->held_ns);
	object_add_ms(o, "first_byte_ms", timing->first_byte_ns);
	object_add_ms(o, "response_ms", timing->response_ns);
	if (timing->provider_ms == UINT64_MAX)
		object_add_null(o, "provider_ms");
	else
		object_add_count(o, "provider_ms", timing->provider_ms);
}

static void add_flow(struct daemon *d, struct flow *flow, void *list)
{
	json *o = json_object_new_object();
	const struct exchange *last = TAILQ_LAST(&flow->exchanges, exchange_list);
	char comm[SLUICE_COMM_BYTES + 1] = {};

	(void)d;
	memcpy(comm, flow->born.comm, SLUICE_COMM_BYTES);
	object_add_count(o, "id", flow->number);
	object_add_count(o, "pid", flow->born.tgid);
	object_add_text(o, "comm", comm);
	object_add_text(o, "user", flow->identity.user);
	object_add_text(o, "team", flow->team ? flow->team->name : NULL);
	object_add_text(o, "cgroup", flow->identity.cgroup);
	object_add_text(o, "host", flow->host);
	object_add_text(o, "model",
			last && last->request.model[0] ? last->request.model : flow->last_model);
	object_add_text(o, "state", flow_state(flow));
	object_add_count(o, "requests", flow->n_requests);
	object_add_count(o, "tokens_in", flow->tokens_in);
	object_add_count(o, "tokens_out", flow->tokens_out);
	object_add_count(o, "queued_ms", time_queued_ns(flow, clock_now_ns()) / NS_PER_MS);
	object_add_number(o, "cost", flow->last_cost, 3);
	object_add_text(o, "protocol", flow_protocol(flow));
	object_add_flag(o, "opaque", flow->opaque_reason);
	object_add_text(o, "why_opaque", flow->opaque_reason);
	object_add_text(o, "container",
			flow->identity.container[0] ? flow->identity.container : NULL);
	add_timing(o, &flow->last);
	object_add_text(o, "library", flow->library ? flow->library->path : NULL);
	object_add_text(o, "address", flow->address);
	object_add_count(o, "local_port", flow->target.local_port);
	json_object_array_add(list, o);
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = json_object_get_uint64(json_object_object_get(*(json *const *)a, "id"));
	uint64_t y = json_object_get_uint64(json_object_object_get(*(json *const *)b, "id"));

	return x < y ? -1 : x > y;
}

json *report_flows(void *ctx, const struct api_request *request, int *ret_code)
{
	json *list = json_object_new_array();

	(void)request, (void)ret_code;
	flow_each(ctx, add_flow, list);
	json_object_array_sort(list, by_id);
	return list;
}

struct queue_list {
	struct daemon *d;
	json *list;
};

static void add_waiting_exchange(json *o, const struct exchange *exchange)
{
	const struct flow *flow = exchange->flow;
	char comm[SLUICE_COMM_BYTES + 1] = {}, id[32];

	memcpy(comm, flow->born.comm, SLUICE_COMM_BYTES);
	snprintf(id, sizeof(id), "r%" PRIu64, exchange->id);
	object_add_text(o, "request", id);
	object_add_text(o, "team", flow->team ? flow->team->name : NULL);
	object_add_text(o, "model", exchange->request.model);
	object_add_number(o, "cost", exchange->amounts[RESOURCE_TOKENS], 3);
	object_add_count(o, "flow", flow->number);
	object_add_count(o, "pid", flow->born.tgid);
	object_add_text(o, "comm", comm);
}

static void add_waiting(void *ctx, const struct waiting_view *view)
{
	struct queue_list *queue = ctx;
	const struct exchange *exchange = exchange_find(queue->d, view->id);
	json *o = json_object_new_object();

	object_add_count(o, "position", json_object_array_length(queue->list) + 1);
	if (exchange)
		add_waiting_exchange(o, exchange);
	object_add_number(o, "priority", view->priority, 3);
	object_add_text(o, "workload", view->workload);
	object_add_ms(o, "waiting_ms", view->waiting_ns);
	object_add_ms(o, "eta_ms", view->eta_ns);
	json_object_array_add(queue->list, o);
}

json *report_queue(void *ctx, const struct api_request *request, int *ret_code)
{
	struct queue_list queue = {ctx, json_object_new_array()};

	(void)request, (void)ret_code;
	governor_each_waiting(queue.d->governor, clock_now_ns(), add_waiting, &queue);
	return queue.list;
}

struct limit_list {
	const struct policy *policy;
	json *list;
};

static void add_bucket(void *ctx, const struct bucket_view *view)
{
	const struct limit_list *limits = ctx;

	json_object_array_add(limits->list, governed_bucket(limits->policy, view));
}

json *report_limits(void *ctx, const struct api_request *request, int *ret_code)
{
	struct daemon *d = ctx;
	struct limit_list limits = {d->policy, json_object_new_array()};

	(void)request, (void)ret_code;
	governor_each_bucket(d->governor, clock_now_ns(), add_bucket, &limits);
	return limits.list;
}

static void add_limit(void *list, const struct limit_view *view)
{
	json_object_array_add(list, governed_limit(view));
}

json *report_policies(void *ctx, const struct api_request *request, int *ret_code)
{
	struct daemon *d = ctx;
	json *list = json_object_new_array();

	(void)request, (void)ret_code;
	governor_each_limit(d->governor, clock_now_ns(), add_limit, list);
	return list;
}

static json *texts(char **list)
{
	json *array = json_object_new_array();

	for (; list && *list; list++)
		json_object_array_add(array, json_object_new_string(*list));
	return array;
}

json *report_teams(void *ctx, const struct api_request *request, int *ret_code)
{
	struct daemon *d = ctx;
	json *list = json_object_new_array();

	(void)request, (void)ret_code;
	for (size_t i = 0; i < d->policy->n_teams; i++) {
		const struct team *team = &d->policy->teams[i];
		json *o = json_object_new_object();

		object_add_text(o, "name", team->name);
		object_add_number(o, "weight", team->weight, 3);
		object_add_number(o, "priority", team->priority, 3);
		object_add_number(o, "guarantee", team->guarantee, 3);
		object_add_count(o, "tier", team->tier);
		object_add(o, "cgroup", texts(team->cgroups));
		object_add(o, "unit", texts(team->units));
		object_add(o, "user", texts(team->users));
		object_add_text(o, "cgroup_mount", kernel_cgroup_mount(d->kernel));
		json_object_array_add(list, o);
	}
	return list;
}
