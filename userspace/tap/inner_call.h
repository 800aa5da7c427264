// Finds the one function behind SSL_read and SSL_read_ex (or SSL_write and SSL_write_ex).
//
// OpenSSL's pairs are thin wrappers of one internal function that takes the arguments of the _ex
// form. Probing that function instead of both wrappers halves the probes of a process, which are
// slow to put in and take out; and where it begins with a push, which the kernel emulates, while
// the wrappers begin with an instruction that it must single-step, a hit costs a tenth (0.7 against
// 16 µs were seen on a virtual machine).
#ifndef SLUICE_TAP_INNER_CALL_H
#define SLUICE_TAP_INNER_CALL_H

#include <stdbool.h>
#include <stdint.h>

// The file offset of the function that the _ex wrapper at file offset `ex` hands its arguments on
// to, untouched, and that the wrapper at `plain` calls as well; 0 if the code does not show that
// beyond doubt, or is not x86-64's.
uint64_t inner_call_find(int fd, uint64_t plain, uint64_t ex);
// Whether the function at file offset `at` does nothing but clear registers and jump to another, so
// that a probe there sees the same first arguments, and the same return.
bool inner_call_is_jump(int fd, uint64_t at);

#endif
