// Where in a Go program's file functions are, stripped or not: the runtime needs the table of its
// functions (pclntab) to unwind stacks, so no program is without it.
#ifndef SLUICE_TAP_GO_FUNCTIONS_H
#define SLUICE_TAP_GO_FUNCTIONS_H

#include <stddef.h>
#include <stdint.h>

struct go_function {
	uint64_t offset; // in the file
	uint64_t bytes;  // with the padding behind it; 0: it was not found
};

// Finds `n` functions by their full names. Returns how many were found (0: it is no Go program of
// this machine's kind, or its table is of a form that is not known: those of Go 1.18 to 1.27 are),
// or -errno.
int go_find_functions(int fd, const char *const *names, size_t n, struct go_function *ret);

#endif
