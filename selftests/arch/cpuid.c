// SPDX-License-Identifier: GPL-2.0
/* What CPUID reports about tiles, independent of kernel, hypervisor and CPU count. */
#include <stdio.h>

#include "answers.h"
#include "tiles.h"

static void leaf(const char *name, uint32_t eax, uint32_t ecx)
{
	uint32_t a, b, c, d;

	__cpuid_count(eax, ecx, a, b, c, d);
	answer(name, "%#x,%#x,%#x,%#x", a, b, c, d);
}

void ask_cpuid(void)
{
	uint32_t a, b, c, d;

	__cpuid_count(0xd, 1, a, b, c, d);
	answer("cpuid.xsave_features", "%#x", a);
	__cpuid_count(0xd, 0, a, b, c, d);
	answer("cpuid.standard_size", "%u", b);
	answer("cpuid.xcr0.tiles", "%s", tiles_in(xgetbv(0)));
	leaf("cpuid.d.17", 0xd, 17);
	leaf("cpuid.d.18", 0xd, 18);
	leaf("cpuid.1d.0", 0x1d, 0);
	leaf("cpuid.1d.1", 0x1d, 1);
	leaf("cpuid.1d.2", 0x1d, 2);
	leaf("cpuid.1e.0", 0x1e, 0);
	leaf("cpuid.1e.1", 0x1e, 1);
	__cpuid_count(7, 0, a, b, c, d);
	answer("cpuid.amx_bf16_tile_int8", "%u%u%u", d >> 22 & 1, d >> 24 & 1, d >> 25 & 1);
}
