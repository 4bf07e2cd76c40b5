// SPDX-License-Identifier: GPL-2.0
/*
 * SDM vol. 2, CPUID leaf 1EH: EAX of subleaf 0 is the highest subleaf. Sapphire Rapids has only
 * subleaf 0.
 */
#include "test.h"

void test(void)
{
	struct cpuid last = cpuid(0x1e, 1);

	is("CPUID.(1EH,0):EAX", cpuid(0x1e, 0).eax, 0);
	is("CPUID.(1EH,0):EBX", cpuid(0x1e, 0).ebx, 64 << 8 | 16);
	is("CPUID.(1EH,1)", last.eax | last.ebx | last.ecx | last.edx, 0);
}
