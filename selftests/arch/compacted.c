// SPDX-License-Identifier: GPL-2.0
/* XSAVEC and XRSTOR in the compacted format (SDM vol. 1, 13.4.3, 13.8, 13.10). */
#include <string.h>

#include "answers.h"
#include "faults.h"
#include "tiles.h"

static struct tile_config cfg;

/* Loads tile 6 with the pattern from @seed; the others are in their initial state. */
static void live(uint32_t seed)
{
	cfg = uniform(16, 64);
	ldtilecfg(&cfg);
	fill_pattern(memory, TILE_BYTES, seed);
	tileloadd(6, memory, 64);
}

static const char *tile_holds(uint32_t seed)
{
	static uint8_t now[TILE_BYTES];

	tilestored(6, now, 64);
	return contents(now, TILE_BYTES, seed);
}

static void set_pkru(uint32_t value)
{
	asm volatile("wrpkru" : : "a"(value), "c"(0), "d"(0));
}

static uint32_t get_pkru(void)
{
	uint32_t value;

	asm volatile("rdpkru" : "=a"(value) : "c"(0) : "edx");
	return value;
}

static void set_k1(uint64_t value)
{
	asm volatile("kmovq %0, %%k1" : : "r"(value));
}

static uint64_t get_k1(void)
{
	uint64_t value;

	asm volatile("kmovq %%k1, %0" : "=r"(value));
	return value;
}

static void clean_area(void)
{
	memset(area, 0xaa, sizeof(area));
}

/* Where TILECFG (config_at) and the tile data (data_at) are in the area; -1 if absent. */
static int config_at(void)
{
	for (int i = EXTENDED; i <= 4096; i++)
		if (!memcmp(area + i, &cfg, sizeof(cfg)))
			return i;
	return -1;
}

static int data_at(void)
{
	for (int i = EXTENDED; i <= 4096; i++)
		if (!memcmp(area + i + 6 * TILE_BYTES, memory, TILE_BYTES))
			return i;
	return -1;
}

static void ask_layout(void)
{
	live(21);
	clean_area();
	xsavec(area, TILES);
	answer("xsavec.bits", "%s", tiles_in(get64(area, XSTATE_BV)));
	answer("xsavec.format", "%#llx", (unsigned long long)get64(area, XCOMP_BV));
	answer("xsavec.config_at", "%d", config_at());
	answer("xsavec.data_at", "%d", data_at());
	answer("xsavec.header_rest", "%s", contents(area + XCOMP_BV + 8, 48, 0));
	answer("xsavec.legacy", "%s", contents(area, 512, 0));
	tilerelease();
	memset(area + XCOMP_BV + 8, 0, 48);
	xrstor(area, TILES);
	answer("xrstor.compacted.in_use", "%s", tiles_in(xgetbv(1)));
	answer("xrstor.compacted.data", "%s", tile_holds(21));

	/* PKRU takes 8 bytes; both tile components are aligned to 64. */
	clean_area();
	xsavec(area, PKRU | TILES);
	answer("xsavec.after_pkru.config_at", "%d", config_at());
	answer("xsavec.after_pkru.data_at", "%d", data_at());
	clean_area();
	xsavec(area, PKRU | TILEDATA);
	answer("xsavec.data_after_pkru.data_at", "%d", data_at());

	/* A component in its initial state keeps its space and is not written. */
	tilerelease();
	clean_area();
	xsavec(area, TILES);
	answer("xsavec.initial.bits", "%s", tiles_in(get64(area, XSTATE_BV)));
	answer("xsavec.initial.format", "%#llx", (unsigned long long)get64(area, XCOMP_BV));
	answer("xsavec.initial.data", "%s", contents(area + EXTENDED, 64 + TILES_BYTES, 0));
}

/* XRSTOR of a subset of an area's components. */
static void ask_partial(void)
{
	uint32_t pkru = get_pkru();
	uint64_t k1;

	live(22);
	clean_area();
	memset(area + XSTATE_BV, 0, 64);
	set_pkru(pkru | 0xc0000000);
	set_k1(0x1122334455667788);	/* the C library may use k1: do not call it from here to get_k1() */
	xsavec(area, OPMASK | PKRU | TILES);
	set_pkru(pkru);
	tilezero(6);
	set_k1(7);
	xrstor(area, TILEDATA);
	k1 = get_k1();
	answer("xrstor.compacted.partial.data", "%s", tile_holds(22));
	answer("xrstor.compacted.partial.k1", "%#llx", (unsigned long long)k1);
	answer("xrstor.compacted.partial.pkru", "%s", get_pkru() == pkru ? "kept" : "changed");
	tilerelease();
	set_k1(7);
	xrstor(area, PKRU | TILES);
	k1 = get_k1();
	answer("xrstor.compacted.partial3.data", "%s", tile_holds(22));
	answer("xrstor.compacted.partial3.k1", "%#llx", (unsigned long long)k1);
	answer("xrstor.compacted.partial3.pkru", "%s", get_pkru() == (pkru | 0xc0000000) ? "loaded" : "other");
	set_pkru(pkru);
	/* Requested but not in the format: initialized. */
	clean_area();
	memset(area + XSTATE_BV, 0, 64);
	xsavec(area, TILECFG);
	set_k1(7);
	xrstor(area, OPMASK | TILES);
	k1 = get_k1();
	answer("xrstor.compacted.not_in_format.k1", "%#llx", (unsigned long long)k1);
	answer("xrstor.compacted.not_in_format.in_use", "%s", tiles_in(xgetbv(1)));
}

static const char *header(uint64_t xstate_bv, uint64_t xcomp_bv, uint64_t third)
{
	memset(area, 0, 1024);
	set64(area, XSTATE_BV, xstate_bv);
	set64(area, XCOMP_BV, xcomp_bv);
	set64(area, XCOMP_BV + 8, third);
	return TRY(xrstor(area, TILECFG));
}

void ask_compacted(void)
{
	ask_layout();
	ask_partial();
	answer("xrstor.compacted.header.good", "%s", header(0, COMPACTED | TILES, 0));
	answer("xrstor.compacted.header.bit20", "%s", header(0, COMPACTED | 1ULL << 20, 0));
	answer("xrstor.compacted.header.not_in_format", "%s", header(TILEDATA, COMPACTED | TILECFG, 0));
	answer("xrstor.compacted.header.byte16", "%s", header(0, COMPACTED | TILES, 1));
	tilerelease();
}
