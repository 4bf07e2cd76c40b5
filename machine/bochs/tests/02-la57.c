// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 3, Paging-Mode Enabling: MOV to CR4 cannot change LA57 in IA-32e mode. RSM can: an SMI
 * with five-level paging, and back.
 */
#include "test.h"

u32 boot_cr4 = CR4_LA57;

/* At SMBASE + 8000H, in 16-bit mode: incb 0x9000; rsm. */
static const u8 handler[] = { 0xfe, 0x06, 0x00, 0x90, 0x0f, 0xaa };

void test(void)
{
	/* An address of more than 48 bits, for the same memory. */
	volatile u8 *far = (u8 *)(0x1000000000000 + (u64)WINDOW);
	volatile u8 *count = (u8 *)0x9000;

	level5[1] = level5[0];
	raises("an address of 49 bits", TRY("movb $1, (%0)", "r"(far) : "memory"), NOTHING);
	raises("MOV to CR4 without LA57", TRY("mov %0, %%cr4", "r"(read_cr4() & ~CR4_LA57) : "memory"), GP);
	*count = 0;
	memcpy((u8 *)0x38000, handler, sizeof(handler));
	send_ipi(*apic(APIC_ID) >> 24, 0x4200);
	for (int i = 0; i < 1000 && !*count; i++)
		asm volatile("pause");
	is("SMIs", *count, 1);
	is("CR4.LA57 after RSM", read_cr4() & CR4_LA57, CR4_LA57);
	raises("an address of 49 bits after RSM", TRY("movb $1, (%0)", "r"(far) : "memory"), NOTHING);
}
