// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 1, 13.10: XSAVEC writes MXCSR with SSE, not with AVX alone; 13.8.2: XRSTOR of a
 * compacted area that puts SSE into its initial state sets MXCSR to 1F80H.
 */
#include "tiles.h"

static u8 area[4096] __attribute__((aligned(64)));

static void set_mxcsr(u32 value)
{
	asm volatile("ldmxcsr %0" : : "m"(value));
}

static u32 mxcsr(void)
{
	u32 value;

	asm volatile("stmxcsr %0" : "=m"(value));
	return value;
}

void test(void)
{
	xsetbv(ALL);
	asm volatile("vpcmpeqd %ymm0, %ymm0, %ymm0");
	memset(area, 0xaa, XSTATE_BV);
	xsavec(area, AVX);
	is("XSTATE_BV after XSAVEC of AVX", *word(area, XSTATE_BV), AVX);
	is("MXCSR after XSAVEC of AVX", *(u32 *)(area + 24), 0xaaaaaaaa);

	set_mxcsr(0x5f80);
	memset(area, 0, sizeof(area));
	*word(area, XCOMP_BV) = COMPACTED | SSE;
	xrstor(area, SSE);
	is("MXCSR after XRSTOR of initial SSE", mxcsr(), 0x1f80);
}
