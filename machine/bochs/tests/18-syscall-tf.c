// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 2, SYSCALL: RFLAGS is masked with IA32_FMASK as part of the instruction, so that a
 * single step ends with it: there is no #DB before the first instruction of the system call's
 * entry.
 */
#include "test.h"

static u64 steps;

void on_interrupt(struct frame *frame)
{
	if (frame->vector != DB)
		fail("an exception that is not #DB");
	steps++;
}

static u64 syscall_with_tf(u64 fmask)
{
	u64 flags;

	steps = 0;
	wrmsr(IA32_FMASK, fmask);
	asm volatile("pushf\n\tpop %0\n\t"
		     "mov %0, %%rbx\n\t"
		     "or $0x100, %%rbx\n\t"
		     "push %%rbx\n\t"
		     "popf\n\t"
		     "syscall\n\t"
		     "nop\n"
		     "entry:\tnop\n\t"
		     "push %0\n\tpopf" : "=&r"(flags) : : "rbx", "rcx", "r11", "memory");
	return steps;
}

void test(void)
{
	extern u8 entry[];

	wrmsr(IA32_STAR, (u64)CODE64 << 32);
	wrmsr(IA32_LSTAR, (u64)entry);
	is("steps, TF masked", syscall_with_tf(0x100), 0);
	/* SYSCALL itself, NOP, PUSH and POPF */
	is("steps, TF not masked", syscall_with_tf(0), 4);
}
