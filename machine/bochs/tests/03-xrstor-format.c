// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 1, 13.4.3 and 13.8.2: where XRSTOR finds a component in a compacted area does not
 * depend on which ones it loads.
 */
#include "tiles.h"

static u8 area[4096] __attribute__((aligned(64)));

void test(void)
{
	u64 k1;

	xsetbv(ALL);
	*word(area, XSTATE_BV) = AVX | OPMASK;
	*word(area, XCOMP_BV) = COMPACTED | AVX | OPMASK;
	memset(area + EXTENDED, 0x11, 256);		/* AVX */
	memset(area + EXTENDED + 256, 0x22, 64);	/* opmask registers */
	xrstor(area, OPMASK);
	asm volatile("kmovq %%k1, %0" : "=r"(k1));
	is("K1 behind an AVX state that is not loaded", k1, 0x2222222222222222);
}
