// Where in an ELF file functions are.
#ifndef SLUICE_TAP_ELF_SYMBOLS_H
#define SLUICE_TAP_ELF_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

// File offsets of `n` functions that the file `fd` defines in its dynamic or full symbol table;
// 0 where it does not. Returns how many were found, or -errno (-ENOEXEC: not an ELF file).
int elf_find_functions(int fd, const char *const *names, size_t n, uint64_t *ret_offsets);

#endif
