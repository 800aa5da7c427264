// A daemon that is none: the real API on a socket in a directory of its own, with made-up content.
// It runs in a child process, as sluiced would, and dies with the test.
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
#include "serve/api.h"

#define FAKE_REFUSAL "sluice.yaml:7: unknown key \"wieght\"; expected weight"

#define FAKE_STATUS                                                                                \
	"{\"enforcing\":false,\"mode\":\"observe\",\"why_not_enforcing\":\"mode is observe\","     \
	"\"version\":\"9.8.7\",\"uptime_s\":7500,\"config\":\"/etc/sluice/sluice.yaml\","          \
	"\"hooks\":[{\"name\":\"cgroup_skb/egress\",\"attached\":true}],"                          \
	"\"libraries\":[{\"path\":\"/usr/lib/libssl.so.3\",\"mode\":\"process\",\"processes\":3,"  \
	"\"random_offset\":352},{\"path\":\"/usr/bin/node\",\"mode\":\"library\",\"processes\":1," \
	"\"random_offset\":null}],\"processes\":4,\"flows\":12,\"queued\":2,\"admitted\":1203,"    \
	"\"denied\":7,\"timed_out\":1,\"opaque\":3,\"lost_events\":{\"ring_full\":5,\"fault\":0,"  \
	"\"maps_full\":0},\"push\":{\"pidfd\":1200,\"iter\":3,\"failed\":0},\"kernel\":{"          \
	"\"held_segments\":31,\"twins\":29,\"probe_hits\":8213},\"rss_bytes\":12897485}"
// The first flow's name tries to colour the terminal, the second one's was cut within a character.
#define FAKE_FLOWS                                                                                 \
	"[{\"id\":18446744073709551615,\"pid\":4242,\"comm\":\"py\\u001b[31mthon\","               \
	"\"user\":\"alice\",\"team\":\"chat\",\"cgroup\":\"/chat.slice\",\"host\":\"api.openai."   \
	"com\",\"model\":\"gpt-4\",\"state\":\"queued\",\"requests\":3,\"tokens_in\":120,"         \
	"\"tokens_out\":4500,\"queued_ms\":1234.5,\"cost\":900,\"why_opaque\":null},"              \
	"{\"id\":7,\"pid\":77,\"comm\":\"j\xc3\",\"user\":\"bob\",\"team\":\"\",\"cgroup\":"       \
	"\"/\",\"host\":\"api.openai.com\",\"model\":\"\",\"state\":\"opaque\",\"requests\":1,"    \
	"\"tokens_in\":0,\"tokens_out\":0,\"queued_ms\":0,\"cost\":0,"                             \
	"\"why_opaque\":\"no probe point in this TLS library\"}]"
#define FAKE_QUEUE                                                                                 \
	"[{\"position\":1,\"team\":\"chat\",\"model\":\"gpt-4\",\"priority\":2,\"cost\":900,"      \
	"\"waiting_ms\":350,\"eta_ms\":1500,\"flow\":5,\"pid\":4242,\"comm\":\"python\"},"         \
	"{\"position\":2,\"team\":\"batch\",\"model\":\"gpt-4\",\"priority\":1,\"cost\":4000,"     \
	"\"waiting_ms\":61000,\"eta_ms\":null,\"flow\":6,\"pid\":4243,\"comm\":\"node\"}]"
#define FAKE_LIMITS                                                                                \
	"[{\"policy\":\"gpt-4\",\"key\":\"3f2a\",\"resource\":\"tokens\",\"capacity\":40000,"      \
	"\"level\":1234.25,\"fill_per_s\":666.667,\"queued\":2},{\"policy\":\"gpt-4\",\"key\":"    \
	"\"3f2a\",\"resource\":\"requests\",\"capacity\":200,\"level\":150,\"fill_per_s\":3.333,"  \
	"\"queued\":0}]"
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
	bool empty;      // its lists are
	pid_t pid;       // 0: not running
};

static struct json_object *fake_status(void *ctx)
{
	(void)ctx;
	return json_tokener_parse(FAKE_STATUS);
}

static struct json_object *fake_list(const struct fake *fake, const char *text)
{
	return json_tokener_parse(fake->empty ? "[]" : text);
}

static struct json_object *fake_flows(void *ctx)
{
	return fake_list(ctx, FAKE_FLOWS);
}

static struct json_object *fake_queue(void *ctx)
{
	return fake_list(ctx, FAKE_QUEUE);
}

static struct json_object *fake_limits(void *ctx)
{
	return fake_list(ctx, FAKE_LIMITS);
}

static struct json_object *fake_teams(void *ctx)
{
	return fake_list(ctx, FAKE_TEAMS);
}

static int fake_reload(void *ctx, char **ret_error)
{
	const struct fake *fake = ctx;

	if (access(fake->refuse, F_OK) < 0)
		return 0;
	*ret_error = strdup(FAKE_REFUSAL);
	return -EINVAL;
}

static struct api_source fake_source(struct fake *fake)
{
	return (struct api_source){
		.ctx = fake,
		.status = fake_status,
		.flows = fake_flows,
		.queue = fake_queue,
		.limits = fake_limits,
		.teams = fake_teams,
		.reload = fake_reload,
	};
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
	struct api_source source = fake_source(fake);
	struct event_base *base = event_base_new();
	struct event *term = evsignal_new(base, SIGTERM, fake_on_signal, base);
	struct api *api;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	event_add(term, NULL);
	if (api_open(&api, base, fake->socket, &source) != 0 || write(ready, "", 1) != 1)
		return 1;
	event_base_dispatch(base);
	api_close(api);
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
	*fake = (struct fake){.directory = "/tmp/sluice-test-XXXXXX"};
	assert_non_null(mkdtemp(fake->directory));
	snprintf(fake->socket, sizeof(fake->socket), "%s/run/s.sock", fake->directory);
	snprintf(fake->refuse, sizeof(fake->refuse), "%s/refuse", fake->directory);
}

static inline void fake_remove(struct fake *fake)
{
	char *slash;

	if (fake->pid)
		fake_end(fake, SIGTERM);
	unlink(fake->refuse);
	unlink(fake->socket);
	slash = strrchr(fake->socket, '/');
	*slash = '\0';
	rmdir(fake->socket);
	assert_int_equal(rmdir(fake->directory), 0);
}

#endif
