// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 1, 13.8.1: XRSTOR loads or initializes the components that it is asked for, and no
 * other.
 */
#include "tiles.h"

static u8 area[16384] __attribute__((aligned(64))), data[TILE_BYTES], stored[TILE_BYTES];
static struct tile_config config;

void test(void)
{
	xsetbv(ALL);
	config = all_tiles(16, 64);
	pattern(data, sizeof(data), 10);
	memcpy(area + offset_of(17), &config, sizeof(config));

	ldtilecfg(&config);
	tileload(0, data);
	*word(area, XSTATE_BV) = TILECFG;
	xrstor(area, TILECFG);
	tilestore(0, stored);
	is("the tile after XRSTOR of TILECFG", memcmp(stored, data, sizeof(data)), 0);

	*word(area, XSTATE_BV) = 0;
	xrstor(area, TILECFG);
	*word(area, XSTATE_BV) = TILECFG;
	xrstor(area, TILECFG);
	tilestore(0, stored);
	is("the tile after XRSTOR of initial TILECFG", memcmp(stored, data, sizeof(data)), 0);

	ldtilecfg(&config);
	tilestore(0, stored);
	is("the tile after LDTILECFG is zero", all_are(stored, sizeof(stored), 0), 1);
}
