// SPDX-License-Identifier: GPL-2.0
/* XSAVE, XSAVEOPT, XRSTOR with the tile components, standard format (SDM vol. 1, 13.7-13.9). */
#include <string.h>

#include "answers.h"
#include "faults.h"
#include "tiles.h"

static struct tile_config cfg;

/* Loads all tiles with the pattern from @seed, and leaves it in memory[]. */
static void live(uint32_t seed)
{
	cfg = uniform(16, 64);
	ldtilecfg(&cfg);
	fill_pattern(memory, TILES_BYTES, seed);
	tileloadd(0, memory, 64);
	tileloadd(1, memory + 1 * TILE_BYTES, 64);
	tileloadd(2, memory + 2 * TILE_BYTES, 64);
	tileloadd(3, memory + 3 * TILE_BYTES, 64);
	tileloadd(4, memory + 4 * TILE_BYTES, 64);
	tileloadd(5, memory + 5 * TILE_BYTES, 64);
	tileloadd(6, memory + 6 * TILE_BYTES, 64);
	tileloadd(7, memory + 7 * TILE_BYTES, 64);
}

/* Tile contents: "pattern" of @seed, "zero" or "other". The tiles must be configured as 16 x 64. */
static const char *tiles_hold(uint32_t seed)
{
	static uint8_t now[TILES_BYTES];

	tilestored(0, now, 64);
	tilestored(1, now + 1 * TILE_BYTES, 64);
	tilestored(2, now + 2 * TILE_BYTES, 64);
	tilestored(3, now + 3 * TILE_BYTES, 64);
	tilestored(4, now + 4 * TILE_BYTES, 64);
	tilestored(5, now + 5 * TILE_BYTES, 64);
	tilestored(6, now + 6 * TILE_BYTES, 64);
	tilestored(7, now + 7 * TILE_BYTES, 64);
	return contents(now, TILES_BYTES, seed);
}

static void clean_area(void)
{
	memset(area, 0xaa, sizeof(area));
	memset(area + XSTATE_BV, 0, 64);
}

static void ask_standard(void)
{
	unsigned int at_cfg = component_offset(TILECFG_BIT), at_data = component_offset(TILEDATA_BIT);

	live(11);
	clean_area();
	xsave(area, TILES);
	answer("xsave.bits", "%s", tiles_in(get64(area, XSTATE_BV)));
	answer("xsave.config", "%s", memcmp(area + at_cfg, &cfg, sizeof(cfg)) ? "other" : "same");
	answer("xsave.data", "%s", contents(area + at_data, TILES_BYTES, 11));
	answer("xsave.header_rest", "%s", contents(area + XCOMP_BV, 56, 0));
	answer("xsave.others", "%s", contents(area + EXTENDED, at_cfg - EXTENDED, 0));
	answer("xsave.legacy", "%s", contents(area, 512, 0));
	tilerelease();
	xrstor(area, TILES);
	answer("xrstor.in_use", "%s", tiles_in(xgetbv(1)));
	answer("xrstor.data", "%s", tiles_hold(11));

	/* When only one is requested, the other's bit and bytes are left alone. */
	live(12);
	clean_area();
	set64(area, XSTATE_BV, TILECFG | PKRU);
	xsave(area, TILEDATA);
	answer("xsave.partial.bits", "%#llx", (unsigned long long)get64(area, XSTATE_BV));
	answer("xsave.partial.config", "%s", contents(area + at_cfg, 64, 0));
	answer("xsave.partial.data", "%s", contents(area + at_data, TILES_BYTES, 12));

	/* XSAVE writes a component in its initial state, XSAVEOPT does not. */
	tilerelease();
	clean_area();
	set64(area, XSTATE_BV, TILES);
	xsave(area, TILES);
	answer("xsave.initial.bits", "%s", tiles_in(get64(area, XSTATE_BV)));
	answer("xsave.initial.data", "%s", contents(area + at_data, TILES_BYTES, 0));
	clean_area();
	set64(area, XSTATE_BV, TILES);
	xsaveopt(area, TILES);
	answer("xsaveopt.initial.bits", "%s", tiles_in(get64(area, XSTATE_BV)));
	answer("xsaveopt.initial.data", "%s", contents(area + at_data, TILES_BYTES, 0));
	live(13);
	clean_area();
	xsaveopt(area, TILES);
	answer("xsaveopt.data", "%s", contents(area + at_data, TILES_BYTES, 13));
}

