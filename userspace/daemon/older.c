// Connections that were there before the daemon. Their ClientHello is gone, so whom they call is
// known by address alone: those that the governed hosts' names have now, and those that the policy
// gives as addresses. They are taken over as opaque flows. One to a governed port whose address is
// no governed host's may be anybody's: on port 443 it is only counted; elsewhere it is shown, and
// passes.
//
// Names are asked for and sockets looked for on a thread of its own, once, at start.
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "tap/older.h"

enum { ADDRESSES_MOST = 256, HTTPS_PORT = 443 };

struct named_address {
	uint8_t address[16];
	char host[SLUICE_HOST_BYTES];
};

struct older_search {
	char **hosts; // NULL-terminated, owned; the policy may be another one by the end
	uint16_t *ports;
	size_t n_hosts, n_ports;
	struct named_address addresses[ADDRESSES_MOST];
	size_t n_addresses;
	struct older found[OLDER_MOST];
	int n_found;
	int event_fd;
	struct event *event;
};

static void search_free(struct older_search *s)
{
	for (size_t i = 0; i < s->n_hosts; i++)
		free(s->hosts[i]);
	free(s->hosts);
	free(s->ports);
	if (s->event)
		event_free(s->event);
	cleanup_close_fn(&s->event_fd);
	free(s);
}

static void add_address(struct older_search *s, const char *host, const struct sockaddr *from)
{
	struct named_address *named = &s->addresses[s->n_addresses];

	if (s->n_addresses == ADDRESSES_MOST)
		return;
	*named = (struct named_address){.address = {[10] = 0xff, [11] = 0xff}};
	if (from->sa_family == AF_INET)
		memcpy(named->address + 12, &((const struct sockaddr_in *)from)->sin_addr, 4);
	else
		memcpy(named->address, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
	snprintf(named->host, sizeof(named->host), "%s", host);
	s->n_addresses++;
}

static void resolve(struct older_search *s, const char *host)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;

	if (host[0] == '*' || getaddrinfo(host, NULL, &hints, &list))
		return;
	for (const struct addrinfo *at = list; at; at = at->ai_next)
		if (at->ai_family == AF_INET || at->ai_family == AF_INET6)
			add_address(s, host, at->ai_addr);
	freeaddrinfo(list);
}

static void *search(void *arg)
{
	struct older_search *s = arg;

	s->n_found = older_find(s->ports, s->n_ports, s->found, OLDER_MOST);
	for (size_t i = 0; i < s->n_hosts && s->n_found > 0; i++)
		resolve(s, s->hosts[i]);
	eventfd_write(s->event_fd, 1);
	return NULL;
}

static const char *host_of(const struct older_search *s, const struct older *older)
{
	for (size_t i = 0; i < s->n_addresses; i++)
		if (!memcmp(s->addresses[i].address, older->address, sizeof(older->address)))
			return s->addresses[i].host;
	return NULL;
}

// As its ClientHello would have told it.
static struct sluice_hello hello_of(const struct older *older, const char *host)
{
	struct sluice_hello hello = {
		.event = {.type = SLUICE_EVENT_HELLO, .cookie = older->cookie},
		.flow = {.born_ns = clock_now_ns(),
			 .tgid = older->tgid,
			 .uid = older->uid,
			 .flags = SLUICE_FLOW_HELLO | SLUICE_FLOW_RECORDS_LOST,
			 .port = older->port,
			 .family = older->family,
			 .netns = older->netns},
		.local_port = older->local_port,
	};

	memcpy(hello.flow.address, older->address, sizeof(hello.flow.address));
	memcpy(hello.flow.comm, older->comm, sizeof(hello.flow.comm));
	memcpy(hello.local_address, older->local_address, sizeof(hello.local_address));
	if (host)
		snprintf(hello.host, sizeof(hello.host), "%s", host);
	return hello;
}

static void take_over(struct daemon *d, const struct older *older, const char *host)
{
	struct sluice_hello hello = hello_of(older, host);
	struct flow *flow;

	// -EEXIST: it was opened while the search was on, and is known.
	if (host && kernel_adopt_flow(d->kernel, older->cookie, &hello.flow))
		return;
	if (flow_find(d, older->cookie))
		return;
	d->n.older++;
	if (!host && older->port == HTTPS_PORT)
		return;
	flow = flow_add(d, &hello);
	if (!flow) {
		kernel_forget_flow(d->kernel, older->cookie, hello.flow.random);
	} else if (host) {
		flow_set_opaque(d, flow, "older than the daemon");
	} else { // it may be anybody's: it passes, whatever the policy does with what is opaque
		flow->opaque_reason = "older than the daemon, and its host is not known";
		d->n.opaque++;
	}
}

static void on_found(evutil_socket_t fd, short what, void *arg)
{
	struct older_search *s = arg;

	(void)fd, (void)what;
	if (s->n_found < 0)
		log_warning("connections that are older than this daemon cannot be found (%s): "
			    "they pass unseen",
			    strerror(-s->n_found));
	for (int i = 0; i < s->n_found; i++)
		take_over(the_daemon, &s->found[i], host_of(s, &s->found[i]));
	if (s->n_found > 0)
		log_info("%d connections to governed ports are older than this daemon; "
			 "sluice flows shows those that may call a governed host",
			 s->n_found);
	search_free(s);
}

static int copy_policy(struct older_search *s, const struct policy *policy)
{
	size_t n_hosts = 0, n_ports = 0;

	for (size_t i = 0; i < policy->n_providers; i++) {
		n_ports += policy->providers[i].n_ports;
		for (char **host = policy->providers[i].hosts; *host; host++)
			n_hosts++;
	}
	s->hosts = calloc(n_hosts + 1, sizeof(*s->hosts));
	s->ports = calloc(n_ports + 1, sizeof(*s->ports));
	if (!s->hosts || !s->ports)
		return -ENOMEM;
	for (size_t i = 0; i < policy->n_providers; i++) {
		const struct provider *provider = &policy->providers[i];

		for (size_t port = 0; port < provider->n_ports; port++)
			s->ports[s->n_ports++] = provider->ports[port];
		for (char **host = provider->hosts; *host; host++)
			if ((s->hosts[s->n_hosts] = strdup(*host)))
				s->n_hosts++;
	}
	return 0;
}

static int start_search(struct daemon *d, struct older_search *s)
{
	pthread_t thread;
	int err = copy_policy(s, d->policy);

	if (err)
		return err;
	s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->event = s->event_fd < 0 ? NULL : event_new(d->base, s->event_fd, EV_READ, on_found, s);
	if (!s->event || event_add(s->event, NULL))
		return -ENOMEM;
	err = pthread_create(&thread, NULL, search, s);
	if (!err)
		pthread_detach(thread);
	return -err;
}

void older_take_over(struct daemon *d)
{
	struct older_search *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return;
	s->event_fd = -1;
	err = start_search(d, s);
	if (!err)
		return;
	log_warning("connections that are older than this daemon pass unseen: %s", strerror(-err));
	search_free(s);
}
