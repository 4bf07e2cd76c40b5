// SPDX-License-Identifier: GPL-2.0
/* SDM vol. 1, 13.5, AMX state: TILEDATA is 8 tiles of 16 rows of 64 bytes. */
#include "tiles.h"

static u8 area[16384] __attribute__((aligned(64))), data[TILES_BYTES], stored[TILES_BYTES];
static struct tile_config config;

void test(void)
{
	xsetbv(ALL);
	config = all_tiles(16, 64);
	ldtilecfg(&config);
	pattern(data, sizeof(data), 8);
	tileload(0, data);
	tileload(7, data + 7 * TILE_BYTES);
	xsave(area, TILEDATA);
	is("XSAVE, tile 0", memcmp(area + offset_of(18), data, TILE_BYTES), 0);
	is("XSAVE, tile 7", memcmp(area + offset_of(18) + 7 * TILE_BYTES, data + 7 * TILE_BYTES, TILE_BYTES), 0);

	pattern(area + offset_of(18), sizeof(data), 9);
	*word(area, XSTATE_BV) = TILEDATA;
	xrstor(area, TILEDATA);
	tilestore(0, stored);
	tilestore(7, stored + 7 * TILE_BYTES);
	pattern(data, sizeof(data), 9);
	is("XRSTOR, tile 0", memcmp(stored, data, TILE_BYTES), 0);
	is("XRSTOR, tile 7", memcmp(stored + 7 * TILE_BYTES, data + 7 * TILE_BYTES, TILE_BYTES), 0);
}
