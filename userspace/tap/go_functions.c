// See go_functions.h. The table, as Go 1.18 and later write it (Go's cmd/link/internal/ld/pcln.go
// and runtime/symtab.go):
//
//     header    magic, 0, 0, size of an instruction, of a pointer; then, each of a pointer's size:
//               functions, files, start of the text, and where these parts are, from the header:
//     names     "main.main\0crypto/tls.(*Conn).Write\0…"
//     …         compilation units, files, tables of positions
//     functab   for each function {its code, from the start of the text; its entry, from here},
//               and where the last one's code ends
//     entries   its code, as in functab; its name, from the beginning of the names; …
//
// The start of the text is 0 from Go 1.26 on; then the runtime's moduledata says it, which has a
// section of its own there.
#include "tap/go_functions.h"
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "tap/elf_file.h"

enum { MAGIC_1_18 = 0xfffffff0, MAGIC_1_20 = 0xfffffff1 };
enum { TEXT_START_AT = 24, WORD_BYTES = 8 };
// Of moduledata: behind the header's address, six slices, findfunctab, minpc and maxpc.
enum { MODULE_TEXT_AT = (1 + 6 * 3 + 3) * WORD_BYTES };
#define MAX_TABLE_BYTES (1ULL << 30)

struct header {
	uint32_t magic;
	uint8_t zero[2], instruction_bytes, pointer_bytes;
	uint64_t n_functions, n_files, text_start;
	uint64_t names, units, files, positions, functab; // offsets
};

struct functab_entry {
	uint32_t code, entry;
};

struct entry {
	uint32_t code;
	int32_t name;
};

struct table {
	uint8_t *memory; // of the section
	const uint8_t *bytes;
	uint64_t size, address, text;
	struct header header;
};

static bool is_header(const struct header *h, uint64_t size)
{
	return (h->magic == MAGIC_1_18 || h->magic == MAGIC_1_20) && !h->zero[0] && !h->zero[1] &&
	       h->pointer_bytes == WORD_BYTES && h->names < size && h->units <= size &&
	       h->names < h->units && h->functab < size &&
	       h->n_functions < (size - h->functab) / sizeof(struct functab_entry);
}

// The section that holds the table. Other linkers than Go's own put it into a greater one, for a
// position-independent program of Go before 1.26.
static bool find_section(Elf *elf, GElf_Shdr *ret)
{
	return elf_find_section(elf, ".gopclntab", ret) ||
	       elf_find_section(elf, ".data.rel.ro.gopclntab", ret) ||
	       (elf_find_section(elf, ".go.buildinfo", ret) &&
		elf_find_section(elf, ".data.rel.ro", ret));
}

// 0; or -ENOENT where there is no such table.
static int read_table(Elf *elf, int fd, struct table *table)
{
	GElf_Shdr section;

	if (!find_section(elf, &section) || section.sh_size > MAX_TABLE_BYTES)
		return -ENOENT;
	table->memory = malloc(section.sh_size);
	if (!table->memory)
		return -ENOMEM;
	if (pread(fd, table->memory, section.sh_size, section.sh_offset) !=
	    (ssize_t)section.sh_size)
		return -EIO;
	for (uint64_t at = 0; at + sizeof(table->header) <= section.sh_size; at += WORD_BYTES) {
		memcpy(&table->header, table->memory + at, sizeof(table->header));
		if (!is_header(&table->header, section.sh_size - at))
			continue;
		table->bytes = table->memory + at;
		table->size = section.sh_size - at;
		table->address = section.sh_addr + at;
		return 0;
	}
	return -ENOENT;
}

static uint64_t text_start(Elf *elf, int fd, const struct table *table)
{
	uint64_t start = elf_read_pointer(elf, fd, table->address + TEXT_START_AT);
	GElf_Shdr module;

	if (start)
		return start;
	if (!elf_find_section(elf, ".go.module", &module) ||
	    elf_read_pointer(elf, fd, module.sh_addr) != table->address)
		return 0;
	return elf_read_pointer(elf, fd, module.sh_addr + MODULE_TEXT_AT);
}

// The offset of a name, from the beginning of the names, or -1.
static int64_t find_name(const struct table *table, const char *name)
{
	const uint8_t *names = table->bytes + table->header.names, *at = names;
	size_t left = table->header.units - table->header.names, bytes = strlen(name) + 1;

	while ((at = memmem(at, left - (at - names), name, bytes))) {
		if (at == names || !at[-1])
			return at - names;
		at++;
	}
	return -1;
}

static void find_function(Elf *elf, const struct table *table, const char *name,
			  struct go_function *ret)
{
	const uint8_t *functab = table->bytes + table->header.functab;
	uint64_t room = table->size - table->header.functab;
	int64_t wanted = find_name(table, name);

	for (uint64_t i = 0; wanted >= 0 && i < table->header.n_functions; i++) {
		struct functab_entry here[2];
		struct entry entry;

		memcpy(here, functab + i * sizeof(*here), sizeof(here));
		if (here[0].entry > room - sizeof(entry) || here[1].code <= here[0].code)
			continue;
		memcpy(&entry, functab + here[0].entry, sizeof(entry));
		if (entry.name != wanted || entry.code != here[0].code)
			continue;
		ret->offset = elf_file_offset(elf, table->text + entry.code);
		ret->bytes = ret->offset ? here[1].code - here[0].code : 0;
		return;
	}
}

int go_find_functions(int fd, const char *const *names, size_t n, struct go_function *ret)
{
	CLEANUP_ELF Elf *elf = elf_open(fd);
	struct table table = {};
	int found = 0, err;

	memset(ret, 0, n * sizeof(*ret));
	if (!elf)
		return -ENOEXEC;
	err = elf_is_of_this_machine(elf) ? read_table(elf, fd, &table) : -ENOENT;
	if (!err)
		table.text = text_start(elf, fd, &table);
	for (size_t i = 0; !err && table.text && i < n; i++) {
		find_function(elf, &table, names[i], &ret[i]);
		found += ret[i].bytes != 0;
	}
	free(table.memory);
	return err && err != -ENOENT ? err : found;
}
