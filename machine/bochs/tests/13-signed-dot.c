// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 2, TDPBSSD/TDPBSUD/TDPBUSD/TDPBUUD: one element of a product, -1 times -1 in each of
 * the four forms.
 */
#include "tiles.h"

static struct tile_config config;
static u8 minus_ones[TILE_BYTES], zeros[TILE_BYTES], sums[TILE_BYTES];

#define PRODUCT(name) ({								\
	tileload(0, zeros);								\
	asm volatile(name " %%tmm2, %%tmm1, %%tmm0" : : : "memory");			\
	tilestore(0, sums);								\
	*(u32 *)sums; })

void test(void)
{
	xsetbv(ALL);
	config = all_tiles(1, 4);
	ldtilecfg(&config);
	memset(minus_ones, 0xff, sizeof(minus_ones));
	tileload(1, minus_ones);
	tileload(2, minus_ones);
	is("TDPBSSD", PRODUCT("tdpbssd"), 4);
	is("TDPBSUD", PRODUCT("tdpbsud"), (u32)(4 * -255));
	is("TDPBUSD", PRODUCT("tdpbusd"), (u32)(4 * -255));
	is("TDPBUUD", PRODUCT("tdpbuud"), 4 * 255 * 255);
}
