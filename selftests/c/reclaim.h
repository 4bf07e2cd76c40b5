/* SPDX-License-Identifier: GPL-2.0 */
/* Waits until the module has reclaimed a buffer, with registers that must not change. */
#ifndef XFD_TEST_RECLAIM_H
#define XFD_TEST_RECLAIM_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "counters.h"

/* A pass runs every jiffy. */
#define INTERVAL_MS 1

/* Waits until @more buffers were reclaimed since @before; polls, as only the counter shows it. */
static inline bool reclaimed_since(long before, long more)
{
	for (int i = 0; i < 300; i++) {
		if (counter("reclaimed") >= before + more)
			return true;
		usleep(1000);
	}
	return false;
}

/* At least @n buffers were reclaimed; the threads that lost them are asleep. */
#define EXPECT_RECLAIMED(n)	EXPECT_TRUE(!xfd_module() || reclaimed_since(self->reclaimed, n))
/* A waking thread gets its buffer back without a second first use. */
#define EXPECT_USES(n)		EXPECT_IN_MODULE(EXPECT_EQ, n, counter("first_uses") - self->uses)
#define EXPECT_REGROWN(n)	EXPECT_IN_MODULE(EXPECT_LE, n, counter("regrown") - self->regrown)
#define EXPECT_IN_MODULE(EXPECT_HOW, n, seen)	\
	do {					\
		if (xfd_module())		\
			EXPECT_HOW(n, seen);	\
	} while (0)

/* A thread's AVX registers. */
struct registers {
	unsigned char ymm[16][32];
} __attribute__((aligned(32)));

static inline void registers_fill(struct registers *registers, unsigned int seed)
{
	for (size_t i = 0; i < sizeof(*registers); i++)
		registers->ymm[i / 32][i % 32] = (i * 37 + seed * 101) % 251;
}

#define ALL_YMM(insn)									\
	insn(0) insn(1) insn(2) insn(3) insn(4) insn(5) insn(6) insn(7)			\
	insn(8) insn(9) insn(10) insn(11) insn(12) insn(13) insn(14) insn(15)
#define LOAD_YMM(n)	"vmovdqa " #n "*32(%[before]), %%ymm" #n "\n\t"
#define STORE_YMM(n)	"vmovdqa %%ymm" #n ", " #n "*32(%[after])\n\t"
#define CLOBBERS_YMM	"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",	\
			"xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

/* Reads one byte with @before in the registers, sleeping until one arrives. */
static inline bool read_with_registers(int from, const struct registers *before, struct registers *after)
{
	char byte;
	long ret = SYS_read;

	asm volatile(ALL_YMM(LOAD_YMM)
		     "syscall\n\t"
		     ALL_YMM(STORE_YMM)
		     : "+a"(ret)
		     : "D"((long)from), "S"(&byte), "d"(1L), [before] "r"(before), [after] "r"(after)
		     : "rcx", "r11", "memory", CLOBBERS_YMM);
	return ret == 1;
}

/* Runs in user mode until @stop is nonzero, with @before in the registers. */
static inline void spin_with_registers(const volatile int *stop, const struct registers *before,
				       struct registers *after)
{
	asm volatile(ALL_YMM(LOAD_YMM)
		     "1: pause\n\t"
		     "cmpl $0, %[stop]\n\t"
		     "je 1b\n\t"
		     ALL_YMM(STORE_YMM)
		     :
		     : [stop] "m"(*stop), [before] "r"(before), [after] "r"(after)
		     : "memory", "cc", CLOBBERS_YMM);
}

#endif
