// Measures how long a released request takes to the server's socket, without asking sluiced.
//
//   wire OBJECT PID PORT     OBJECT: wire.bpf.o; PID: sluiced's; PORT: the server's, on loopback
//
// Prints "ready", waits for the end of its standard input, and prints the durations in ns as a JSON
// list. The time ends when the data is in the socket: what the push takes to return after that
// (the server wakes up and may run first) is not the request's.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct parameters { // wire.bpf.c, .rodata
	uint32_t sluiced, bpf_syscall, server_port;
};

static int fail(const char *what, int err)
{
	fprintf(stderr, "wire: %s: %s\n", what, strerror(-err));
	return EXIT_FAILURE;
}

static int set_parameters(struct bpf_object *object, const char *pid, const char *port)
{
	struct parameters parameters = {
		.sluiced = atoi(pid), .bpf_syscall = SYS_bpf, .server_port = atoi(port)};
	struct bpf_map *map = bpf_object__find_map_by_name(object, ".rodata");

	return map ? bpf_map__set_initial_value(map, &parameters, sizeof(parameters)) : -ENOENT;
}

static int attach(struct bpf_object *object)
{
	struct bpf_program *program = NULL;

	while ((program = bpf_object__next_program(object, program)))
		if (!bpf_program__attach(program)) // detached when this process ends
			return -errno;
	return 0;
}

static void print_samples(int map)
{
	uint64_t taken;

	printf("[");
	for (uint32_t i = 0; !bpf_map_lookup_elem(map, &i, &taken) && taken; i++)
		printf("%s%llu", i ? ", " : "", (unsigned long long)taken);
	printf("]\n");
}

int main(int argc, char **argv)
{
	struct bpf_object *object;
	int err;

	if (argc != 4) {
		fprintf(stderr, "Usage: wire OBJECT PID PORT\n");
		return 2;
	}
	object = bpf_object__open_file(argv[1], NULL);
	if (!object)
		return fail(argv[1], -errno);
	err = set_parameters(object, argv[2], argv[3]);
	err = err ?: bpf_object__load(object);
	err = err ?: attach(object);
	if (err)
		return fail("cannot trace", err);
	puts("ready");
	fflush(stdout);
	while (getchar() != EOF)
		;
	print_samples(bpf_object__find_map_fd_by_name(object, "samples"));
	bpf_object__close(object);
	return EXIT_SUCCESS;
}
