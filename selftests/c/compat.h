/* SPDX-License-Identifier: GPL-2.0 */
/*
 * 32-bit code fragments run by a 64-bit thread, which enters them with a far RET and returns with a far JMP. The
 * program must be linked below 4 GiB.
 */
#ifndef XFD_TEST_COMPAT_H
#define XFD_TEST_COMPAT_H

#include <stdint.h>

#define COMPAT_CS	0x23		/* __USER32_CS */

uint8_t compat_stack[64 << 10] __attribute__((aligned(64), used));
uint64_t compat_rsp __attribute__((used));

/* Runs @code, which ends with RET, with @cs as its code segment. Returns the final EAX. */
uint32_t compat_run(const uint8_t *code, uint32_t cs);

/* A RET, for handlers to end a fragment with; then the fragments. */
extern const uint8_t compat_ret[], compat_getpid[], compat_where[], compat_own_stack[];
extern const uint8_t compat_int3[], compat_into[], compat_syscall[], compat_lkgs[], compat_eretu[];

asm(".pushsection .text\n\t"
    ".type compat_run, @function\n"
    "compat_run:\n\t"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n\t"
    "mov %rsp, compat_rsp(%rip)\n\t"
    "lea compat_stack + (64 << 10) - 64(%rip), %rsp\n\t"
    "mov $0x2b, %eax; mov %eax, %ds; mov %eax, %es\n\t"
    "push %rsi; lea 1f(%rip), %rax; push %rax; lretq\n\t"
    ".code32\n"
    "1: call *%edi; ljmp $0x33, $2f\n\t"
    ".code64\n"
    "2: mov compat_rsp(%rip), %rsp\n\t"
    "xor %ecx, %ecx; mov %ecx, %ds; mov %ecx, %es\n\t"
    "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n\t"
    "ret\n\t"
    ".size compat_run, . - compat_run\n\t"
    ".code32\n"
    "compat_getpid: mov $20, %eax; int $0x80\n"
    "compat_ret: ret\n"
    /* CS after a system call. */
    "compat_where: mov $20, %eax; int $0x80; mov %cs, %eax; ret\n"
    /* With the stack in segment 15, from the LDT: 0 if a system call preserves SS and ESP. */
    "compat_own_stack:\n\t"
    "mov %esp, %edx; mov $15, %eax; mov %eax, %ss\n\t"
    "mov $20, %eax; int $0x80; mov %esp, %ecx; mov %ss, %esi\n\t"
    "mov $0x2b, %eax; mov %eax, %ss; mov %edx, %esp\n\t"
    "mov %ecx, %eax; xor %edx, %eax; xor $15, %esi; or %esi, %eax; ret\n"
    "compat_int3: int3; ret\n"
    "compat_into: mov $0x7fffffff, %eax; inc %eax; into; ret\n"
    "compat_syscall: syscall; ret\n"
    "compat_lkgs: .byte 0xf2, 0x0f, 0x00, 0xf0; ret\n"
    "compat_eretu: .byte 0xf3, 0x0f, 0x01, 0xca; ret\n\t"
    ".code64\n\t"
    ".popsection");

#endif
