// See elf_symbols.h. A symbol's value is an address; the probe wants the place in the file.
#include "tap/elf_symbols.h"
#include <errno.h>
#include <string.h>
#include "tap/elf_file.h"

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
		for (size_t i = 0; name && i < n; i++)
			if (!offsets[i] && !strcmp(name, names[i])) {
				offsets[i] = elf_file_offset(elf, symbol.st_value);
				found += offsets[i] != 0;
			}
	}
	return found;
}

int elf_find_functions(int fd, const char *const *names, size_t n, uint64_t *ret_offsets)
{
	CLEANUP_ELF Elf *elf = elf_open(fd);
	Elf_Scn *section = NULL;
	int found = 0;

	memset(ret_offsets, 0, n * sizeof(*ret_offsets));
	if (!elf)
		return -ENOEXEC;
	while (found < (int)n && (section = elf_nextscn(elf, section))) {
		GElf_Shdr header;

		if (gelf_getshdr(section, &header) &&
		    (header.sh_type == SHT_DYNSYM || header.sh_type == SHT_SYMTAB))
			found += search_table(elf, section, &header, names, n, ret_offsets);
	}
	return found;
}
