// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 3, VM-Execution Control Fields: the address of the posted-interrupt descriptor is a
 * multiple of 64.
 */
#include "vmx.h"

static u8 descriptors[128] __attribute__((aligned(128)));

static void guest(void)
{
	asm volatile("vmcall");
}

void test(void)
{
	make_guest(guest, 0, PIN_EXTERNAL_INTERRUPT | PIN_POSTED, PRIMARY_TPR_SHADOW,
		   SECONDARY_VIRTUAL_INTERRUPTS, EXIT_ACKNOWLEDGE);
	vmwrite(POSTED_VECTOR, 0xf2);
	vmwrite(POSTED_DESCRIPTOR, (u64)descriptors + 64);
	is("exit reason", enter_guest(), VMCALL);
}
