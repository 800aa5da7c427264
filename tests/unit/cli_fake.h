// A daemon that is none: the real API on a socket in a directory of its own, with made-up content.
// It runs in a child process, as sluiced would, and dies with the test. Only what check asks is
// answered by a real governor: under FAKE_POLICY, whose limits "drained" and "spent" have been
// drawn from until nothing is left.
#ifndef SLUICE_TESTS_CLI_FAKE_H
#define SLUICE_TESTS_CLI_FAKE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/clock.h"
#include "config/policy.h"
#include "govern/governor.h"
#include "serve/api.h"
#include "serve/object.h"
#include "serve/question.h"

#define FAKE_REFUSAL "sluice.yaml:7: unknown key \"wieght\"; expected weight"

#define FAKE_STATUS                                                                                \
	"{\"enforcing\":false,\"mode\":\"observe\",\"why_not_enforcing\":\"mode is observe\","     \
	"\"version\":\"9.8.7\",\"uptime_s\":7500,\"config\":\"/etc/sluice/sluice.yaml\","          \
	"\"hooks\":[{\"name\":\"cgroup_skb/egress\",\"attached\":true}],"                          \
	"\"libraries\":[{\"path\":\"/usr/lib/libssl.so.3\",\"mode\":\"process\",\"processes\":3,"  \
	"\"random_offset\":352},{\"path\":\"/usr/bin/node\",\"mode\":\"library\",\"processes\":1," \
	"\"random_offset\":null}],\"processes\":4,\"flows\":12,\"queued\":2,\"admitted\":1203,"    \
	"\"denied\":7,\"timed_out\":1,\"opaque\":3,\"opaque_governed\":41,\"older\":6,"            \
	"\"let_go_over_limit\":9,\"memory_bytes\":1258291,\"lost_events\":{\"ring_full\":5,"       \
	"\"fault\":0,"                                                                             \
	"\"maps_full\":0},\"push\":{\"pidfd\":1200,\"iter\":3,\"failed\":0},\"kernel\":{"          \
	"\"held_segments\":31,\"twins\":29,\"probe_hits\":8213},\"rss_bytes\":12897485}"
// The first flow's name tries to colour the terminal, the second one's was cut within a character.
// The third is in a container that has a name.
#define FAKE_FLOWS                                                                                 \
	"[{\"id\":18446744073709551615,\"pid\":4242,\"comm\":\"py\\u001b[31mthon\","               \
	"\"user\":\"alice\",\"team\":\"chat\",\"cgroup\":\"/chat.slice\",\"host\":\"api.openai."   \
	"com\",\"model\":\"gpt-4\",\"state\":\"queued\",\"requests\":3,\"tokens_in\":120,"         \
	"\"tokens_out\":4500,\"queued_ms\":1234.5,\"cost\":900,\"why_opaque\":null,"               \
	"\"protocol\":\"h2\",\"opaque\":false,\"container\":\"4bc0f86c57a14d3f9c6e2b81d7a0e5f3"    \
	"1c2d3e4f5061728394a5b6c7d8e9f001\",\"held_ms\":350,\"first_byte_ms\":812,"                \
	"\"response_ms\":2301,\"provider_ms\":795},"                                               \
	"{\"id\":7,\"pid\":77,\"comm\":\"j\xc3\",\"user\":\"bob\",\"team\":\"\",\"cgroup\":"       \
	"\"/\",\"host\":\"api.openai.com\",\"model\":\"\",\"state\":\"opaque\",\"requests\":1,"    \
	"\"tokens_in\":0,\"tokens_out\":0,\"queued_ms\":0,\"cost\":0,"                             \
	"\"why_opaque\":\"no probe point in this TLS library\",\"protocol\":null,\"opaque\":true," \
	"\"container\":\"\",\"held_ms\":null,\"first_byte_ms\":null,\"response_ms\":null,"         \
	"\"provider_ms\":null},"                                                                   \
	"{\"id\":8,\"pid\":78,\"comm\":\"node\",\"user\":\"bob\",\"team\":\"chat\",\"cgroup\":"    \
	"\"/lxc.payload.web\",\"host\":\"api.groq.com\",\"model\":\"gpt-4o-mini\",\"state\":"      \
	"\"responding\",\"requests\":12,\"tokens_in\":120,\"tokens_out\":4500,\"queued_ms\":350,"  \
	"\"cost\":900,\"why_opaque\":null,\"protocol\":\"websocket\",\"opaque\":false,"            \
	"\"container\":\"web\",\"held_ms\":0,\"first_byte_ms\":30,\"response_ms\":null,"           \
	"\"provider_ms\":null}]"
