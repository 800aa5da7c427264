// Typed access to the kernel side's maps, global data, ring buffer and hooks.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include "base/cleanup.h"
#include "sluice.skel.h"
#include "tap/kernel_private.h"

const struct hook_place hook_places[HOOKS] = {
	[HOOK_CONNECT4] = {"cgroup/connect4", "sluice_connect4", NULL, BPF_CGROUP_INET4_CONNECT},
	[HOOK_CONNECT6] = {"cgroup/connect6", "sluice_connect6", NULL, BPF_CGROUP_INET6_CONNECT},
	[HOOK_RELEASE] = {"cgroup/sock_release", "sluice_release", NULL,
			  BPF_CGROUP_INET_SOCK_RELEASE},
	[HOOK_FORK] = {"sched_process_fork", "sluice_fork", "sched_process_fork", 0},
	[HOOK_EXIT] = {"sched_process_exit", "sluice_exit", "sched_process_exit", 0},
	[HOOK_EXEC] = {"sched_process_exec", "sluice_exec", "sched_process_exec", 0},
	[HOOK_EGRESS] = {"cgroup_skb/egress", "sluice_gate", NULL, BPF_CGROUP_INET_EGRESS},
};

// Deletes what an earlier policy has entered.
static int delete_older(int fd, size_t key_bytes, uint32_t generation)
{
	uint8_t key[SLUICE_HOST_BYTES], following[SLUICE_HOST_BYTES];
	bool more = !bpf_map_get_next_key(fd, NULL, key);

	while (more) {
		uint32_t entered = generation;

		more = !bpf_map_get_next_key(fd, key, following);
		bpf_map_lookup_elem(fd, key, &entered);
		if (entered != generation && bpf_map_delete_elem(fd, key))
			return -errno;
		memcpy(key, following, key_bytes);
	}
	return 0;
}

static int enter_host(struct kernel *k, const char *host)
{
	char name[SLUICE_HOST_BYTES] = {};
	uint8_t address[16] = {[10] = 0xff, [11] = 0xff};

	if (inet_pton(AF_INET, host, address + 12) == 1 || inet_pton(AF_INET6, host, address) == 1)
		return bpf_map_update_elem(bpf_map__fd(k->skel->maps.addresses), address,
					   &k->generation, BPF_ANY);
	if (host[0] == '*')
		host++;
	if (strlen(host) >= sizeof(name))
		return -ENAMETOOLONG;
	strcpy(name, host);
	return bpf_map_update_elem(bpf_map__fd(k->skel->maps.hosts), name, &k->generation, BPF_ANY);
}

// The new hosts are entered before the old are deleted, so that none that stays is missed.
int kernel_apply(struct kernel *k, const struct policy *policy)
{
	uint8_t ports[sizeof(k->skel->bss->governed_ports)] = {};
	int err = 0;

	k->generation++;
	for (size_t p = 0; p < policy->n_providers && !err; p++) {
		const struct provider *provider = &policy->providers[p];

		for (size_t i = 0; i < provider->n_ports; i++)
			ports[provider->ports[i] >> 3] |= 1 << (provider->ports[i] & 7);
		for (char **host = provider->hosts; *host && !err; host++)
			err = enter_host(k, *host);
	}
	for (size_t i = 0; i < policy->n_proxy_ports; i++)
		ports[policy->proxy_ports[i] >> 3] |= 1 << (policy->proxy_ports[i] & 7);
	memcpy(k->skel->bss->governed_ports, ports, sizeof(ports));
	err = err
		      ?: delete_older(bpf_map__fd(k->skel->maps.hosts), SLUICE_HOST_BYTES,
				      k->generation);
	err = err ?: delete_older(bpf_map__fd(k->skel->maps.addresses), 16, k->generation);
	k->skel->bss->shut_on_failure = policy->on_daemon_failure == FAILURE_CLOSED;
	k->skel->bss->mode =
		policy->mode == MODE_ENFORCE ? SLUICE_MODE_ENFORCE : SLUICE_MODE_OBSERVE;
	return err;
}

void kernel_stop_holding(struct kernel *k)
{
	k->skel->bss->mode = SLUICE_MODE_OFF;
}

void kernel_heartbeat(struct kernel *k, uint64_t now_ns)
{
	__atomic_store_n(&k->skel->bss->heartbeat_ns, now_ns, __ATOMIC_RELAXED);
}

static bool is_attached_to_cgroup(struct kernel *k, enum hook hook)
{
	struct bpf_program *program =
		bpf_object__find_program_by_name(k->skel->obj, hook_places[hook].program);
	struct bpf_prog_info info = {};
	uint32_t ids[64], n = 64, bytes = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &bytes) ||
	    bpf_prog_query(k->cgroup_fd, hook_places[hook].attach_type, 0, NULL, ids, &n))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (ids[i] == info.id)
			return true;
	return false;
}

static bool is_attached(struct kernel *k, enum hook hook)
{
	struct bpf_link_info info = {};
	uint32_t bytes = sizeof(info);

	if (!k->hooks[hook])
		return false;
	if (!hook_places[hook].tracepoint)
		return is_attached_to_cgroup(k, hook);
	return !bpf_obj_get_info_by_fd(bpf_link__fd(k->hooks[hook]), &info, &bytes);
}

size_t kernel_hooks(struct kernel *k, struct hook_view *out, size_t max)
{
	size_t n = 0;

	for (; n < HOOKS && n < max; n++)
		out[n] = (struct hook_view){hook_places[n].name, is_attached(k, n)};
	return n;
}

