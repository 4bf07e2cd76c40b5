/* SPDX-License-Identifier: GPL-2.0 */
/* The calling thread's protection keys, component 9. */
#ifndef XFD_TEST_PKRU_H
#define XFD_TEST_PKRU_H

#include "amx.h"

#define PKRU	9

static inline bool has_pkru(void)
{
	return xgetbv0() & BIT_ULL(PKRU);
}

static inline uint32_t rdpkru(void)
{
	uint32_t eax, edx;

	asm volatile("rdpkru" : "=a"(eax), "=d"(edx) : "c"(0));
	return eax;
}

static inline void wrpkru(uint32_t pkru)
{
	asm volatile("wrpkru" :: "a"(pkru), "c"(0), "d"(0) : "memory");
}

#endif
