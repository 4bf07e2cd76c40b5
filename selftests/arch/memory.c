// SPDX-License-Identifier: GPL-2.0
/* Which bytes tile loads and stores touch (SDM vol. 2, TILELOADD, TILESTORED). */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>

#include "answers.h"
#include "faults.h"
#include "tiles.h"

static struct tile_config cfg;
static uint8_t stored[TILE_BYTES] __attribute__((aligned(64)));

/* Row r of tile 0 matches memory[first + r * step]... of the pattern, for all rows of the shape. */
static const char *rows_from(long first, long step, int rows, int row_bytes)
{
	memset(stored, 0xaa, sizeof(stored));
	tilestored(0, stored, 64);
	for (int r = 0; r < rows; r++)
		if (memcmp(stored + r * 64, memory + first + r * step, row_bytes))
			return "no";
	return "yes";
}

static void ask_strides(void)
{
	uint64_t stride = 0;

	cfg = uniform(16, 64);
	ldtilecfg(&cfg);
	fill_pattern(memory, sizeof(memory), 1);
	tileloadd(0, memory, 64);
	answer("memory.stride64", "%s", rows_from(0, 64, 16, 64));
	tileloaddt1(0, memory + 4, 192);
	answer("memory.tileloaddt1.stride192", "%s", rows_from(4, 192, 16, 64));
	tileloadd(0, memory + 4096, -64);
	answer("memory.stride_negative", "%s", rows_from(4096, -64, 16, 64));
	tileloadd(0, memory + 7, 1);
	answer("memory.stride1", "%s", rows_from(7, 1, 16, 64));
	asm volatile("tileloadd 128(%0,%1,8), %%tmm0" : : "r"(memory), "r"(24UL) : "memory");
	answer("memory.scale8_displacement", "%s", rows_from(128, 192, 16, 64));
	/* SIB without an index: ModRM 0x04 (SIB follows), SIB 0x20 (base RAX, no index). */
	asm volatile(".byte 0xc4,0xe2,0x7b,0x4b,0x04,0x20" : : "a"(memory + 64) : "memory");
	answer("memory.no_index", "%s", rows_from(64, 0, 16, 64));
	/* The same with R12, which is a valid index. */
	asm volatile("mov %1, %%r12; tileloadd (%0,%%r12,1), %%tmm0"
		     : : "r"(memory), "r"(256UL) : "r12", "memory");
	answer("memory.index_r12", "%s", rows_from(0, 256, 16, 64));
	/* FS has a nonzero base: TILELOADD %fs:(,%stride) with an absolute address. */
	asm volatile("mov %%fs:0, %0" : "=r"(stride));
	asm volatile("tileloadd %%fs:(%0,%1,1), %%tmm0" : : "r"(memory - stride), "r"(64UL) : "memory");
	answer("memory.fs_base", "%s", rows_from(0, 64, 16, 64));
}

static void ask_address_size(void)
{
	uint8_t *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	uint64_t garbage = 0x5a5a5a5aULL << 32;

	memcpy(low, memory, 4096);
	tilezero(0);
	/* Prefix 0x67 makes the CPU ignore the upper halves of base and index. */
	answer("memory.67h.tileloadd", "%s",
	       TRY(ldtilecfg(&cfg);
		   asm volatile(".byte 0x67; tileloadd (%0,%1,1), %%tmm0"
				: : "a"((uint64_t)low | garbage), "d"(64 | garbage) : "memory")));
	answer("memory.67h.rows", "%s", fault.signal ? "no" : rows_from(0, 64, 16, 64));
	answer("memory.67h.tilestored", "%s",
	       TRY(ldtilecfg(&cfg); tileloadd(0, memory + 4096, 64);
		   asm volatile(".byte 0x67; tilestored %%tmm0, (%0,%1,1)"
				: : "a"((uint64_t)low | garbage), "d"(64 | garbage) : "memory")));
	answer("memory.67h.stored", "%s", memcmp(low, memory + 4096, 1024) ? "no" : "yes");
	munmap(low, 4096);
}

/* Bytes of a tile outside its shape are zero. */
static void ask_shape(void)
{
	int outside = 0;

	cfg = uniform(5, 20);
	ldtilecfg(&cfg);
	tileloadd(0, memory, 64);
	memset(stored, 0xaa, sizeof(stored));
	tilestored(0, stored, 64);
	answer("memory.shape.inside", "%s", rows_from(0, 64, 5, 20));
	for (int i = 0; i < TILE_BYTES; i++)
		outside |= (i / 64 >= 5 || i % 64 >= 20) && stored[i] != 0xaa;
	answer("memory.shape.stored_outside", "%s", outside ? "yes" : "no");
	memset(area, 0, sizeof(area));
	xsave(area, TILEDATA);
	outside = 0;
	for (int i = 0; i < TILE_BYTES; i++)
		outside |= (i / 64 >= 5 || i % 64 >= 20) && area[component_offset(TILEDATA_BIT) + i];
	answer("memory.shape.loaded_outside", "%s", outside ? "yes" : "no");
}

static void ask_start_row(void)
{
	struct tile_config after;
	const uint8_t *data = area + component_offset(TILEDATA_BIT);

	cfg = uniform(8, 64);
	cfg.start_row = 8;
	answer("memory.start_row.at_end.tileloadd", "%s", TRY(ldtilecfg(&cfg); tileloadd(0, memory, 64)));
	answer("memory.start_row.at_end.tilestored", "%s", TRY(ldtilecfg(&cfg); tilestored(0, memory, 64)));
	/* start_row is checked before memory is accessed. */
	answer("memory.start_row.at_end.bad_address", "%s",
	       TRY(ldtilecfg(&cfg); tileloadd(0, 1ULL << 62, 64)));
	cfg.start_row = 3;
	ldtilecfg(&cfg);
	tileloadd(0, memory, 64);
	sttilecfg(&after);
	answer("memory.start_row.after", "%d", after.start_row);
	xsave(area, TILEDATA);
	answer("memory.start_row.rows_before", "%s", contents(data, 3 * 64, 0));
	answer("memory.start_row.rows_loaded", "%s", memcmp(data + 3 * 64, memory + 3 * 64, 5 * 64) ? "no" : "yes");
	ldtilecfg(&cfg);
	memset(stored, 0xaa, sizeof(stored));
	tilestored(0, stored, 64);
	answer("memory.start_row.stored_before", "%s", contents(stored, 3 * 64, 0));
	answer("memory.start_row.stored", "%s", contents(stored + 3 * 64, 5 * 64, 0));
}

void ask_memory(void)
{
	ask_strides();
	ask_address_size();
	ask_shape();
	ask_start_row();
	answer("memory.non_canonical", "%s", TRY(ldtilecfg(&cfg); cfg = uniform(4, 64); ldtilecfg(&cfg);
						 tileloadd(0, 1ULL << 62, 64)));
	tilerelease();
}
