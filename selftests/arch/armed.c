// SPDX-License-Identifier: GPL-2.0
/*
 * Until the process asks for permission, XFD[18] stays 1, and every #NM ends in SIGILL.
 * This shows what raises #NM, and which checks come first.
 */
#include <string.h>
#include <sys/mman.h>

#include "answers.h"
#include "faults.h"
#include "tiles.h"

static struct tile_config cfg;

/* The exception @statement raises with tiles configured. */
#define CONFIGURED(statement) TRY(ldtilecfg(&cfg); statement)

static void ask_traps(void)
{
	cfg = uniform(16, 64);
	answer("armed.ldtilecfg", "%s", TRY(ldtilecfg(&cfg)));
	answer("armed.sttilecfg", "%s", CONFIGURED(sttilecfg((struct tile_config *)memory)));
	answer("armed.tilerelease", "%s", CONFIGURED(tilerelease()));
	answer("armed.tilezero", "%s", CONFIGURED(tilezero(0)));
	answer("armed.tileloadd", "%s", CONFIGURED(tileloadd(0, memory, 64)));
	answer("armed.tileloaddt1", "%s", CONFIGURED(tileloaddt1(0, memory, 64)));
	answer("armed.tilestored", "%s", CONFIGURED(tilestored(0, memory, 64)));
	answer("armed.tdpbssd", "%s", CONFIGURED(tdp(tdpbssd, 0, 1, 2)));
	answer("armed.tdpbsud", "%s", CONFIGURED(tdp(tdpbsud, 0, 1, 2)));
	answer("armed.tdpbusd", "%s", CONFIGURED(tdp(tdpbusd, 0, 1, 2)));
	answer("armed.tdpbuud", "%s", CONFIGURED(tdp(tdpbuud, 0, 1, 2)));
	answer("armed.tdpbf16ps", "%s", CONFIGURED(tdp(tdpbf16ps, 0, 1, 2)));
	ldtilecfg(&cfg);
	answer("armed.in_use", "%s", tiles_in(xgetbv(1)));
	tilerelease();
}

/* Order of checks: #UD for the encoding and the shapes, then #NM, then start_row and memory. */
static void ask_order(void)
{
	void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	tilerelease();
	answer("armed.unconfigured.tilezero", "%s", TRY(tilezero(0)));
	answer("armed.unconfigured.tileloadd", "%s", TRY(tileloadd(0, memory, 64)));
	answer("armed.unconfigured.tilestored", "%s", TRY(tilestored(0, memory, 64)));
	answer("armed.unconfigured.tdpbssd", "%s", TRY(tdp(tdpbssd, 0, 1, 2)));
	cfg = uniform(16, 64);
	cfg.rows[7] = cfg.row_bytes[7] = 0;
	answer("armed.empty_tile.tilezero", "%s", CONFIGURED(tilezero(7)));
	answer("armed.empty_tile.tileloadd", "%s", CONFIGURED(tileloadd(7, memory, 64)));
	answer("armed.empty_tile.tdpbssd", "%s", CONFIGURED(tdp(tdpbssd, 0, 1, 7)));
	/* VEX.128.F2.0F38.W0 5E: tmm0 += tmm1 * tmm1, which no assembler emits. */
	answer("armed.same_tile.tdpbssd", "%s", CONFIGURED(asm volatile(".byte 0xc4,0xe2,0x73,0x5e,0xc1")));
	cfg.rows[1] = 15;
	answer("armed.shape.tdpbssd", "%s", CONFIGURED(tdp(tdpbssd, 0, 1, 2)));
	/* VEX.128.F2.0F38.W0 4B with (%rax) as the memory operand: no SIB byte. */
	answer("armed.no_sib.tileloadd", "%s",
	       CONFIGURED(asm volatile(".byte 0xc4,0xe2,0x7b,0x4b,0x00" : : "a"(memory))));
	cfg = uniform(4, 64);
	cfg.start_row = 4;
	answer("armed.start_row.tileloadd", "%s", CONFIGURED(tileloadd(0, memory, 64)));
	answer("armed.start_row.tilestored", "%s", CONFIGURED(tilestored(0, memory, 64)));
	cfg.start_row = 0;
	answer("armed.page_fault.tileloadd", "%s", CONFIGURED(tileloadd(0, nowhere, 64)));
	answer("armed.non_canonical.tileloadd", "%s", CONFIGURED(tileloadd(0, 1ULL << 62, 64)));
	munmap(nowhere, 4096);
}

static void ask_save(void)
{
	unsigned int data = component_offset(TILEDATA_BIT);

	tilerelease();
	memset(area, 0xaa, sizeof(area));
	memset(area + XSTATE_BV, 0, 64);
	set64(area, XSTATE_BV, TILES);
	xsave(area, TILEDATA);
	answer("armed.xsave.bits", "%s", tiles_in(get64(area, XSTATE_BV)));
	answer("armed.xsave.data", "%s", contents(area + data, TILES_BYTES, 0));

	memset(area, 0xaa, sizeof(area));
	memset(area + XSTATE_BV, 0, 64);
	set64(area, XSTATE_BV, TILES);
	xsaveopt(area, TILEDATA);
	answer("armed.xsaveopt.bits", "%s", tiles_in(get64(area, XSTATE_BV)));
	answer("armed.xsaveopt.data", "%s", contents(area + data, TILES_BYTES, 0));

	memset(area, 0xaa, sizeof(area));
	xsavec(area, TILEDATA);
	answer("armed.xsavec.bits", "%s", tiles_in(get64(area, XSTATE_BV)));
	answer("armed.xsavec.format", "%s", tiles_in(get64(area, XCOMP_BV)));
	answer("armed.xsavec.data", "%s", contents(area + EXTENDED, TILES_BYTES, 0));
}

/* XRSTOR with @rfbm from an area that is zero except for the two given bitmaps. */
static const char *restore(uint64_t xstate_bv, uint64_t xcomp_bv, uint64_t rfbm)
{
	memset(area, 0, sizeof(area));
	set64(area, XSTATE_BV, xstate_bv);
	set64(area, XCOMP_BV, xcomp_bv);
	return TRY(xrstor(area, rfbm));
}

static void ask_restore(void)
{
	answer("armed.xrstor.in_both", "%s", restore(TILEDATA, 0, TILEDATA));
	answer("armed.xrstor.in_area_only", "%s", restore(TILEDATA, 0, TILECFG));
	answer("armed.xrstor.asked_only", "%s", restore(0, 0, TILEDATA));
	answer("armed.xrstor.compacted.in_both", "%s", restore(TILEDATA, COMPACTED | TILEDATA, TILEDATA));
	answer("armed.xrstor.compacted.in_area_only", "%s", restore(TILEDATA, COMPACTED | TILES, TILECFG));
	answer("armed.xrstor.compacted.asked_only", "%s", restore(0, COMPACTED | TILEDATA, TILEDATA));
}

void ask_armed(void)
{
	ask_traps();
	ask_order();
	ask_save();
	ask_restore();
}
