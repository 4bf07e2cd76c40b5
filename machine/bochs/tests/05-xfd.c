// SPDX-License-Identifier: GPL-2.0
/* SDM vol. 1, 13.14: extended feature disable. */
#include "tiles.h"

static struct tile_config config, stored;
static u8 area[16384] __attribute__((aligned(64)));
static u8 memory[TILE_BYTES];

#define TRY_WRMSR(msr, value) TRY("wrmsr", "a"((u32)(value)), "d"((u64)(value) >> 32), "c"(msr) : "memory")

static void announced(void)
{
	is("CPUID.(0DH,1):EAX[4]", cpuid(0xd, 1).eax >> 4 & 1, 1);
	is("CPUID.(0DH,17):ECX[2]", cpuid(0xd, 17).ecx >> 2 & 1, 0);
	is("CPUID.(0DH,18):ECX[2]", cpuid(0xd, 18).ecx >> 2 & 1, 1);
}

static void registers(void)
{
	is("IA32_XFD at reset", rdmsr(IA32_XFD), 0);
	is("IA32_XFD_ERR at reset", rdmsr(IA32_XFD_ERR), 0);
	raises("IA32_XFD[17]", TRY_WRMSR(IA32_XFD, TILECFG), GP);
	raises("IA32_XFD[50]", TRY_WRMSR(IA32_XFD, TILEDATA << 32), GP);
	raises("IA32_XFD_ERR[2]", TRY_WRMSR(IA32_XFD_ERR, AVX), GP);
}

/* The instruction is refused, and says why; which one it was is in the frame of the exception. */
#define DISABLED(name, ...) do {						\
	wrmsr(IA32_XFD_ERR, 0);							\
	raises(name, TRY(__VA_ARGS__), NM);					\
	is(name ", IA32_XFD_ERR", rdmsr(IA32_XFD_ERR), TILEDATA); } while (0)

static void instructions(void)
{
	config = all_tiles(16, 64);
	wrmsr(IA32_XFD, TILEDATA);
	raises("LDTILECFG", TRY("ldtilecfg %0", "m"(config) : "memory"), NOTHING);
	raises("STTILECFG", TRY("sttilecfg %0", "m"(stored) : "memory"), NOTHING);
	DISABLED("TILEZERO", "tilezero %%tmm0", "i"(0) : "memory");
	DISABLED("TILELOADD", "tileloadd (%0,%1,1), %%tmm0", "r"(memory), "r"(64UL) : "memory");
	DISABLED("TILELOADDT1", "tileloaddt1 (%0,%1,1), %%tmm0", "r"(memory), "r"(64UL) : "memory");
	DISABLED("TILESTORED", "tilestored %%tmm0, (%0,%1,1)", "r"(memory), "r"(64UL) : "memory");
	DISABLED("TDPBSSD", "tdpbssd %%tmm2, %%tmm1, %%tmm0", "i"(0) : "memory");
	DISABLED("TDPBF16PS", "tdpbf16ps %%tmm2, %%tmm1, %%tmm0", "i"(0) : "memory");
	/* before the address is looked at */
	DISABLED("TILELOADD from a bad address", "tileloadd (%0,%1,1), %%tmm0", "r"(1UL << 62), "r"(64UL) : "memory");
	raises("TILERELEASE", TRY("tilerelease", "i"(0) : "memory"), NOTHING);
	/* after all reasons for #UD */
	wrmsr(IA32_XFD_ERR, 0);
	raises("TILEZERO without a configuration", TRY("tilezero %%tmm0", "i"(0) : "memory"), UD);
	config.rows[7] = config.row_bytes[7] = 0;
	ldtilecfg(&config);
	raises("TILEZERO of an empty tile", TRY("tilezero %%tmm7", "i"(0) : "memory"), UD);
	is("IA32_XFD_ERR after #UD", rdmsr(IA32_XFD_ERR), 0);
	wrmsr(IA32_XFD, 0);
}

/* A tile of ones, then disabled. */
static void live_and_disabled(void)
{
	wrmsr(IA32_XFD, 0);
	config = all_tiles(16, 64);
	ldtilecfg(&config);
	memset(memory, 1, sizeof(memory));
	tileload(0, memory);
	wrmsr(IA32_XFD, TILEDATA);
	memset(area, 0xaa, sizeof(area));
	memset(area + XSTATE_BV, 0, 64);
}

static void save(void)
{
	live_and_disabled();
	is("XGETBV(1) while disabled", in_use() & TILES, TILES);
	*word(area, XSTATE_BV) = TILEDATA;
	xsave(area, TILES);
	is("XSAVE, XSTATE_BV", *word(area, XSTATE_BV), TILECFG);
	is("XSAVE writes zeros", all_are(area + offset_of(18), TILE_BYTES, 0), 1);

	live_and_disabled();
	*word(area, XSTATE_BV) = TILEDATA;
	xsaveopt(area, TILES);
	is("XSAVEOPT, XSTATE_BV", *word(area, XSTATE_BV), TILECFG);
	is("XSAVEOPT writes nothing", all_are(area + offset_of(18), TILE_BYTES, 0xaa), 1);

	live_and_disabled();
	xsavec(area, TILES);
	is("XSAVEC, XSTATE_BV", *word(area, XSTATE_BV), TILECFG);
	is("XSAVEC, XCOMP_BV", *word(area, XCOMP_BV), COMPACTED | TILES);

	live_and_disabled();
	xsaves(area, TILES);
	is("XSAVES, XSTATE_BV", *word(area, XSTATE_BV), TILECFG);

	wrmsr(IA32_XFD, 0);
	tilestore(0, memory);
	is("the tile afterwards", all_are(memory, TILE_BYTES, 1), 1);
}

static void restore(void)
{
	u64 k1 = 1;

	live_and_disabled();
	*word(area, XSTATE_BV) = OPMASK | TILEDATA;
	asm volatile("kmovq %0, %%k1" : : "r"(k1));
	DISABLED("XRSTOR", "xrstor64 (%0)", "r"(area), "a"((u32)(OPMASK | TILEDATA)), "d"(0) : "memory");
	asm volatile("kmovq %%k1, %0" : "=r"(k1));
	is("K1 after the #NM: nothing is loaded", k1, 1);
	raises("XRSTOR without TILEDATA", TRY_XSAVE("xrstor", area, OPMASK), NOTHING);
	*word(area, XSTATE_BV) = OPMASK;
	raises("XRSTOR of initial TILEDATA", TRY_XSAVE("xrstor", area, OPMASK | TILEDATA), NOTHING);
	is("XGETBV(1) after that", in_use() & TILES, TILECFG);
	*word(area, XSTATE_BV) = TILEDATA;
	*word(area, XCOMP_BV) = COMPACTED | TILEDATA;
	DISABLED("XRSTORS", "xrstors64 (%0)", "r"(area), "a"((u32)TILEDATA), "d"(0) : "memory");
	wrmsr(IA32_XFD, 0);
	wrmsr(IA32_XFD_ERR, 0);
	raises("XRSTORS, enabled", TRY_XSAVE("xrstors", area, TILEDATA), NOTHING);
}

void test(void)
{
	xsetbv(ALL);
	announced();
	registers();
	instructions();
	save();
	restore();
}
