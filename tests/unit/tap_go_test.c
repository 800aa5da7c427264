// Where probes are put into Go programs. If these fail, their traffic goes unseen, or a probe is
// put into the middle of an instruction and the program dies.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include "base/cleanup.h"
#include "tap/elf_file.c"
#include "tap/elf_symbols.c"
#include "tap/go_code.c"
#include "tap/go_functions.c"
#include "tap/inner_call.c"
#include "tap/points.c"

#ifdef __x86_64__

// A program as small as one can be: ELF header, a segment that holds all, its functions' code, the
// table of them, the runtime's module data, a relocation, and the sections' names.
enum {
	CODE_AT = 0x200,
	TABLE_AT = 0x600,
	MODULE_AT = 0xa00,
	RELOCATION_AT = 0xb80,
	NAMES_AT = 0xc00,
	SECTIONS_AT = 0xd00,
	FILE_BYTES = 0x1000,
	LOADED_AT = 0x400000,
	WRITE_AT = 0x40, // from the beginning of the code
	READ_AT = 0x80,
	OTHER_AT = 0xc0,
	CODE_BYTES = 0x100,
};

enum form {
	FORM_1_19,     // the start of the text is in the table
	FORM_1_19_PIE, // … where a relocation writes it
	FORM_1_27,     // … in the module data
	FORM_UNKNOWN,  // as a Go to come may have it
};

// lea -0x68(%rsp),%r12; cmp 0x10(%r14),%r12; jbe; push %rbp; mov $0xc3,%eax; pop %rbp; ret; int3
static const uint8_t write_code[] = {0x4c, 0x8d, 0x64, 0x24, 0x98, 0x4d, 0x3b, 0x66,
				     0x10, 0x76, 0x20, 0x55, 0xb8, 0xc3, 0,    0,
				     0,    0x5d, 0xc3, 0xcc, 0xcc, 0xcc};
// cmp 0x10(%r14),%rsp; jbe; push %rbp; test %rax,%rax; je +2; pop %rbp; ret; mov $0xc3c3,%ecx;
// pop %rbp; ret
static const uint8_t read_code[] = {0x49, 0x3b, 0x66, 0x10, 0x76, 0x20, 0x55,
				    0x48, 0x85, 0xc0, 0x74, 0x02, 0x5d, 0xc3,
				    0xb9, 0xc3, 0xc3, 0,    0,    0x5d, 0xc3};

static void put_table(uint8_t *file, enum form form)
{
	static const char names[] = "\0main.main\0x.crypto/tls.(*Conn).Write\0"
				    "crypto/tls.(*Conn).Write\0crypto/tls.(*Conn).Read";
	enum { NAMES = 72, FUNCTAB = 256, ENTRIES = 64 };
	struct header header = {.magic = form == FORM_UNKNOWN ? 0xffffff00 : MAGIC_1_20,
				.instruction_bytes = 1,
				.pointer_bytes = 8,
				.n_functions = 4,
				.names = NAMES,
				.units = NAMES + sizeof(names),
				.functab = FUNCTAB};
	const uint32_t at[] = {0, WRITE_AT, READ_AT, OTHER_AT, CODE_BYTES};
	const int32_t name_at[] = {1, 38, 63, 11};
	uint8_t *table = file + TABLE_AT;

	if (form == FORM_1_19)
		header.text_start = LOADED_AT + CODE_AT;
	memcpy(table, &header, sizeof(header));
	memcpy(table + NAMES, names, sizeof(names));
	for (uint32_t i = 0; i < 5; i++) {
		struct functab_entry place = {at[i], ENTRIES + i * 16};

		memcpy(table + FUNCTAB + i * sizeof(place), &place, i < 4 ? sizeof(place) : 4);
		if (i < 4)
			memcpy(table + FUNCTAB + place.entry, &(struct entry){at[i], name_at[i]},
			       sizeof(struct entry));
	}
}

static void put_module(uint8_t *file)
{
	uint64_t table = LOADED_AT + TABLE_AT, text = LOADED_AT + CODE_AT;

	memcpy(file + MODULE_AT, &table, sizeof(table));
	memcpy(file + MODULE_AT + MODULE_TEXT_AT, &text, sizeof(text));
}

static void put_sections(uint8_t *file, enum form form)
{
	static const char names[] = "\0.text\0.gopclntab\0.go.module\0.rela\0.shstrtab";
	Elf64_Rela relocation = {LOADED_AT + TABLE_AT + TEXT_START_AT,
				 ELF64_R_INFO(0, R_X86_64_RELATIVE), LOADED_AT + CODE_AT};
	Elf64_Shdr sections[] = {
		{},
		{1, SHT_PROGBITS, SHF_EXECINSTR, LOADED_AT + CODE_AT, CODE_AT, CODE_BYTES, 0, 0, 16,
		 0},
		{7, SHT_PROGBITS, SHF_ALLOC, LOADED_AT + TABLE_AT, TABLE_AT, 0x400, 0, 0, 8, 0},
		{18, form == FORM_1_27 ? SHT_PROGBITS : SHT_NULL, SHF_ALLOC, LOADED_AT + MODULE_AT,
		 MODULE_AT, 0x180, 0, 0, 8, 0},
		{29, form == FORM_1_19_PIE ? SHT_RELA : SHT_NULL, SHF_ALLOC, 0, RELOCATION_AT,
		 sizeof(relocation), 0, 0, 8, sizeof(relocation)},
		{35, SHT_STRTAB, 0, 0, NAMES_AT, sizeof(names), 0, 0, 1, 0},
	};

	memcpy(file + RELOCATION_AT, &relocation, sizeof(relocation));
	memcpy(file + NAMES_AT, names, sizeof(names));
	memcpy(file + SECTIONS_AT, sections, sizeof(sections));
}

