// SPDX-License-Identifier: GPL-2.0
/*
 * As seen on an Emerald Rapids: XSAVE, XSAVEOPT, XSAVEC and XRSTOR access all bytes up to the end
 * of the last component that they are asked for, the last one first, also if that component is in
 * its initial state. SDM vol. 1, 13.13, leaves this to the processor.
 */
#include "tiles.h"

/* An area whose tiles are initial, and on a page that is not there. */
static u8 *prepare(u32 end)
{
	u8 *area = WINDOW + 3 * 4096 - end;

	map(2, PRESENT | WRITE);
	memset(area, 0, end);
	map(2, 0);
	return area;
}

#define FAULTS(name, instruction, area, components, end) do {			\
	raises(name, TRY_XSAVE(instruction, area, components), PF);		\
	is(name ", CR2", trap.cr2, (u64)(area) + (end) - 1); } while (0)

void test(void)
{
	u8 *area;
	u64 k1 = 1;
	const u32 standard = offset_of(18) + TILES_BYTES, compacted = EXTENDED + TILES_BYTES;

	xsetbv(ALL);
	area = prepare(standard);
	FAULTS("XSAVE", "xsave", area, TILEDATA, standard);
	FAULTS("XSAVEOPT", "xsaveopt", area, TILEDATA, standard);
	*word(area, XSTATE_BV) = OPMASK;
	asm volatile("kmovq %0, %%k1" : : "r"(k1));
	FAULTS("XRSTOR", "xrstor", area, OPMASK | TILEDATA, standard);
	asm volatile("kmovq %%k1, %0" : "=r"(k1));
	is("K1 after the #PF: nothing is loaded", k1, 1);
	raises("XRSTOR of what comes before", TRY_XSAVE("xrstor", area, OPMASK), NOTHING);

	area = prepare(compacted);
	FAULTS("XSAVEC", "xsavec", area, TILEDATA, compacted);
	*word(area, XCOMP_BV) = COMPACTED | TILEDATA;
	FAULTS("XRSTOR, compacted", "xrstor", area, TILEDATA, compacted);
	/* What XFD disables does not count, where it cannot be written. */
	wrmsr(IA32_XFD, TILEDATA);
	raises("XSAVEC with XFD", TRY_XSAVE("xsavec", area, TILEDATA), NOTHING);
	wrmsr(IA32_XFD, 0);
}
