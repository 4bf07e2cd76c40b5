// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 1, 13.5: bits 511:256 of ZMM0 to ZMM15 are component 6. XRSTOR that initializes AVX, 2,
 * leaves them alone.
 */
#include "tiles.h"

static u8 area[4096] __attribute__((aligned(64))), none[1024] __attribute__((aligned(64)));

void test(void)
{
	xsetbv(ALL);
	*(u32 *)(none + 24) = *(u32 *)(area + 24) = 0x1f80;
	asm volatile("vpternlogd $0xff, %zmm0, %zmm0, %zmm0");
	xrstor(none, AVX);
	xsave(area, SSE | AVX | ZMM_HI256);
	is("bits 127:0", all_are(area + 160, 16, 0xff), 1);
	is("bits 255:128", all_are(area + offset_of(2), 16, 0), 1);
	is("bits 511:256", all_are(area + offset_of(6), 32, 0xff), 1);
}
