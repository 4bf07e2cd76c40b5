// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 2, STI: interrupts are blocked until the instruction after it has completed, so that
 * none comes between STI and CLI. Here one is pending all the time, and exceptions of another CPU
 * must not be counted as instructions of this one.
 *
 * cpu: count=2
 */
#include "test.h"

static volatile u32 interrupts, exceptions;

void on_interrupt(struct frame *frame)
{
	if (frame->vector == UD) {
		exceptions++;
		frame->rip += 2;
		return;
	}
	interrupts++;
	*apic(APIC_EOI) = 0;
	frame->rflags &= ~0x200UL;
}

void other_cpu(void)
{
	asm volatile("lidt %0" : : "m"(idtr));
	for (;;)
		asm volatile("ud2; ud2; ud2; ud2");
}

void test(void)
{
	*apic(APIC_SPURIOUS) = 0x1ff;
	*apic(APIC_ICR_LOW) = 0xc4500;		/* INIT and SIPI to all others */
	*apic(APIC_ICR_LOW) = 0xc46ff;
	*apic(APIC_ICR_LOW) = 0x40050;		/* an interrupt for this one */
	for (int i = 0; i < 100000; i++)
		asm volatile("sti; cli");
	is("exceptions of the other CPU, at least 1000", exceptions >= 1000, 1);
	is("interrupts between STI and CLI", interrupts, 0);
	asm volatile("sti; nop; cli");
	is("interrupts after STI and NOP", interrupts, 1);
}