// As an older daemon lists them.
#define FAKE_OLD_STATUS                                                                            \
	"{\"enforcing\":true,\"mode\":\"enforce\",\"version\":\"0.0.1\",\"uptime_s\":1,"           \
	"\"config\":\"/a\",\"hooks\":[],\"libraries\":[],\"processes\":4,\"flows\":12,"            \
	"\"queued\":2,\"admitted\":1203,\"denied\":7,\"timed_out\":1,\"opaque\":3,"                \
	"\"rss_bytes\":12897485}"
#define FAKE_OLD_FLOWS                                                                             \
	"[{\"id\":1,\"pid\":9,\"comm\":\"curl\",\"user\":\"ann\",\"team\":null,\"cgroup\":\"/a\"," \
	"\"host\":\"api.openai.com\",\"model\":\"gpt-4\",\"state\":\"idle\",\"requests\":1,"       \
	"\"tokens_in\":5,\"tokens_out\":6,\"queued_ms\":0,\"cost\":1,\"why_opaque\":null}]"
#define FAKE_QUEUE                                                                                 \
	"[{\"position\":1,\"team\":\"chat\",\"model\":\"gpt-4\",\"priority\":2,\"cost\":900,"      \
	"\"waiting_ms\":350,\"eta_ms\":1500,\"request\":\"r12\",\"workload\":\"paid\",\"flow\":5," \
	"\"pid\":4242,\"comm\":\"python\"},"                                                       \
	"{\"position\":2,\"team\":\"batch\",\"model\":\"gpt-4\",\"priority\":1,\"cost\":4000,"     \
	"\"waiting_ms\":61000,\"eta_ms\":null,\"flow\":6,\"pid\":4243,\"comm\":\"node\"}]"
// The last two are of an older daemon, and of a limit that nobody knows yet.
#define FAKE_LIMITS                                                                                \
	"[{\"policy\":\"gpt-4\",\"key\":\"3f2a\",\"resource\":\"tokens\",\"capacity\":40000,"      \
	"\"level\":1234.25,\"fill_per_s\":666.666667,\"fill_amount\":40000,\"queued\":2,"          \
	"\"interval_s\":60,\"shut_ms\":12000,\"learnt\":true},"                                    \
	"{\"policy\":\"money\",\"key\":\"chat\",\"resource\":\"cost\",\"capacity\":500,"           \
	"\"level\":12.5,\"fill_per_s\":0,\"fill_amount\":500,\"queued\":0,"                        \
	"\"interval_s\":2592000,\"shut_ms\":null,\"learnt\":false},"                               \
	"{\"policy\":\"gpt-4\",\"key\":\"3f2a\",\"resource\":\"requests\",\"capacity\":200,"       \
	"\"level\":150,\"fill_per_s\":3.333333,\"queued\":0},"                                     \
	"{\"policy\":\"auto\",\"key\":\"\",\"resource\":\"images\",\"capacity\":null,"             \
	"\"level\":null,\"fill_per_s\":0,\"fill_amount\":0,\"queued\":0,\"interval_s\":300,"       \
	"\"shut_ms\":0,\"learnt\":false}]"
