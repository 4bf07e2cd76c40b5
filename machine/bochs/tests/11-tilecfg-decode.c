// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 2: LDTILECFG is VEX.128.NP.0F38.W0 49 !(11):000:bbb, STTILECFG is VEX.128.66.0F38.W0 49
 * !(11):000:bbb.
 */
#include "tiles.h"

static struct tile_config config;

/* The third byte of the VEX prefix, and ModRM with (%rax) in it. */
#define BYTES(vex, modrm) TRY(".byte 0xc4, 0xe2, " #vex ", 0x49, " #modrm, "a"(&config) : "memory")

void test(void)
{
	xsetbv(ALL);
	config = all_tiles(16, 64);
	raises("LDTILECFG", BYTES(0x78, 0x00), NOTHING);
	raises("STTILECFG", BYTES(0x79, 0x00), NOTHING);
	raises("LDTILECFG with W1", BYTES(0xf8, 0x00), UD);
	raises("STTILECFG with W1", BYTES(0xf9, 0x00), UD);
	raises("LDTILECFG with 1 in ModRM.reg", BYTES(0x78, 0x08), UD);
	raises("STTILECFG with 1 in ModRM.reg", BYTES(0x79, 0x08), UD);
}
