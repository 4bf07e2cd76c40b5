// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 3, Virtual-Interrupt Delivery: a pending virtual interrupt waits for RFLAGS.IF. Here IF
 * is 0, and an interrupt of the host comes, which has to cause a VM exit and nothing else.
 */
#include "vmx.h"

#define VECTOR	0x43

/* Lowering the task priority below the interrupt makes it pending. */
static void guest(void)
{
	asm volatile("cli; mov %0, %%cr8" : : "r"(0UL) : "memory");
	for (int i = 0; i < 100000; i++)
		asm volatile("pause");
	asm volatile("vmcall");
}

void test(void)
{
	make_guest(guest, IF, PIN_EXTERNAL_INTERRUPT, PRIMARY_TPR_SHADOW, SECONDARY_VIRTUAL_INTERRUPTS, 0);
	*(u32 *)(virtual_apic + APIC_TPR) = 0xf0;
	vmwrite(GUEST_INTERRUPT_STATUS, VECTOR);
	start_timer(0x50, 10000);
	is("exit reason", enter_guest(), EXTERNAL_INTERRUPT);
	is("RVI and SVI: the virtual interrupt is still pending", vmread(GUEST_INTERRUPT_STATUS), VECTOR);
}
