/* SPDX-License-Identifier: GPL-2.0 */
/* The permission options of arch_prctl, and the tile instructions. */
#ifndef XFD_TEST_AMX_H
#define XFD_TEST_AMX_H

#include <cpuid.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* uapi/asm/prctl.h:13-17, for C libraries that predate them. */
#define XCOMP_SUPP		0x1021
#define XCOMP_PERM		0x1022
#define XCOMP_REQ_PERM		0x1023
#define XCOMP_GUEST_PERM	0x1024
#define XCOMP_REQ_GUEST_PERM	0x1025

#define TILE_CFG		17
#define TILE_DATA		18
#define XFEATURE_MAX		20	/* 7.2: asm/fpu/types.h:130 */
#define BIT_ULL(n)		(1ULL << (n))

/* Returns 0 or the negative errno, like the kernel's function. */
static inline long xcomp(int option, unsigned long arg)
{
	return syscall(SYS_arch_prctl, option, arg) ? -errno : 0;
}

/* The mask reported by one of the GET options; 0 if the call fails. */
static inline uint64_t xcomp_mask(int option)
{
	uint64_t mask = 0;

	return xcomp(option, (unsigned long)&mask) ? 0 : mask;
}

#define REQUIRE_TILES()								\
	do {									\
		if (!(xcomp_mask(XCOMP_SUPP) & BIT_ULL(TILE_DATA)))		\
			SKIP(return, "no AMX here: ARCH_GET_XCOMP_SUPP lacks bit 18"); \
	} while (0)

static inline uint64_t xgetbv0(void)
{
	uint32_t lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (uint64_t)hi << 32 | lo;
}

/* XINUSE: the components that are not in their initial state. */
static inline uint64_t in_use(void)
{
	uint32_t lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(1));
	return (uint64_t)hi << 32 | lo;
}

/* Size in bytes of a non-compacted XSAVE area for @mask (SDM vol. 1, 13.4.3). */
static inline uint32_t xsave_size(uint64_t mask)
{
	uint32_t size = 512 + 64, eax, ebx, ecx, edx;

	for (int i = 2; i < 63; i++) {
		if (!(mask & BIT_ULL(i)))
			continue;
		__cpuid_count(0xd, i, eax, ebx, ecx, edx);
		if (ebx + eax > size)
			size = ebx + eax;
	}
	return size;
}

/* Offset of component @i in a non-compacted area. */
static inline uint32_t xsave_offset(int i)
{
	uint32_t eax, ebx, ecx, edx;

	__cpuid_count(0xd, i, eax, ebx, ecx, edx);
	return ebx;
}

#define TILES	8
#define ROWS	16
#define COLSB	64

struct tilecfg {
	uint8_t palette, start_row, reserved[14];
	uint16_t colsb[16];
	uint8_t rows[16];
} __attribute__((aligned(64)));

struct tiles {
	uint8_t byte[TILES][ROWS][COLSB];
} __attribute__((aligned(64)));

static inline struct tilecfg tilecfg_full(void)
{
	struct tilecfg cfg = { .palette = 1 };

	for (int i = 0; i < TILES; i++) {
		cfg.colsb[i] = COLSB;
		cfg.rows[i] = ROWS;
	}
	return cfg;
}

/* LDTILECFG, STTILECFG and TILERELEASE never raise #NM, so they need no permission. */
static inline void ldtilecfg(const struct tilecfg *cfg)
{
	asm volatile("ldtilecfg %0" :: "m"(*cfg) : "memory");
}

static inline void sttilecfg(struct tilecfg *cfg)
{
	asm volatile("sttilecfg %0" : "=m"(*cfg) :: "memory");
}

static inline void tilerelease(void)
{
	asm volatile("tilerelease" ::: "memory");
}

/* Configures all tiles at full size without touching their data. */
static inline void tiles_configure(void)
{
	struct tilecfg cfg = tilecfg_full();

	ldtilecfg(&cfg);
}

static inline void tilezero0(void)
{
	asm volatile("tilezero %%tmm0" ::: "memory");
}

/* Contents that differ between seeds in every row. */
static inline void tiles_fill(struct tiles *t, uint32_t seed)
{
	uint64_t x = 0x9e3779b97f4a7c15ULL * (seed + 1);

	for (size_t i = 0; i < sizeof(*t); i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		((uint8_t *)t)[i] = x;
	}
}

#define ALL_TILES(insn)								\
	insn(0) insn(1) insn(2) insn(3) insn(4) insn(5) insn(6) insn(7)
#define LOAD(n)		"tileloadd " #n "*1024(%0,%1,1), %%tmm" #n "\n\t"
#define STORE(n)	"tilestored %%tmm" #n ", " #n "*1024(%0,%1,1)\n\t"

static inline void tiles_load(const struct tiles *t)
{
	asm volatile(ALL_TILES(LOAD) :: "r"(t), "r"((long)COLSB) : "memory");
}

static inline void tiles_store(struct tiles *t)
{
	asm volatile(ALL_TILES(STORE) :: "r"(t), "r"((long)COLSB) : "memory");
}

/* Whether the tile registers currently hold @expected. */
static inline bool tiles_hold(const struct tiles *expected)
{
	struct tiles now;

	memset(&now, 0x5a, sizeof(now));
	tiles_store(&now);
	return !memcmp(&now, expected, sizeof(now));
}

/* Restricts the calling thread to this CPU. */
static inline bool pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

#endif
