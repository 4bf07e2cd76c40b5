// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 3, Event Blocking (VMX non-root operation): with external-interrupt exiting, an
 * interrupt causes a VM exit whatever RFLAGS.IF is. Here it is 0 in the host and in the guest.
 */
#include "vmx.h"

static void guest(void)
{
	for (int i = 0; i < 100000; i++)
		asm volatile("pause");
	asm volatile("vmcall");
}

void test(void)
{
	make_guest(guest, 0, PIN_EXTERNAL_INTERRUPT, 0, 0, 0);
	start_timer(0x50, 10000);
	is("exit reason", enter_guest(), EXTERNAL_INTERRUPT);
}
