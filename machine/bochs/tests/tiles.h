/* SPDX-License-Identifier: GPL-2.0 */
/* AMX and the XSAVE family. */
#ifndef TILES_H
#define TILES_H

#include "test.h"

#define SSE		(1UL << 1)
#define AVX		(1UL << 2)
#define OPMASK		(1UL << 5)
#define ZMM_HI256	(1UL << 6)
#define HI16_ZMM	(1UL << 7)
#define PKRU		(1UL << 9)
#define TILECFG		(1UL << 17)
#define TILEDATA	(1UL << 18)
#define TILES		(TILECFG | TILEDATA)
#define ALL		(1 | SSE | AVX | OPMASK | ZMM_HI256 | HI16_ZMM | PKRU | TILES)

/* Offsets in the XSAVE area. */
#define XSTATE_BV	512
#define XCOMP_BV	520
#define EXTENDED	576
#define COMPACTED	(1UL << 63)

#define TILE_BYTES	1024
#define TILES_BYTES	8192

struct tile_config {
	u8 palette, start_row, reserved[14];
	u16 row_bytes[16];
	u8 rows[16];
} __attribute__((aligned(64)));

static inline struct tile_config all_tiles(int rows, int row_bytes)
{
	struct tile_config config = { .palette = 1 };

	for (int i = 0; i < 8; i++) {
		config.rows[i] = rows;
		config.row_bytes[i] = row_bytes;
	}
	return config;
}

static inline void ldtilecfg(const struct tile_config *config)
{
	asm volatile("ldtilecfg %0" : : "m"(*config) : "memory");
}

static inline void sttilecfg(struct tile_config *config)
{
	asm volatile("sttilecfg %0" : "=m"(*config) : : "memory");
}

static inline void tilerelease(void)
{
	asm volatile("tilerelease" : : : "memory");
}

static inline void tilezero0(void)
{
	asm volatile("tilezero %%tmm0" : : : "memory");
}

#define tileload(n, from) \
	asm volatile("tileloadd (%0,%1,1), %%tmm" #n : : "r"(from), "r"(64UL) : "memory")
#define tilestore(n, to) \
	asm volatile("tilestored %%tmm" #n ", (%0,%1,1)" : : "r"(to), "r"(64UL) : "memory")

#define XSAVE_INSTRUCTION(name)							\
	static inline void name(void *area, u64 components)			\
	{									\
		asm volatile(#name "64 (%0)" : : "r"(area), "a"((u32)components),	\
			     "d"((u32)(components >> 32)) : "memory");		\
	}
XSAVE_INSTRUCTION(xsave)
XSAVE_INSTRUCTION(xsavec)
XSAVE_INSTRUCTION(xsaveopt)
XSAVE_INSTRUCTION(xsaves)
XSAVE_INSTRUCTION(xrstor)
XSAVE_INSTRUCTION(xrstors)

/* The same within TRY(). */
#define TRY_XSAVE(name, area, components) \
	TRY(name "64 (%0)", "r"(area), "a"((u32)(components)), "d"(0) : "memory")

static inline void xsetbv(u64 components)
{
	asm volatile("xsetbv" : : "a"((u32)components), "d"((u32)(components >> 32)), "c"(0) : "memory");
}

/* The components that are not in their initial state. */
static inline u64 in_use(void)
{
	u32 lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(1));
	return lo | (u64)hi << 32;
}

static inline u64 *word(u8 *area, u32 offset)
{
	return (u64 *)(area + offset);
}

/* Where a component is in the standard format. */
static inline u32 offset_of(int component)
{
	return cpuid(0xd, component).ebx;
}

/* Different bytes everywhere, the same in each run. */
static inline void pattern(u8 *at, u32 n, u32 seed)
{
	for (u32 i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		at[i] = seed >> 24;
	}
}

static inline int all_are(const u8 *at, u32 n, u8 byte)
{
	for (u32 i = 0; i < n; i++)
		if (at[i] != byte)
			return 0;
	return 1;
}

#endif