#define FAKE_NEED                                                                                  \
	"{\"policy\":\"gpt-4\",\"key\":\"3f2a\",\"resource\":\"tokens\",\"state\":\"short\","      \
	"\"amount\":1200,\"level\":34,\"capacity\":40000,\"fill_per_s\":666.666667,"               \
	"\"fill_amount\":40000,\"interval_s\":60,\"shut_ms\":0,\"ready_ms\":1749,"                 \
	"\"workload\":\"paid\",\"priority\":2,\"tier\":0,\"is_team\":false}"
#define FAKE_EXPLAIN                                                                               \
	"{\"request\":\"r12\",\"flow\":5,\"pid\":4242,\"comm\":\"python\",\"team\":\"chat\","      \
	"\"model\":\"gpt-4\",\"state\":\"queued\",\"waits\":true,\"verdict\":\"queued\","          \
	"\"policy\":null,\"waiting_ms\":350,\"eta_ms\":1800,\"needs\":[" FAKE_NEED "]}"
#define FAKE_EXPLAIN_ENDED                                                                         \
	"{\"request\":\"r3\",\"pid\":77,\"comm\":\"node\",\"team\":null,\"model\":\"gpt-4\","      \
	"\"state\":\"ended\",\"waits\":false,\"verdict\":\"queued\",\"policy\":null,"              \
	"\"waiting_ms\":0,\"eta_ms\":null,\"needs\":[" FAKE_NEED "]}"
#define FAKE_TRACE                                                                                 \
	"[{\"seq\":7,\"t\":1764000000.5,\"id\":\"r7\",\"labels\":{\"model\":\"gpt-4\"},"           \
	"\"tokens\":9},{\"seq\":8,\"t\":1764000001,\"id\":\"r8\",\"labels\":{},\"tokens\":5}]"
#define FAKE_YAML "mode: observe\nteams:\n- name: chat\n"
#define FAKE_POLICY                                                                                \
	"mode: enforce\n"                                                                          \
	"teams:\n"                                                                                 \
	"  - { name: chat, cgroup: /chat.slice }\n"                                                \
	"  - { name: spies, cgroup: /spies.slice, deny: true }\n"                                  \
	"limits:\n"                                                                                \
	"  - { name: gpt-4, match: {model: gpt-4}, key: api_key, rpm: 200, tpm: 40000 }\n"         \
	"  - { name: drained, match: {model: drained}, key: model, tpm: 60 }\n"                    \
	"  - { name: spent, match: {model: spent}, key: model, tpm: 60, over_limit: deny }\n"      \
	"policies:\n"                                                                              \
	"  - { name: ann-only, resource: requests, bucket_capacity: 10, interval: 1d,\n"           \
	"      match: {http.header.x-user: ann}, key: http.header.x-user }\n"
#define FAKE_TEAMS                                                                                 \
	"[{\"name\":\"chat\",\"weight\":4,\"priority\":1,\"cgroup\":[\"/chat.slice\"],"            \
	"\"unit\":[],\"user\":[],\"cgroup_mount\":\"/sys/fs/cgroup\"},{\"name\":\"batch\","        \
	"\"weight\":1,\"priority\":1,\"cgroup\":[],\"unit\":[],\"user\":[\"batch\"],"              \
	"\"cgroup_mount\":\"/sys/fs/cgroup\"},{\"name\":\"web\",\"weight\":1,\"priority\":1,"      \
	"\"cgroup\":[],\"unit\":[\"nginx.service\"],\"user\":[],\"cgroup_mount\":\"/sys/fs/cgroup" \
	"\"},{\"name\":\"try\",\"weight\":1,\"priority\":1,\"cgroup\":[\"/sluice-test-*\"],"       \
	"\"unit\":[],\"user\":[],\"cgroup_mount\":\"/nowhere\"}]"

struct fake {
	char directory[64];
	char socket[96];
	char refuse[96]; // while this file exists, it refuses to reload
	char config[96]; // FAKE_POLICY
	bool empty;      // its lists are
	bool is_old;
	struct policy *policy; // from here on of the child only
	struct governor *governor;
	pid_t pid; // 0: not running
};

