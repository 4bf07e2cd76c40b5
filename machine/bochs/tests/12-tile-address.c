// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 2, TILELOADD and TILESTORED: a SIB byte is required. Its index is the stride; without an
 * index the stride is 0. With the prefix 67H addresses have 32 bits.
 */
#include "tiles.h"

static struct tile_config config;
static u8 memory[2 * TILE_BYTES], stored[TILE_BYTES];

void test(void)
{
	const u64 garbage = 0x5a5a5a5a00000000;

	xsetbv(ALL);
	config = all_tiles(16, 64);
	ldtilecfg(&config);
	pattern(memory, sizeof(memory), 12);
	raises("TILELOADD without SIB", TRY(".byte 0xc4,0xe2,0x7b,0x4b,0x00", "a"(memory) : "memory"), UD);
	raises("TILESTORED without SIB", TRY(".byte 0xc4,0xe2,0x7a,0x4b,0x00", "a"(stored) : "memory"), UD);
	/* ModRM 04H: SIB follows; SIB 20H: base RAX, no index. */
	raises("TILELOADD without index",
	       TRY(".byte 0xc4,0xe2,0x7b,0x4b,0x04,0x20", "a"(memory + 64) : "memory"), NOTHING);
	tilestore(0, stored);
	for (int row = 0; row < 16; row++)
		is("TILELOADD without index, a row", memcmp(stored + row * 64, memory + 64, 64), 0);

	raises("TILELOADD with 67H", TRY(".byte 0x67; tileloadd (%0,%1,1), %%tmm0",
					 "a"((u64)memory | garbage), "d"(64 | garbage) : "memory"), NOTHING);
	tilestore(0, stored);
	is("TILELOADD with 67H, any byte", memcmp(stored, memory, TILE_BYTES), 0);
	memset(stored, 0, sizeof(stored));
	raises("TILESTORED with 67H", TRY(".byte 0x67; tilestored %%tmm0, (%0,%1,1)",
					  "a"((u64)stored | garbage), "d"(64 | garbage) : "memory"), NOTHING);
	is("TILESTORED with 67H, any byte", memcmp(stored, memory, TILE_BYTES), 0);
}
