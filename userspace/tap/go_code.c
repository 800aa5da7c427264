// See go_code.h. A return's byte also occurs within other instructions, and a probe there would
// destroy them, so the code is disassembled from its beginning; Go puts no data between.
//
// A function begins with the check of the stack (Go's cmd/internal/obj, stacksplit()), unless it
// needs none: the stack's end is compared with what is in the goroutine, and where it is too near,
// a jump leads to what makes the stack grow and starts the function again.
//
//     cmp 0x10(%r14),%rsp; jbe …                        a small frame
//     lea -X(%rsp),%r12; cmp 0x10(%r14),%r12; jbe …     a greater one
//     mov %rsp,%r12; sub $X,%r12; jb …; cmp …; jbe …    a huge one
#include "tap/go_code.h"
#include <capstone/capstone.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/cleanup.h"

enum { MAX_FUNCTION_BYTES = 1 << 20 };

#if defined(__x86_64__)

static const cs_arch architecture = CS_ARCH_X86;
static const cs_mode architecture_mode = CS_MODE_64;
enum { RETURN = X86_INS_RET };

static bool is_stack_check(const cs_insn *instruction)
{
	const cs_x86 *x86 = &instruction->detail->x86;

	switch (instruction->id) {
	case X86_INS_JB:
	case X86_INS_JBE:
		return true;
	case X86_INS_CMP:
		return x86->operands[1].type == X86_OP_MEM &&
		       x86->operands[1].mem.base == X86_REG_R14;
	case X86_INS_LEA:
	case X86_INS_MOV:
	case X86_INS_SUB:
		return x86->operands[0].type == X86_OP_REG && x86->operands[0].reg == X86_REG_R12;
	default:
		return false;
	}
}

#elif defined(__aarch64__)

static const cs_arch architecture = CS_ARCH_ARM64;
static const cs_mode architecture_mode = CS_MODE_ARM;
enum { RETURN = ARM64_INS_RET };

// ldr x16,[x28,#16]; cmp sp,x16 (or sub x17,sp,#X; cmp x17,x16); b.ls …
static bool is_stack_check(const cs_insn *instruction)
{
	const cs_arm64 *arm64 = &instruction->detail->arm64;

	switch (instruction->id) {
	case ARM64_INS_LDR:
		return arm64->operands[1].type == ARM64_OP_MEM &&
		       arm64->operands[1].mem.base == ARM64_REG_X28;
	case ARM64_INS_B:
		return arm64->cc == ARM64_CC_LS || arm64->cc == ARM64_CC_LO;
	case ARM64_INS_MOV:
	case ARM64_INS_MOVZ:
	case ARM64_INS_MOVK:
	case ARM64_INS_SUB:
	case ARM64_INS_SUBS:
		return arm64->operands[0].reg == ARM64_REG_X17 ||
		       arm64->operands[0].reg == ARM64_REG_X16 ||
		       arm64->operands[0].reg == ARM64_REG_X27;
	case ARM64_INS_CMP:
		return true;
	default:
		return false;
	}
}

#else
#error "go_code.c: no disassembler is chosen for this machine"
#endif

static int read_instructions(csh disassembler, const uint8_t *code,
			     const struct go_function *function, struct go_code *ret)
{
	cs_insn *instruction = cs_malloc(disassembler);
	uint64_t at = function->offset;
	size_t left = function->bytes;
	bool is_checking = true;

	if (!instruction)
		return -ENOMEM;
	while (left && cs_disasm_iter(disassembler, &code, &left, &at, instruction)) {
		is_checking = is_checking && is_stack_check(instruction);
		if (is_checking)
			ret->begin = at; // of the next
		if (instruction->id == RETURN)
			ret->returns[ret->n_returns++] = instruction->address;
	}
	cs_free(instruction, 1);
	return left ? -EILSEQ : 0;
}

static int disassemble(const uint8_t *code, const struct go_function *function, struct go_code *ret)
{
	csh disassembler;
	int err;

	if (cs_open(architecture, architecture_mode, &disassembler) != CS_ERR_OK)
		return -ENOSYS;
	cs_option(disassembler, CS_OPT_DETAIL, CS_OPT_ON);
	err = read_instructions(disassembler, code, function, ret);
	cs_close(&disassembler);
	return err;
}

int go_read_code(int fd, const struct go_function *function, struct go_code *ret)
{
	CLEANUP_FREE uint8_t *code = NULL;
	int err;

	if (function->bytes > MAX_FUNCTION_BYTES)
		return -E2BIG;
	*ret = (struct go_code){.begin = function->offset};
	code = malloc(function->bytes);
	ret->returns = calloc(function->bytes, sizeof(*ret->returns)); // more than there can be
	if (!code || !ret->returns)
		err = -ENOMEM;
	else if (pread(fd, code, function->bytes, function->offset) != (ssize_t)function->bytes)
		err = -EIO;
	else
		err = disassemble(code, function, ret);
	if (err)
		free(ret->returns);
	return err;
}