#define FAKE_VIEW(name, text)                                                                      \
	static struct json_object *fake_##name(void *ctx, const struct api_request *request,       \
					       int *ret_code)                                      \
	{                                                                                          \
		const struct fake *fake = ctx;                                                     \
                                                                                                   \
		(void)request, (void)ret_code;                                                     \
		return json_tokener_parse(fake->empty && *(text) == '[' ? "[]" : (text));          \
	}
FAKE_VIEW(status, fake->is_old ? FAKE_OLD_STATUS : FAKE_STATUS)
FAKE_VIEW(flows, fake->is_old ? FAKE_OLD_FLOWS : FAKE_FLOWS)
FAKE_VIEW(queue, FAKE_QUEUE)
FAKE_VIEW(limits, FAKE_LIMITS)
FAKE_VIEW(teams, FAKE_TEAMS)

static struct json_object *fake_explain(void *ctx, const struct api_request *request, int *ret_code)
{
	const char *flow = api_query(request, "flow"), *id = api_query(request, "request");

	(void)ctx;
	if ((flow && !strcmp(flow, "5")) || (id && !strcmp(id, "12")))
		return json_tokener_parse(FAKE_EXPLAIN);
	if (id && !strcmp(id, "3"))
		return json_tokener_parse(FAKE_EXPLAIN_ENDED);
	return api_error(ret_code, 404, "no flow %s", flow ? flow : "?");
}

// Those behind ?after=N.
static struct json_object *fake_trace(void *ctx, const struct api_request *request, int *ret_code)
{
	const char *after = api_query(request, "after");
	struct json_object *all = json_tokener_parse(FAKE_TRACE);

	(void)ctx, (void)ret_code;
	while (after && json_object_array_length(all)) {
		struct json_object *first = json_object_array_get_idx(all, 0);

		if (json_object_get_int(json_object_object_get(first, "seq")) > atoi(after))
			break;
		json_object_array_del_idx(all, 0, 1);
	}
	return all;
}

static struct json_object *fake_policy(void *ctx, const struct api_request *request, int *ret_code)
{
	(void)ctx, (void)request, (void)ret_code;
	return json_object_new_string(FAKE_YAML);
}

static struct json_object *fake_check(void *ctx, const struct api_request *request, int *ret_code)
{
	struct fake *fake = ctx;
	size_t bytes;
	struct json_object *question = json_tokener_parse(api_body(request, &bytes)), *answer;
	char *problem = NULL;

	if (question_answer(fake->governor, fake->policy, question, clock_now_ns(), &answer,
			    &problem))
		answer = api_error(ret_code, 422, "%s", problem);
	free(problem);
	json_object_put(question);
	return answer;
}

// Each limit has two buckets, but for "3f2a", which is the key of one.
static struct json_object *fake_reset(void *ctx, const struct api_request *request, int *ret_code)
{
	size_t bytes;
	struct json_object *order = json_tokener_parse(api_body(request, &bytes));
	const char *policy = json_object_get_string(json_object_object_get(order, "policy"));
	const char *key = json_object_get_string(json_object_object_get(order, "key"));
	struct json_object *answer = json_object_new_object();

	(void)ctx;
	object_add_count(answer, "reset", !key ? 2 : !strcmp(key, "3f2a"));
	if (policy && strcmp(policy, "gpt-4") != 0) {
		json_object_put(answer);
		answer = api_error(ret_code, 404, "no limit or team is called \"%s\"", policy);
	}
	json_object_put(order);
	return answer;
}

static struct json_object *fake_reload(void *ctx, const struct api_request *request, int *ret_code)
{
	const struct fake *fake = ctx;

	(void)request;
	if (access(fake->refuse, F_OK) < 0)
		return json_tokener_parse("{\"reloaded\":true}");
	return api_error(ret_code, 422, "%s", FAKE_REFUSAL);
}

