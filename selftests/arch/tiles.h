/* SPDX-License-Identifier: GPL-2.0 */
/* Tile instructions and the XSAVE family, in bytes where assemblers do not emit an encoding. */
#ifndef XARCH_TILES_H
#define XARCH_TILES_H

#include <cpuid.h>
#include <stdint.h>
#include <string.h>

/* State components (SDM vol. 1, 13.1), as bits and as masks. */
#define TILECFG_BIT	17
#define TILEDATA_BIT	18
#define X87		(1ULL << 0)
#define SSE		(1ULL << 1)
#define AVX		(1ULL << 2)
#define OPMASK		(1ULL << 5)
#define ZMM_HI256	(1ULL << 6)
#define HI16_ZMM_BIT	7
#define HI16_ZMM	(1ULL << HI16_ZMM_BIT)
#define PKRU		(1ULL << 9)
#define TILECFG		(1ULL << TILECFG_BIT)
#define TILEDATA	(1ULL << TILEDATA_BIT)
#define TILES		(TILECFG | TILEDATA)

/* The XSAVE area (SDM vol. 1, 13.4): offsets in bytes. */
#define XSTATE_BV	512
#define XCOMP_BV	520
#define COMPACTED	(1ULL << 63)
#define EXTENDED	576	/* the first component after the header */

#define MAX_ROWS	16
#define ROW_BYTES	64
#define TILE_BYTES	(MAX_ROWS * ROW_BYTES)
#define TILES_BYTES	(8 * TILE_BYTES)

/* The operand of LDTILECFG and STTILECFG. */
struct tile_config {
	uint8_t palette;
	uint8_t start_row;
	uint8_t reserved[14];
	uint16_t row_bytes[16];
	uint8_t rows[16];
} __attribute__((packed, aligned(64)));

/* Eight tiles of the same shape. */
static inline struct tile_config uniform(int rows, int row_bytes)
{
	struct tile_config cfg = { .palette = 1 };

	for (int i = 0; i < 8; i++) {
		cfg.rows[i] = rows;
		cfg.row_bytes[i] = row_bytes;
	}
	return cfg;
}

static inline void ldtilecfg(const struct tile_config *cfg)
{
	asm volatile("ldtilecfg %0" : : "m"(*cfg) : "memory");
}

static inline void sttilecfg(struct tile_config *cfg)
{
	asm volatile("sttilecfg %0" : "=m"(*cfg) : : "memory");
}

static inline void tilerelease(void)
{
	asm volatile("tilerelease" : : : "memory");
}

#define tilezero(n)	asm volatile("tilezero %%tmm" #n : : : "memory")
/* The rows of tile n start at @base, @stride bytes apart. */
#define tileloadd(n, base, stride) \
	asm volatile("tileloadd (%0,%1,1), %%tmm" #n : : "r"(base), "r"((uint64_t)(stride)) : "memory")
#define tileloaddt1(n, base, stride) \
	asm volatile("tileloaddt1 (%0,%1,1), %%tmm" #n : : "r"(base), "r"((uint64_t)(stride)) : "memory")
#define tilestored(n, base, stride) \
	asm volatile("tilestored %%tmm" #n ", (%0,%1,1)" : : "r"(base), "r"((uint64_t)(stride)) : "memory")
/* Instruction @op on three tiles: destination d, sources a and b. */
#define tdp(op, d, a, b) \
	asm volatile(#op " %%tmm" #b ", %%tmm" #a ", %%tmm" #d : : : "memory")

#define XSAVE_INSTRUCTION(name)								\
	static inline void name(void *area, uint64_t rfbm)				\
	{										\
		asm volatile(#name "64 (%0)" : : "r"(area), "a"((uint32_t)rfbm),	\
			     "d"((uint32_t)(rfbm >> 32)) : "memory");			\
	}
XSAVE_INSTRUCTION(xsave)
XSAVE_INSTRUCTION(xsaveopt)
XSAVE_INSTRUCTION(xsavec)
XSAVE_INSTRUCTION(xsaves)
XSAVE_INSTRUCTION(xrstors)

/* Only for components that the compiler does not use. */
XSAVE_INSTRUCTION(xrstor)

static inline uint64_t xgetbv(uint32_t index)
{
	uint32_t lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(index));
	return lo | (uint64_t)hi << 32;
}

/* XINUSE of the two tile components: "17", "18", "17+18" or "none". */
static inline const char *tiles_in(uint64_t mask)
{
	static const char *const name[] = { "none", "17", "18", "17+18" };

	return name[(mask & TILES) >> TILECFG_BIT];
}

static inline unsigned int component_offset(unsigned int bit)
{
	unsigned int size, offset, ecx, edx;

	__cpuid_count(0xd, bit, size, offset, ecx, edx);
	return offset;
}

static inline uint64_t get64(const uint8_t *area, unsigned int offset)
{
	uint64_t value;

	memcpy(&value, area + offset, sizeof(value));
	return value;
}

static inline void set64(uint8_t *area, unsigned int offset, uint64_t value)
{
	memcpy(area + offset, &value, sizeof(value));
}

/* Space for any XSAVE area used here, and memory for tiles. */
#define AREA_BYTES 16384
extern uint8_t area[AREA_BYTES] __attribute__((aligned(64)));
extern uint8_t memory[TILES_BYTES] __attribute__((aligned(64)));

/* Pseudorandom bytes, identical in every run. */
void fill_pattern(void *at, unsigned int bytes, uint32_t seed);
/* Returns "zero", "pattern" (what fill_pattern() writes), "untouched" (all 0xaa) or "other". */
const char *contents(const void *at, unsigned int bytes, uint32_t seed);

#endif
