// Where in a Go function's code probes belong: behind the check of the stack's size, so that a call
// is seen once (bpf/gotls.bpf.c), and at its return instructions, because a uretprobe's changed
// return address stops a program whose runtime unwinds and moves its stacks.
#ifndef SLUICE_TAP_GO_CODE_H
#define SLUICE_TAP_GO_CODE_H

#include "tap/go_functions.h"

struct go_code {
	uint64_t begin;    // file offset of the first instruction that each call executes once; the
			   // arguments are still in their registers
	uint64_t *returns; // file offsets of all its return instructions, malloc'd
	size_t n_returns;
};

// 0, or -errno: -EILSEQ where its code cannot be understood to its end.
int go_read_code(int fd, const struct go_function *function, struct go_code *ret);

#endif
