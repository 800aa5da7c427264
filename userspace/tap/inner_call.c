// See inner_call.h. Nothing is assumed of versions or distances: the wrapper's own instructions
// must say it, or the wrappers are probed. Encodings: Intel SDM vol. 2, ENDBR64, SUB, CALL, PUSH,
// XOR, JMP.
#include "tap/inner_call.h"
#include <string.h>
#include <unistd.h>

#ifdef __x86_64__

enum { CALL = 0xe8, JMP = 0xe9, JMP_SHORT = 0xeb, CALL_BYTES = 5, WRAPPER_BYTES = 96 };

static uint64_t call_target(const uint8_t *code, uint64_t at)
{
	int32_t distance;

	memcpy(&distance, code + 1, sizeof(distance));
	return at + CALL_BYTES + (int64_t)distance;
}

// [endbr64] sub $8,%rsp; call TARGET: no argument register is touched in between.
static uint64_t handed_on_to(const uint8_t *code, uint64_t at)
{
	static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa}, sub8[] = {0x48, 0x83, 0xec, 8};
	size_t i = memcmp(code, endbr64, sizeof(endbr64)) ? 0 : sizeof(endbr64);

	if (memcmp(code + i, sub8, sizeof(sub8)) || code[i + sizeof(sub8)] != CALL)
		return 0;
	i += sizeof(sub8);
	return call_target(code + i, at + i);
}

static bool calls(const uint8_t *code, uint64_t at, uint64_t target)
{
	for (size_t i = 0; i + CALL_BYTES <= WRAPPER_BYTES; i++)
		if (code[i] == CALL && call_target(code + i, at + i) == target)
			return true;
	return false;
}

// A function's usual first instruction: push of a register, or endbr64.
static bool begins_a_function(int fd, uint64_t at)
{
	uint8_t code[4];

	if (pread(fd, code, sizeof(code), at) != sizeof(code))
		return false;
	return (code[0] & 0xf8) == 0x50 || (code[0] == 0x41 && (code[1] & 0xf8) == 0x50) ||
	       !memcmp(code, "\xf3\x0f\x1e\xfa", 4);
}

uint64_t inner_call_find(int fd, uint64_t plain, uint64_t ex)
{
	uint8_t plain_code[WRAPPER_BYTES], ex_code[WRAPPER_BYTES];
	uint64_t target;

	if (!plain || !ex || pread(fd, plain_code, WRAPPER_BYTES, plain) != WRAPPER_BYTES ||
	    pread(fd, ex_code, WRAPPER_BYTES, ex) != WRAPPER_BYTES)
		return 0;
	target = handed_on_to(ex_code, ex);
	return target && calls(plain_code, plain, target) && begins_a_function(fd, target) ? target
											   : 0;
}

// [endbr64] xor %ecx,%ecx; xor %r8d,%r8d (in either order); jmp.
bool inner_call_is_jump(int fd, uint64_t at)
{
	static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
	static const uint8_t clear_ecx[] = {0x31, 0xc9}, clear_r8d[] = {0x45, 0x31, 0xc0};
	uint8_t code[16];
	size_t i = 0;

	if (!at || pread(fd, code, sizeof(code), at) != sizeof(code))
		return false;
	if (!memcmp(code, endbr64, sizeof(endbr64)))
		i += sizeof(endbr64);
	for (int clears = 0; clears < 2; clears++) {
		if (!memcmp(code + i, clear_ecx, sizeof(clear_ecx)))
			i += sizeof(clear_ecx);
		else if (!memcmp(code + i, clear_r8d, sizeof(clear_r8d)))
			i += sizeof(clear_r8d);
	}
	return code[i] == JMP || code[i] == JMP_SHORT;
}

#else

bool inner_call_is_jump(int fd, uint64_t at)
{
	(void)fd, (void)at;
	return false;
}

uint64_t inner_call_find(int fd, uint64_t plain, uint64_t ex)
{
	(void)fd, (void)plain, (void)ex;
	return 0;
}

#endif
