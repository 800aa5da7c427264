// What a probe costs on this machine before it does anything: calls of a function that does
// nothing, plain, with an empty BPF uprobe on its entry, and with another on its return.
//
// Two functions, for the kernel emulates some first instructions (push) and single-steps the
// others, which is a second trap. SSL_write_ex of OpenSSL 3.0 begins with the kind that is stepped.
// The probes are in this process only, as Sluice's are. Prints ns per call as JSON.
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 7, PLAIN_CALLS = 1000000, PROBED_CALLS = 4000 };

#define UPROBE_TYPE "/sys/bus/event_source/devices/uprobe/type"
#define RETURN_PROBE 1 // config bit 0: .../uprobe/format/retprobe

void emulated(void);
void stepped(void);

#if defined(__x86_64__)
__asm__(".text\n"
	".globl emulated\n.type emulated, @function\nemulated: push %rbp\n pop %rbp\n ret\n"
	".globl stepped\n.type stepped, @function\nstepped: sub $8, %rsp\n add $8, %rsp\n ret\n");
#else // elsewhere nearly all are stepped
__attribute__((noinline)) void emulated(void)
{
	__asm__ volatile("");
}
__attribute__((noinline)) void stepped(void)
{
	__asm__ volatile("" ::: "memory");
}
#endif

static int uprobe_type(void)
{
	FILE *file = fopen(UPROBE_TYPE, "re");
	int type = -1;

	if (!file)
		return -errno;
	if (fscanf(file, "%d", &type) != 1)
		type = -EINVAL;
	fclose(file);
	return type;
}

// Where in this program's file a function is; 0 if it cannot be found.
static uint64_t file_offset(const void *function)
{
	unsigned long start, end, offset;
	FILE *maps = fopen("/proc/self/maps", "re");
	uint64_t found = 0;
	char line[512];

	while (maps && !found && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3 &&
		    (uintptr_t)function >= start && (uintptr_t)function < end)
			found = (uintptr_t)function - start + offset;
	if (maps)
		fclose(maps);
	return found;
}

// A program that returns 0. Returns its descriptor or a negative errno.
static int load_empty_program(void)
{
	const struct bpf_insn nothing[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(BPF_PROG_TYPE_KPROBE, "nothing", "GPL", nothing, 2, NULL);
}

static int attach(int type, int program, const void *function, int config)
{
	struct perf_event_attr attr = {
		.type = type,
		.size = sizeof(attr),
		.config = config,
		.uprobe_path = (uintptr_t) "/proc/self/exe",
		.probe_offset = file_offset(function),
	};
	int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, program) || ioctl(fd, PERF_EVENT_IOC_ENABLE, 0)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static double ns_per_call(void (*function)(void), int calls)
{
	struct timespec begin, end;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (int i = 0; i < calls; i++)
		function();
	clock_gettime(CLOCK_MONOTONIC, &end);
	return ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) / calls;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

// The median of the rounds: others use this machine too.
static double measure(void (*function)(void), int calls)
{
	double rounds[ROUNDS];

	for (int i = 0; i < ROUNDS; i++)
		rounds[i] = ns_per_call(function, calls);
	qsort(rounds, ROUNDS, sizeof(*rounds), ascending);
	return rounds[ROUNDS / 2];
}

// 0 or a negative errno.
static int run(const char *name, void (*function)(void), int type, int program)
{
	double plain = measure(function, PLAIN_CALLS), entry, both;
	int entry_fd, return_fd;

	entry_fd = attach(type, program, (void *)function, 0);
	if (entry_fd < 0)
		return entry_fd;
	entry = measure(function, PROBED_CALLS);
	return_fd = attach(type, program, (void *)function, RETURN_PROBE);
	if (return_fd < 0)
		return return_fd;
	both = measure(function, PROBED_CALLS);
	close(return_fd);
	close(entry_fd);
	printf("\"%s\": {\"plain_ns\": %.2f, \"entry_ns\": %.0f, \"entry_and_return_ns\": %.0f}",
	       name, plain, entry, both);
	return 0;
}

int main(void)
{
	int type = uprobe_type(), program = load_empty_program(), err;

	if (type < 0 || program < 0) {
		fprintf(stderr, "trap: no uprobes here: %s\n", strerror(type < 0 ? -type : errno));
		return EXIT_FAILURE;
	}
	printf("{");
	err = run("emulated", emulated, type, program);
	printf(", ");
	err = err ?: run("stepped", stepped, type, program);
	printf("}\n");
	if (err)
		fprintf(stderr, "trap: cannot attach a probe: %s\n", strerror(-err));
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
