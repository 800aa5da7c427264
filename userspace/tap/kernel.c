// Loads and attaches the kernel programs. Read kernel_open() first: it is the start-up, in order.
// Which programs a kernel takes is found by trying, never by its version.
#include "tap/kernel.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "sluice.skel.h"
#include "tap/kernel_private.h"

static const struct {
	const char *program;
	bool at_return; // a uretprobe
} probe_programs[PROBES] = {
	[PROBE_SSL_WRITE] = {"sluice_ssl_write", false},
	[PROBE_SSL_WRITE_EX] = {"sluice_ssl_write_ex", false},
	[PROBE_GNUTLS_SEND] = {"sluice_gnutls_send", false},
	[PROBE_GNUTLS_SEND_RANGE] = {"sluice_gnutls_send_range", false},
	[PROBE_WRITE_RETURN] = {"sluice_tls_write_return", true},
	[PROBE_GNUTLS_UNCORK] = {"sluice_gnutls_uncork", false},
	[PROBE_GNUTLS_UNCORK_RETURN] = {"sluice_gnutls_uncork_return", true},
	[PROBE_READ] = {"sluice_tls_read", false},
	[PROBE_SSL_READ_EX] = {"sluice_ssl_read_ex", false},
	[PROBE_READ_RETURN] = {"sluice_tls_read_return", true},
	[PROBE_GO_WRITE] = {"sluice_go_write", false},
	[PROBE_GO_READ] = {"sluice_go_read", false},
	[PROBE_GO_READ_RETURN] = {"sluice_go_read_return", false},
};

static char refused_program[64];

// Keeps the name of the program that did not load; the rest is for --verbose.
static int on_libbpf_message(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[2048];

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), format, args);
	if (strstr(line, "failed to load: "))
		sscanf(line, "libbpf: prog '%63[^']'", refused_program);
	line[strcspn(line, "\n")] = 0;
	log_debug("%s", line);
	return 0;
}

__attribute__((format(printf, 3, 4))) static int fail(int err, char **ret_error, const char *format,
						      ...)
{
	va_list args;

	va_start(args, format);
	if (vasprintf(ret_error, format, args) < 0)
		*ret_error = NULL;
	va_end(args);
	return err;
}

// cgroup v2 may be mounted anywhere, beside v1 hierarchies too.
static char *find_cgroup_mount(void)
{
	CLEANUP_FCLOSE FILE *mounts = fopen("/proc/self/mounts", "re");
	char line[1024], where[512], type[64];

	while (mounts && fgets(line, sizeof(line), mounts))
		if (sscanf(line, "%*s %511s %63s", where, type) == 2 && !strcmp(type, "cgroup2"))
			return strdup(where);
	return NULL;
}

static int load(struct kernel *k, bool with_iterator)
{
	struct bpf_program *program;
	int err;

	k->skel = sluice__open();
	if (!k->skel)
		return -errno;
	bpf_object__for_each_program(program, k->skel->obj)
		bpf_program__set_autoattach(program, false);
	bpf_program__set_autoload(k->skel->progs.sluice_push, with_iterator);
	err = sluice__load(k->skel);
	if (err) {
		sluice__destroy(k->skel);
		k->skel = NULL;
	}
	return err;
}

static int attach(struct kernel *k, enum hook hook, const char **ret_failed)
{
	const struct hook_place *place = &hook_places[hook];
	struct bpf_program *program =
		bpf_object__find_program_by_name(k->skel->obj, place->program);

	k->hooks[hook] = place->tracepoint
				 ? bpf_program__attach_raw_tracepoint(program, place->tracepoint)
				 : bpf_program__attach_cgroup(program, k->cgroup_fd);
	if (k->hooks[hook])
		return 0;
	*ret_failed = place->name;
	return -errno;
}

static int check_host(struct kernel *k, char **ret_error)
{
	if (geteuid())
		return fail(-EPERM, ret_error,
			    "sluiced must run as root (it is uid %u): start it with sudo or as a "
			    "systemd service",
			    geteuid());
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return fail(-ENOENT, ret_error,
			    "the kernel shows no BTF at /sys/kernel/btf/vmlinux: boot "
			    "one built with CONFIG_DEBUG_INFO_BTF=y (Debian's are)");
	k->cgroup_mount = find_cgroup_mount();
	if (!k->cgroup_mount)
		return fail(-ENOENT, ret_error,
			    "cgroup v2 is not mounted: mount -t cgroup2 none "
			    "/sys/fs/cgroup, or boot with systemd.unified_cgroup_hierarchy=1");
	k->cgroup_fd = open(k->cgroup_mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (k->cgroup_fd < 0)
		return fail(-errno, ret_error, "cannot open the cgroup v2 root %s: %s",
			    k->cgroup_mount, strerror(errno));
	return 0;
}

int kernel_open(struct kernel **ret, char **ret_error)
{
	struct kernel *k = calloc(1, sizeof(*k));
	const char *failed = NULL;
	int err;

	if (!k)
		return fail(-ENOMEM, ret_error, "out of memory");
	k->cgroup_fd = -1;
	libbpf_set_print(on_libbpf_message);
	err = check_host(k, ret_error);
	if (err)
		goto out;
	err = load(k, true);
	if (err)
		err = load(k, false);
	if (err) {
		err = fail(err, ret_error,
			   "the kernel refused the program %s: %s; run as root with CAP_BPF, "
			   "CAP_PERFMON and CAP_NET_ADMIN on Linux 6.1 or later; --verbose shows "
			   "its words",
			   *refused_program ? refused_program : "(any)", strerror(-err));
		goto out;
	}
	kernel_heartbeat(k, clock_now_ns());
	for (int hook = 0; hook < HOOKS && !err; hook++)
		err = attach(k, hook, &failed);
	if (err) {
		err = fail(err, ret_error,
			   "cannot attach to %s: %s; another program may hold it "
			   "exclusively: see `bpftool cgroup tree`",
			   failed, strerror(-err));
		goto out;
	}
	*ret = k;
	return 0;
out:
	kernel_close(k);
	return err;
}

void kernel_close(struct kernel *k)
{
	if (!k)
		return;
	for (int hook = 0; hook < HOOKS; hook++)
		bpf_link__destroy(k->hooks[hook]);
	bpf_link__destroy(k->push_link);
	ring_buffer__free(k->ring);
	sluice__destroy(k->skel);
	if (k->cgroup_fd >= 0)
		close(k->cgroup_fd);
	free(k->cgroup_mount);
	free(k);
}

struct bpf_link *kernel_attach_probe(struct kernel *k, enum probe probe, int pid, const char *path,
				     uint64_t offset, uint32_t library)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .bpf_cookie = library,
		    .retprobe = probe_programs[probe].at_return);
	struct bpf_program *program =
		bpf_object__find_program_by_name(k->skel->obj, probe_programs[probe].program);

	return bpf_program__attach_uprobe_opts(program, pid, path, offset, &opts);
}