static int go_program(enum form form)
{
	uint8_t file[FILE_BYTES] = {};
	char path[] = "/tmp/sluice-go-XXXXXX";
	Elf64_Ehdr header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
					 ELFDATA2LSB, EV_CURRENT},
			     .e_type = ET_EXEC,
			     .e_machine = EM_X86_64,
			     .e_version = EV_CURRENT,
			     .e_phoff = sizeof(header),
			     .e_shoff = SECTIONS_AT,
			     .e_ehsize = sizeof(header),
			     .e_phentsize = sizeof(Elf64_Phdr),
			     .e_phnum = 1,
			     .e_shentsize = sizeof(Elf64_Shdr),
			     .e_shnum = 6,
			     .e_shstrndx = 5};
	Elf64_Phdr segment = {PT_LOAD,   PF_R | PF_X, 0,          LOADED_AT,
			      LOADED_AT, FILE_BYTES,  FILE_BYTES, 0x1000};
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	memcpy(file, &header, sizeof(header));
	memcpy(file + sizeof(header), &segment, sizeof(segment));
	memset(file + CODE_AT, 0xcc, CODE_BYTES);
	memcpy(file + CODE_AT + WRITE_AT, write_code, sizeof(write_code));
	memcpy(file + CODE_AT + READ_AT, read_code, sizeof(read_code));
	put_table(file, form);
	put_module(file);
	put_sections(file, form);
	assert_int_equal(pwrite(fd, file, sizeof(file), 0), sizeof(file));
	return fd;
}

static void expect_points(int fd)
{
	CLEANUP_FREE struct probe_point *points = NULL;

	assert_int_equal(points_find(fd, &points), 4);
	assert_int_equal(points[0].probe, PROBE_GO_WRITE); // behind the check of the stack
	assert_int_equal(points[0].offset, CODE_AT + WRITE_AT + 11);
	assert_int_equal(points[1].probe, PROBE_GO_READ);
	assert_int_equal(points[1].offset, CODE_AT + READ_AT + 6);
	assert_int_equal(points[2].probe, PROBE_GO_READ_RETURN); // none within an instruction
	assert_int_equal(points[2].offset, CODE_AT + READ_AT + 13);
	assert_int_equal(points[3].probe, PROBE_GO_READ_RETURN);
	assert_int_equal(points[3].offset, CODE_AT + READ_AT + 20);
}

static void functions_are_found_in_what_each_go_writes(void **state)
{
	(void)state;
	for (enum form form = FORM_1_19; form <= FORM_1_27; form++) {
		CLEANUP_CLOSE int fd = go_program(form);

		expect_points(fd);
	}
}

static void a_table_of_another_form_is_left_alone(void **state)
{
	(void)state;
	CLEANUP_CLOSE int fd = go_program(FORM_UNKNOWN);
	struct probe_point *points;

	assert_int_equal(points_find(fd, &points), 0);
	assert_null(points);
}

// Every byte of the table is made wrong once: nothing is read where nothing is.
static void a_damaged_table_does_no_harm(void **state)
{
	(void)state;
	CLEANUP_CLOSE int fd = go_program(FORM_1_19);

	for (int at = 0; at < 0x200; at++)
		for (int wrong = 0; wrong < 2; wrong++) {
			CLEANUP_FREE struct probe_point *points = NULL;
			uint8_t byte, damaged;
			int n;

			assert_int_equal(pread(fd, &byte, 1, TABLE_AT + at), 1);
			damaged = wrong ? 0xff : byte ^ 0x10;
			assert_int_equal(pwrite(fd, &damaged, 1, TABLE_AT + at), 1);
			n = points_find(fd, &points);
			for (int i = 0; i < n; i++)
				assert_true(points[i].offset < FILE_BYTES);
			assert_int_equal(pwrite(fd, &byte, 1, TABLE_AT + at), 1);
		}
	expect_points(fd);
}

static void code_that_is_not_understood_is_not_probed(void **state)
{
	(void)state;
	CLEANUP_CLOSE int fd = go_program(FORM_1_19);
	struct probe_point *points;

	// Within Read, behind its first return: no instruction begins so in 64-bit code.
	assert_int_equal(pwrite(fd, "\x06", 1, CODE_AT + READ_AT + 14), 1);
	assert_true(points_find(fd, &points) < 0);
	assert_null(points);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifdef __x86_64__
		cmocka_unit_test(functions_are_found_in_what_each_go_writes),
		cmocka_unit_test(a_table_of_another_form_is_left_alone),
		cmocka_unit_test(a_damaged_table_does_no_harm),
		cmocka_unit_test(code_that_is_not_understood_is_not_probed),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
