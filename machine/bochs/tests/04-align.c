// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 1, 13.4.3: in the compacted format, a component whose CPUID.(EAX=0DH,ECX=n):ECX[1] is
 * set starts at a multiple of 64 bytes. TILECFG and TILEDATA are such components.
 */
#include "tiles.h"

static u8 area[16384] __attribute__((aligned(64)));
static struct tile_config config;

void test(void)
{
	xsetbv(ALL);
	is("CPUID.(0DH,17):ECX[1]", cpuid(0xd, 17).ecx >> 1 & 1, 1);
	is("CPUID.(0DH,18):ECX[1]", cpuid(0xd, 18).ecx >> 1 & 1, 1);
	/*
	 * AVX 256, opmask 64, ZMM_Hi256 512, Hi16_ZMM 1024, PKRU 8, then at a multiple of 64
	 * TILECFG and TILEDATA
	 */
	is("CPUID.(0DH,1):EBX", cpuid(0xd, 1).ebx, 2496 + 64 + TILES_BYTES);

	config = all_tiles(16, 16);
	ldtilecfg(&config);
	write_cr4(read_cr4() | CR4_PKE);
	asm volatile("wrpkru" : : "a"(0x55555554), "c"(0), "d"(0));
	xsavec(area, PKRU | TILECFG);
	is("PKRU at 576", *(u32 *)(area + 576), 0x55555554);
	is("TILECFG at 640, its palette", area[640], 1);
	tilerelease();
	xrstor(area, PKRU | TILECFG);
	xsave(area, TILECFG);
	is("palette after XRSTOR", area[offset_of(17)], 1);
}
