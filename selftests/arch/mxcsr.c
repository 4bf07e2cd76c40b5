// SPDX-License-Identifier: GPL-2.0
/* Which instructions save and load MXCSR, bytes 24-27 of the area (SDM vol. 1, 13.7, 13.8, 13.10). */
#include <string.h>
#include <xmmintrin.h>

#include "answers.h"
#include "tiles.h"

#define MXCSR_AT 24
#define OTHER 0x5f80	/* round up */
#define USUAL 0x1f80

static uint32_t saved(void)
{
	uint32_t value;

	memcpy(&value, area + MXCSR_AT, 4);
	return value;
}

/* @instruction with MXCSR = OTHER and all XMM and YMM registers zero, except the half that @set sets. */
#define SAVE(instruction, rfbm, set)								\
	({											\
		uint32_t other = OTHER, usual = USUAL;						\
		memset(area, 0xaa, 1024);							\
		memset(area + XSTATE_BV, 0, 64);						\
		asm volatile("vzeroall; " set " ldmxcsr %1; " instruction " (%0); vzeroall; ldmxcsr %2"	\
			     : : "r"(area), "m"(other), "m"(usual), "a"((uint32_t)(rfbm)), "d"(0)	\
			     : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",	\
			       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");	\
		saved();									\
	})
#define XMM_SET "vpcmpeqd %%xmm1, %%xmm1, %%xmm1;"
#define YMM_SET "vpcmpeqd %%ymm1, %%ymm1, %%ymm1; vpxor %%xmm2, %%xmm2, %%xmm2; vinserti128 $0, %%xmm2, %%ymm1, %%ymm1;"

/* MXCSR after an XRSTOR with OTHER in the register and 0x3f80 in the area. */
static uint32_t loaded(uint64_t rfbm, uint64_t xstate_bv, uint64_t xcomp_bv)
{
	uint32_t other = OTHER, usual = USUAL, in_area = 0x3f80, result;

	memset(area, 0, 4096);
	memcpy(area + MXCSR_AT, &in_area, 4);
	set64(area, XSTATE_BV, xstate_bv);
	set64(area, XCOMP_BV, xcomp_bv);
	asm volatile("ldmxcsr %2; xrstor (%1); stmxcsr %0; ldmxcsr %3"
		     : "=m"(result)
		     : "r"(area), "m"(other), "m"(usual), "a"((uint32_t)rfbm), "d"(0)
		     : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
		       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
	return result;
}

void ask_mxcsr(void)
{
	answer("mxcsr.xsave.sse", "%#x", SAVE("xsave", SSE, XMM_SET));
	answer("mxcsr.xsave.avx", "%#x", SAVE("xsave", AVX, YMM_SET));
	answer("mxcsr.xsave.x87", "%#x", SAVE("xsave", X87, XMM_SET));
	answer("mxcsr.xsaveopt.avx", "%#x", SAVE("xsaveopt", AVX, YMM_SET));
	answer("mxcsr.xsavec.sse", "%#x", SAVE("xsavec", SSE, XMM_SET));
	answer("mxcsr.xsavec.avx", "%#x", SAVE("xsavec", AVX, YMM_SET));
	/* With all XMM registers zero, a non-default MXCSR alone marks SSE state as in use. */
	answer("mxcsr.xsavec.sse.only_mxcsr", "%#x", SAVE("xsavec", SSE, ""));
	answer("mxcsr.xsavec.sse.only_mxcsr.bits", "%#llx", (unsigned long long)get64(area, XSTATE_BV));
	answer("mxcsr.xsave.sse.only_mxcsr.bits", "%#llx",
	       (SAVE("xsave", SSE, ""), (unsigned long long)get64(area, XSTATE_BV)));

	answer("mxcsr.xrstor.sse", "%#x", loaded(SSE, SSE, 0));
	answer("mxcsr.xrstor.sse_initial", "%#x", loaded(SSE, 0, 0));
	answer("mxcsr.xrstor.avx", "%#x", loaded(AVX, AVX, 0));
	answer("mxcsr.xrstor.avx_initial", "%#x", loaded(AVX, 0, 0));
	answer("mxcsr.xrstor.tilecfg", "%#x", loaded(TILECFG, 0, 0));
	answer("mxcsr.xrstor.compacted.sse", "%#x", loaded(SSE, SSE, COMPACTED | SSE | AVX));
	answer("mxcsr.xrstor.compacted.sse_initial", "%#x", loaded(SSE, AVX, COMPACTED | SSE | AVX));
	answer("mxcsr.xrstor.compacted.avx", "%#x", loaded(AVX, SSE | AVX, COMPACTED | SSE | AVX));
	answer("mxcsr.xrstor.compacted.avx_initial", "%#x", loaded(AVX, 0, COMPACTED | AVX));
}
