// See elf_file.h. System V gABI: program headers, sections, relocations.
#include "tap/elf_file.h"
#include <string.h>
#include <unistd.h>

Elf *elf_open(int fd)
{
	Elf *elf;

	if (elf_version(EV_CURRENT) == EV_NONE)
		return NULL;
	// Not mapped: a file that is truncated while it is read would end the daemon by SIGBUS.
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (elf && elf_kind(elf) != ELF_K_ELF) {
		elf_end(elf);
		elf = NULL;
	}
	return elf;
}

bool elf_is_of_this_machine(Elf *elf)
{
	GElf_Ehdr header;

#if defined(__x86_64__)
	const int machine = EM_X86_64;
#elif defined(__aarch64__)
	const int machine = EM_AARCH64;
#else
	const int machine = EM_NONE;
#endif
	return gelf_getehdr(elf, &header) && header.e_machine == machine &&
	       gelf_getclass(elf) == ELFCLASS64;
}

bool elf_find_section(Elf *elf, const char *name, GElf_Shdr *ret)
{
	Elf_Scn *section = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return false;
	while ((section = elf_nextscn(elf, section))) {
		const char *its =
			gelf_getshdr(section, ret) ? elf_strptr(elf, names, ret->sh_name) : NULL;

		if (its && !strcmp(its, name) && ret->sh_type == SHT_PROGBITS)
			return true;
	}
	return false;
}

// The loadable segment that holds an address and has all of the wanted flags; false: none.
static bool find_segment(Elf *elf, uint64_t address, unsigned flags, GElf_Phdr *ret)
{
	size_t n = 0;

	if (elf_getphdrnum(elf, &n))
		return false;
	for (size_t i = 0; i < n; i++)
		if (gelf_getphdr(elf, i, ret) && ret->p_type == PT_LOAD &&
		    (ret->p_flags & flags) == flags && address >= ret->p_vaddr &&
		    address < ret->p_vaddr + ret->p_filesz)
			return true;
	return false;
}

uint64_t elf_file_offset(Elf *elf, uint64_t address)
{
	GElf_Phdr segment;

	return find_segment(elf, address, PF_X, &segment)
		       ? address - segment.p_vaddr + segment.p_offset
		       : 0;
}

static uint64_t relocated_pointer(Elf *elf, uint64_t address)
{
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr header;
		Elf_Data *data;
		GElf_Rela rela;

		if (!gelf_getshdr(section, &header) || header.sh_type != SHT_RELA ||
		    !header.sh_entsize || !(data = elf_getdata(section, NULL)))
			continue;
		for (size_t i = 0; i < header.sh_size / header.sh_entsize; i++)
			if (gelf_getrela(data, i, &rela) && rela.r_offset == address)
				return rela.r_addend;
	}
	return 0;
}

uint64_t elf_read_pointer(Elf *elf, int fd, uint64_t address)
{
	uint64_t pointer = 0;
	GElf_Phdr segment;

	if (find_segment(elf, address, 0, &segment) &&
	    pread(fd, &pointer, sizeof(pointer), address - segment.p_vaddr + segment.p_offset) !=
		    sizeof(pointer))
		return 0;
	return pointer ?: relocated_pointer(elf, address);
}
