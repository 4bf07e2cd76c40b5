// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 3, Information for VM Exits During Event Delivery: the IDT-vectoring information says
 * which event it was. Here it is a virtual interrupt, and the guest's IDT is on a page that EPT
 * does not have.
 */
#include "vmx.h"

#define VECTOR	0x43

static u8 guest_idt[4096] __attribute__((aligned(4096)));

static void guest(void)
{
	asm volatile("nop; vmcall");
}

void test(void)
{
	make_guest(guest, IF, PIN_EXTERNAL_INTERRUPT, PRIMARY_TPR_SHADOW,
		   SECONDARY_EPT | SECONDARY_VIRTUAL_INTERRUPTS, 0);
	ept_without(guest_idt);
	vmwrite(GUEST_IDTR, (u64)guest_idt);
	vmwrite(GUEST_INTERRUPT_STATUS, VECTOR);
	is("exit reason", enter_guest(), EPT_VIOLATION);
	is("IDT-vectoring information", vmread(IDT_VECTORING), 0x80000000 | VECTOR);
}
