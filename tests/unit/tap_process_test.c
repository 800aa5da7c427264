// Which container a process is in. If these fail, limits by container count the wrong programs
// together.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>
#include "tap/process.c"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OUTER "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
#define POD "kubepods-burstable-pod6f1e4c3a_5b1d_4c55_9d27_0c8a4e6a1f00.slice"

static void assert_container(const char *cgroup, const char *expected)
{
	char container[sizeof(((struct identity *)0)->container)];

	identity_find_container(cgroup, container, sizeof(container));
	if (strcmp(container, expected))
		fail_msg("%s: \"%s\", not \"%s\"", cgroup, container, expected);
}

static void each_runtime_s_names_are_read(void **state)
{
	static const char *const cgroups[] = {
		"/system.slice/docker-" ID ".scope",
		"/system.slice/docker-" ID ".scope/init",
		"/docker/" ID,
		"/kubepods.slice/kubepods-burstable.slice/" POD "/cri-containerd-" ID ".scope",
		"/kubepods.slice/kubepods-burstable.slice/" POD "/crio-" ID ".scope/container",
		"/system.slice/containerd.service/" POD ":cri-containerd:" ID,
		"/kubepods/besteffort/pod6f1e4c3a-5b1d-4c55-9d27-0c8a4e6a1f00/" ID,
		"/machine.slice/libpod-" ID ".scope/container",
		"/machine.slice/machine-libpod_pod_" OUTER ".slice/libpod-" ID ".scope",
		"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope",
		"/ecs/55091c13-b8cf-4801-b527-f4601742204d/" ID,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cgroups) / sizeof(*cgroups); i++)
		assert_container(cgroups[i], ID);
}

static void containers_that_have_names_go_by_them(void **state)
{
	(void)state;
	assert_container("/lxc.payload.web.example/system.slice/cron.service", "web.example");
	assert_container("/lxc/101/ns/init.scope", "101");
	assert_container("/machine.slice/machine-web\\x2d1.scope/payload", "web-1");
	assert_container("/machine.slice/systemd-nspawn@build.service/payload", "build");
	assert_container("/system.slice/garden.service/garden/01cf9b3a-7c1e-4d0a-5f9b-2f4e",
			 "01cf9b3a-7c1e-4d0a-5f9b-2f4e");
}

static void the_innermost_container_counts(void **state)
{
	(void)state;
	assert_container("/docker/" OUTER "/docker/" ID, ID);
	assert_container("/lxc.payload.web/system.slice/docker-" ID ".scope", ID);
	assert_container("/docker/" OUTER "/lxc.payload.web", "web");
}

static void other_cgroups_are_of_none(void **state)
{
	static const char *const cgroups[] = {
		"",
		"/",
		"/system.slice/nginx.service",
		"/user.slice/user-1000.slice/session-3.scope",
		"/machine.slice/machine-builders.slice/job.service",
		"/system.slice/docker.service",
		"/docker",
		"/docker/buildkit",
		"/lxc",
		"/lxc.payload.",
		"/lxc.monitor.web",
		"/system.slice/docker-0123456789abcdef.scope",
		"/system.slice/docker-" ID "0.scope",
		"/docker/" ID "Z",
		"/docker/x" ID,
		"/docker/0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cgroups) / sizeof(*cgroups); i++)
		assert_container(cgroups[i], "");
}

static void a_name_that_is_too_long_is_cut(void **state)
{
	char cgroup[512] = "/lxc.payload.", container[72];

	(void)state;
	memset(cgroup + strlen(cgroup), 'x', 300);
	identity_find_container(cgroup, container, sizeof(container));
	assert_int_equal(strlen(container), sizeof(container) - 1);
}

static void a_process_is_who_it_is(void **state)
{
	struct identity identity;
	char exe[PATH_MAX] = "";

	(void)state;
	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	identity_read(&identity, getpid(), 0);
	assert_string_equal(identity.exe, exe);
	assert_string_equal(identity.user, "root");
	identity_read(&identity, getpid(), 4000000001u);
	assert_string_equal(identity.user, "4000000001");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_runtime_s_names_are_read),
		cmocka_unit_test(containers_that_have_names_go_by_them),
		cmocka_unit_test(the_innermost_container_counts),
		cmocka_unit_test(other_cgroups_are_of_none),
		cmocka_unit_test(a_name_that_is_too_long_is_cut),
		cmocka_unit_test(a_process_is_who_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
