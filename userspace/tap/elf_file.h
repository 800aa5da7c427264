// An ELF file: its sections, and where in the file, and in the program's memory, things are.
#ifndef SLUICE_TAP_ELF_FILE_H
#define SLUICE_TAP_ELF_FILE_H

#include <gelf.h>
#include <libelf.h>
#include <stdbool.h>
#include <stdint.h>

// NULL: it is no ELF file.
Elf *elf_open(int fd);

static inline void elf_cleanup(Elf **elf)
{
	elf_end(*elf);
}
#define CLEANUP_ELF __attribute__((cleanup(elf_cleanup)))

bool elf_is_of_this_machine(Elf *elf);
// The section of that name that has its content in the file.
bool elf_find_section(Elf *elf, const char *name, GElf_Shdr *ret);
// Where in the file the code at an address is; 0: nowhere.
uint64_t elf_file_offset(Elf *elf, uint64_t address);
// The pointer at an address, as it is before the program is moved to where it is loaded. In a
// position-independent one that is often not in the file but in a relocation's addend. 0: none.
uint64_t elf_read_pointer(Elf *elf, int fd, uint64_t address);

#endif