/* The two components are restored separately. */
static void ask_apart(void)
{
	live(14);
	clean_area();
	xsave(area, TILES);
	tilezero(0);
	xrstor(area, TILECFG);
	answer("xrstor.config_only.in_use", "%s", tiles_in(xgetbv(1)));
	live(14);
	xrstor(area, TILECFG);
	answer("xrstor.config_only.data", "%s", tiles_hold(14));

	set64(area, XSTATE_BV, TILEDATA);
	xrstor(area, TILECFG);
	answer("xrstor.config_initial.in_use", "%s", tiles_in(xgetbv(1)));
	set64(area, XSTATE_BV, TILECFG);
	xrstor(area, TILECFG);
	answer("xrstor.config_back.data", "%s", tiles_hold(14));

	xrstor(area, TILEDATA);
	answer("xrstor.data_initial.in_use", "%s", tiles_in(xgetbv(1)));
	answer("xrstor.data_initial.data", "%s", tiles_hold(0));
	set64(area, XSTATE_BV, TILEDATA);
	xrstor(area, TILEDATA);
	answer("xrstor.data_only.data", "%s", tiles_hold(14));
}

static const uint64_t vectors[] = { SSE, AVX, ZMM_HI256, HI16_ZMM, OPMASK };
static const char *const vector_names[] = { "sse", "avx", "zmm_hi256", "hi16_zmm", "opmask" };
#define VECTORS	(SSE | AVX | ZMM_HI256 | HI16_ZMM | OPMASK)

/*
 * Loads all vector registers from @from, initializes those in @mask, and saves all to @to. Nothing else may use a
 * vector register in between.
 */
static __attribute__((noinline)) void make_initial(void *from, void *none, void *to, uint64_t mask)
{
	uint64_t rfbm = VECTORS;

	asm volatile("xrstor64 (%[from])\n\tmov %[mask], %%rax\n\txrstor64 (%[none])\n\t"
		     "mov %[all], %%rax\n\txsave64 (%[to])"
		     : "+&a"(rfbm)
		     : [from] "r"(from), [none] "r"(none), [to] "r"(to), [mask] "r"(mask),
			 [all] "i"(VECTORS), "d"(0) : "memory");
}

/* Initializes one vector component at a time, and reports which of the others are preserved. */
static void ask_initial(void)
{
	static uint8_t full[4096] __attribute__((aligned(64))), none[576] __attribute__((aligned(64)));
	static uint8_t after[4096] __attribute__((aligned(64)));
	const uint32_t mxcsr = 0x1f80;

	fill_pattern(full + 160, component_offset(HI16_ZMM_BIT) + 1024 - 160, 31);
	memset(full + XSTATE_BV, 0, 64);
	set64(full, XSTATE_BV, VECTORS);
	memcpy(full + 24, &mxcsr, sizeof(mxcsr));
	memcpy(none + 24, &mxcsr, sizeof(mxcsr));
	for (int i = 0; i < 5; i++) {
		char name[48];
		uint64_t kept = 0;

		make_initial(full, none, after, vectors[i]);
		for (int j = 0; j < 5; j++) {
			unsigned int at = j ? component_offset(__builtin_ctzll(vectors[j])) : 160;

			if (!memcmp(after + at, full + at, 64))
				kept |= vectors[j];
		}
		snprintf(name, sizeof(name), "xrstor.%s_initial.kept", vector_names[i]);
		answer(name, "%#llx", (unsigned long long)kept);
	}
}

/* XRSTOR with one invalid header field (SDM vol. 1, 13.8). */
static const char *spoilt(unsigned int offset, uint64_t value)
{
	clean_area();
	set64(area, offset, value);
	return TRY(xrstor(area, TILES));
}

void ask_xsave(void)
{
	ask_standard();
	ask_apart();
	ask_initial();
	answer("xrstor.header.good", "%s", spoilt(XSTATE_BV, 0));
	answer("xrstor.header.bit63", "%s", spoilt(XSTATE_BV, COMPACTED));
	answer("xrstor.header.not_in_xcr0", "%s", spoilt(XSTATE_BV, 1ULL << 20));
	answer("xrstor.header.xcomp_bv", "%s", spoilt(XCOMP_BV, TILECFG));
	answer("xrstor.header.byte16", "%s", spoilt(XCOMP_BV + 8, 1));
	answer("xrstor.unaligned", "%s", TRY(xrstor(area + 8, TILES)));
	answer("xsave.unaligned", "%s", TRY(xsave(area + 8, TILES)));
	answer("xsaves.in_user_mode", "%s", TRY(xsaves(area, TILES)));
	answer("xrstors.in_user_mode", "%s", TRY(xrstors(area, TILES)));
	tilerelease();
}
