// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 2, LDTILECFG: bytes 16 to 47 of the memory operand are bytes per row in words, bytes 48
 * to 63 are rows.
 */
#include "tiles.h"

static u8 area[16384] __attribute__((aligned(64)));
static struct tile_config config, stored;

void test(void)
{
	xsetbv(ALL);
	config = all_tiles(16, 64);
	for (int i = 0; i < 8; i++) {
		config.rows[i] = 16 - i;
		config.row_bytes[i] = 64 - 4 * i;
	}
	ldtilecfg(&config);
	xsave(area, TILECFG);
	memcpy(&stored, area + offset_of(17), sizeof(stored));
	is("XSAVE, bytes per row of tile 1", stored.row_bytes[1], 60);
	is("XSAVE, rows of tile 1", stored.rows[1], 15);
	is("XSAVE, any other byte", memcmp(&stored, &config, sizeof(config)), 0);
	sttilecfg(&stored);
	is("STTILECFG, any byte", memcmp(&stored, &config, sizeof(config)), 0);
}
