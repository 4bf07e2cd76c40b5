// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 1, 13.6: XINUSE, which XGETBV with ECX = 1 returns. This is how an Emerald Rapids
 * tracks TILEDATA.
 */
#include "tiles.h"

static struct tile_config config;
static u8 memory[TILE_BYTES];

void test(void)
{
	xsetbv(ALL);
	is("after reset", in_use() & TILES, 0);
	config = all_tiles(16, 64);
	ldtilecfg(&config);
	is("after LDTILECFG", in_use() & TILES, TILECFG);
	tilezero0();
	is("after TILEZERO", in_use() & TILES, TILES);
	ldtilecfg(&config);
	is("after LDTILECFG with tiles", in_use() & TILES, TILECFG);
	tileload(0, memory);
	is("after TILELOADD of zeros", in_use() & TILES, TILES);
	tilerelease();
	is("after TILERELEASE", in_use() & TILES, 0);
	ldtilecfg(&config);
	asm volatile("tdpbssd %%tmm2, %%tmm1, %%tmm0" : : : "memory");
	is("after TDPBSSD", in_use() & TILES, TILES);
	tilerelease();
}
