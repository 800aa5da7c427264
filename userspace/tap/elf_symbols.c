// See elf_symbols.h. A symbol's value is an address; the probe wants the place in the file, which
// the loadable segment that covers the address gives (System V gABI, program headers).
#include "tap/elf_symbols.h"
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <string.h>

static uint64_t file_offset(Elf *elf, uint64_t address)
{
	size_t n = 0;

	if (elf_getphdrnum(elf, &n))
		return 0;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr segment;

		if (gelf_getphdr(elf, i, &segment) && segment.p_type == PT_LOAD &&
		    segment.p_flags & PF_X && address >= segment.p_vaddr &&
		    address < segment.p_vaddr + segment.p_filesz)
			return address - segment.p_vaddr + segment.p_offset;
	}
	return 0;
}

static int search_table(Elf *elf, Elf_Scn *section, const GElf_Shdr *header,
			const char *const *names, size_t n, uint64_t *offsets)
{
	Elf_Data *data = elf_getdata(section, NULL);
	size_t symbols = data && header->sh_entsize ? header->sh_size / header->sh_entsize : 0;
	int found = 0;

	for (size_t s = 0; s < symbols; s++) {
		const char *name;
		GElf_Sym symbol;

		if (!gelf_getsym(data, s, &symbol) || symbol.st_shndx == SHN_UNDEF ||
		    GELF_ST_TYPE(symbol.st_info) != STT_FUNC)
			continue;
		name = elf_strptr(elf, header->sh_link, symbol.st_name);
		if (!name || strncmp(name, "SSL_", 4))
			continue;
		for (size_t i = 0; i < n; i++)
			if (!offsets[i] && !strcmp(name, names[i])) {
				offsets[i] = file_offset(elf, symbol.st_value);
				found += offsets[i] != 0;
			}
	}
	return found;
}

int elf_find_functions(int fd, const char *const *names, size_t n, uint64_t *ret_offsets)
{
	Elf_Scn *section = NULL;
	int found = 0;
	Elf *elf;

	memset(ret_offsets, 0, n * sizeof(*ret_offsets));
	if (elf_version(EV_CURRENT) == EV_NONE)
		return -ENOSYS;
	// Not mapped: a file that is truncated while it is read would end the daemon by SIGBUS.
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf)
		return -ENOEXEC;
	if (elf_kind(elf) != ELF_K_ELF)
		found = -ENOEXEC;
	while (found >= 0 && found < (int)n && (section = elf_nextscn(elf, section))) {
		GElf_Shdr header;

		if (gelf_getshdr(section, &header) &&
		    (header.sh_type == SHT_DYNSYM || header.sh_type == SHT_SYMTAB))
			found += search_table(elf, section, &header, names, n, ret_offsets);
	}
	elf_end(elf);
	return found;
}