static const struct api_endpoint fake_endpoints[] = {
	{"GET", "/v1/status", fake_status, NULL},
	{"GET", "/v1/flows", fake_flows, NULL},
	{"GET", "/v1/queue", fake_queue, NULL},
	{"GET", "/v1/limits", fake_limits, NULL},
	{"GET", "/v1/teams", fake_teams, NULL},
	{"GET", "/v1/explain", fake_explain, NULL},
	{"GET", "/v1/trace", fake_trace, NULL},
	{"GET", "/v1/policy", fake_policy, "application/yaml"},
	{"POST", "/v1/check", fake_check, NULL},
	{"POST", "/v1/reset", fake_reset, NULL},
	{"POST", "/v1/reload", fake_reload, NULL},
	{0},
};

// Takes ten times what the bucket of the model holds.
static inline void fake_drain(struct fake *fake, uint64_t id, const char *model)
{
	const char **labels = calloc(fake->policy->n_labels, sizeof(*labels));
	struct ask ask = {.id = id, .labels = labels, .amounts = {1, 600}};
	struct decision decision;

	labels[LABEL_MODEL] = model;
	governor_submit(fake->governor, &ask, clock_now_ns(), &decision);
	free(labels);
}

static inline int fake_govern(struct fake *fake)
{
	char *problems = NULL;

	fake->policy = policy_load(fake->config, &problems);
	if (!fake->policy) {
		fprintf(stderr, "%s\n", problems);
		return -1;
	}
	fake->governor = governor_new(fake->policy, clock_now_ns(), clock_wall_offset_ns());
	fake_drain(fake, 1, "drained");
	fake_drain(fake, 2, "spent");
	return 0;
}

static inline void fake_on_signal(evutil_socket_t signal, short events, void *base)
{
	(void)signal;
	(void)events;
	event_base_loopbreak(base);
}

// The child: serves until SIGTERM. Writes a byte to `ready` once it listens.
static inline int fake_serve(struct fake *fake, int ready)
{
	struct event_base *base = event_base_new();
	struct event *term = evsignal_new(base, SIGTERM, fake_on_signal, base);
	struct api *api;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	event_add(term, NULL);
	if (fake_govern(fake) || api_open(&api, base, fake->socket, fake_endpoints, fake) != 0 ||
	    write(ready, "", 1) != 1)
		return 1;
	event_base_dispatch(base);
	api_close(api);
	governor_free(fake->governor);
	policy_free(fake->policy);
	event_free(term);
	event_base_free(base);
	return 0;
}

// It listens when this returns.
static inline void fake_start(struct fake *fake)
{
	int ready[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	fake->pid = fork();
	assert_true(fake->pid >= 0);
	if (!fake->pid)
		_exit(fake_serve(fake, ready[1]));
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

// SIGTERM: as a daemon should end. SIGKILL: the socket's file stays behind.
static inline void fake_end(struct fake *fake, int signal)
{
	int status;

	kill(fake->pid, signal);
	assert_int_equal(waitpid(fake->pid, &status, 0), fake->pid);
	fake->pid = 0;
	if (signal == SIGTERM)
		assert_int_equal(status, 0);
}

// Its directory; it does not run yet.
static inline void fake_make(struct fake *fake)
{
	FILE *config;

	*fake = (struct fake){.directory = "/tmp/sluice-test-XXXXXX"};
	assert_non_null(mkdtemp(fake->directory));
	snprintf(fake->socket, sizeof(fake->socket), "%s/run/s.sock", fake->directory);
	snprintf(fake->refuse, sizeof(fake->refuse), "%s/refuse", fake->directory);
	snprintf(fake->config, sizeof(fake->config), "%s/sluice.yaml", fake->directory);
	config = fopen(fake->config, "w");
	assert_non_null(config);
	fputs(FAKE_POLICY, config);
	fclose(config);
}

static inline void fake_remove(struct fake *fake)
{
	char *slash;

	if (fake->pid)
		fake_end(fake, SIGTERM);
	unlink(fake->config);
	unlink(fake->refuse);
	unlink(fake->socket);
	slash = strrchr(fake->socket, '/');
	*slash = '\0';
	rmdir(fake->socket);
	assert_int_equal(rmdir(fake->directory), 0);
}

#endif