bool kernel_is_enforcing(struct kernel *k, uint64_t now_ns, const char **ret_why)
{
	uint64_t stamped = __atomic_load_n(&k->skel->bss->heartbeat_ns, __ATOMIC_RELAXED);

	*ret_why = NULL;
	if (k->skel->bss->mode != SLUICE_MODE_ENFORCE)
		*ret_why = k->skel->bss->mode == SLUICE_MODE_OFF ? "starting or stopping"
								 : "mode is observe";
	else if (!is_attached(k, HOOK_EGRESS))
		*ret_why = "the gate is not attached to the cgroup root";
	else if (!is_attached(k, HOOK_CONNECT4) || !is_attached(k, HOOK_CONNECT6))
		*ret_why = "a connect hook is not attached to the cgroup root";
	else if (now_ns > stamped && now_ns - stamped > SLUICE_HEARTBEAT_STALE_NS)
		*ret_why = "the heartbeat is stale";
	return !*ret_why;
}

bool kernel_has_iterator(const struct kernel *k)
{
	return bpf_program__fd(k->skel->progs.sluice_push) >= 0;
}

const char *kernel_cgroup_mount(const struct kernel *k)
{
	return k->cgroup_mount;
}

int kernel_ring_open(struct kernel *k, kernel_event_fn fn, void *ctx)
{
	k->ring = ring_buffer__new(bpf_map__fd(k->skel->maps.events), fn, ctx, NULL);
	return k->ring ? ring_buffer__epoll_fd(k->ring) : -errno;
}

int kernel_consume(struct kernel *k)
{
	return ring_buffer__consume(k->ring);
}

int kernel_set_gate(struct kernel *k, uint64_t cookie, const struct sluice_gate *gate)
{
	return bpf_map_update_elem(bpf_map__fd(k->skel->maps.gates), &cookie, gate, BPF_ANY);
}

int kernel_read_flow(struct kernel *k, uint64_t cookie, struct sluice_flow *ret)
{
	return bpf_map_lookup_elem(bpf_map__fd(k->skel->maps.flows), &cookie, ret);
}

int kernel_adopt_flow(struct kernel *k, uint64_t cookie, const struct sluice_flow *flow)
{
	return bpf_map_update_elem(bpf_map__fd(k->skel->maps.flows), &cookie, flow, BPF_NOEXIST);
}

void kernel_forget_past(struct kernel *k, uint64_t cookie, const uint8_t *random)
{
	bpf_map_delete_elem(bpf_map__fd(k->skel->maps.by_random), random);
	bpf_map_delete_elem(bpf_map__fd(k->skel->maps.gates), &cookie);
}

// The flow first: without a gate, but still there, it would wait to be decided on.
void kernel_forget_flow(struct kernel *k, uint64_t cookie, const uint8_t *random)
{
	bpf_map_delete_elem(bpf_map__fd(k->skel->maps.flows), &cookie);
	kernel_forget_past(k, cookie, random);
}

int kernel_set_tapped(struct kernel *k, uint32_t tgid, bool tapped)
{
	const uint32_t one = 1;
	int fd = bpf_map__fd(k->skel->maps.tapped);

	return tapped ? bpf_map_update_elem(fd, &tgid, &one, BPF_ANY)
		      : bpf_map_delete_elem(fd, &tgid);
}

int kernel_set_library(struct kernel *k, uint32_t id, const struct sluice_library *library)
{
	return bpf_map_update_elem(bpf_map__fd(k->skel->maps.libraries), &id, library, BPF_ANY);
}

int kernel_read_session(struct kernel *k, const struct sluice_session *session,
			struct sluice_session_bytes *ret)
{
	return bpf_map_lookup_elem(bpf_map__fd(k->skel->maps.unbound), session, ret);
}

void kernel_forget_session(struct kernel *k, const struct sluice_session *session)
{
	bpf_map_delete_elem(bpf_map__fd(k->skel->maps.unbound), session);
}

void kernel_forget_reads(struct kernel *k, uint32_t tgid)
{
	int fd = bpf_map__fd(k->skel->maps.go_reads);
	uint32_t left = 2 * bpf_map__max_entries(k->skel->maps.go_reads);
	struct sluice_goroutine key, following;
	bool more = !bpf_map_get_next_key(fd, NULL, &key);

	while (more && left--) { // from the beginning again where another was deleted meanwhile
		more = !bpf_map_get_next_key(fd, &key, &following);
		if (key.tgid == tgid)
			bpf_map_delete_elem(fd, &key);
		key = following;
	}
}

int kernel_push_by_iterator(struct kernel *k, uint64_t cookie)
{
	const uint32_t one = 1;
	CLEANUP_CLOSE int fd = -1;
	char nothing[64];
	int map = bpf_map__fd(k->skel->maps.to_push), err;

	if (!kernel_has_iterator(k))
		return -EOPNOTSUPP;
	if (!k->push_link)
		k->push_link = bpf_program__attach_iter(k->skel->progs.sluice_push, NULL);
	if (!k->push_link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(k->push_link));
	if (fd < 0)
		return -errno;
	err = bpf_map_update_elem(map, &cookie, &one, BPF_ANY);
	if (err)
		return err;
	while (read(fd, nothing, sizeof(nothing)) > 0)
		continue;
	// The program deletes what it has pushed.
	return bpf_map_delete_elem(map, &cookie) ? 0 : -ESRCH;
}

uint64_t kernel_count(const struct kernel *k, enum sluice_count what)
{
	return __atomic_load_n(&k->skel->bss->counts[what], __ATOMIC_RELAXED);
}

uint64_t kernel_lost(const struct kernel *k, enum sluice_loss cause)
{
	return __atomic_load_n(&k->skel->bss->lost[cause], __ATOMIC_RELAXED);
}
