/* SPDX-License-Identifier: GPL-2.0 */
/* The extended state in a signal frame: its layout, and how to get a frame with a known state. */
#ifndef XFD_TEST_FRAME_H
#define XFD_TEST_FRAME_H

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "amx.h"
#include "answer.h"
#include "counters.h"
#include "pkru.h"

#define MAGIC1	0x46505853U	/* uapi/asm/sigcontext.h:26 */
#define MAGIC2	0x46505845U

/* Offsets in the area: struct _fpx_sw_bytes, and the XSAVE header. */
#define SW_BYTES	464
#define AT_MAGIC1	(SW_BYTES + 0)
#define AT_EXTENDED	(SW_BYTES + 4)
#define AT_XFEATURES	(SW_BYTES + 8)
#define AT_XSTATE_SIZE	(SW_BYTES + 16)
#define AT_XSTATE_BV	512
#define AT_XCOMP_BV	520
#define AT_RESERVED	528
#define HEADER_END	576

#define FP_SSE		0x3ULL
#define TILE_BITS	(BIT_ULL(TILE_CFG) | BIT_ULL(TILE_DATA))

static inline uint32_t get32(const uint8_t *area, int at)
{
	uint32_t value;

	memcpy(&value, area + at, 4);
	return value;
}

static inline uint64_t get64(const uint8_t *area, int at)
{
	uint64_t value;

	memcpy(&value, area + at, 8);
	return value;
}

static inline void put32(uint8_t *area, int at, uint32_t value)
{
	memcpy(area + at, &value, 4);
}

static inline void put64(uint8_t *area, int at, uint64_t value)
{
	memcpy(area + at, &value, 8);
}

struct frame {
	uint32_t magic1, extended_size, xstate_size, magic2;
	uint64_t xfeatures, xstate_bv;
	bool reserved_clear;	/* XCOMP_BV and the rest of the header are 0 */
	struct tiles tiles;	/* if the frame has space for tiles */
};

static inline uint8_t *frame_area(void *ucontext)
{
	return (uint8_t *)((ucontext_t *)ucontext)->uc_mcontext.fpregs;
}

static inline void frame_read(struct frame *frame, const uint8_t *area)
{
	static const uint8_t zero[HEADER_END - AT_XCOMP_BV];

	memset(frame, 0, sizeof(*frame));
	frame->magic1 = get32(area, AT_MAGIC1);
	frame->extended_size = get32(area, AT_EXTENDED);
	frame->xfeatures = get64(area, AT_XFEATURES);
	frame->xstate_size = get32(area, AT_XSTATE_SIZE);
	frame->magic2 = get32(area, frame->xstate_size);
	frame->xstate_bv = get64(area, AT_XSTATE_BV);
	frame->reserved_clear = !memcmp(area + AT_XCOMP_BV, zero, sizeof(zero));
	if (frame->xfeatures & BIT_ULL(TILE_DATA))
		memcpy(&frame->tiles, area + xsave_offset(TILE_DATA), sizeof(frame->tiles));
}

static inline void frame_answer(const char *name, const struct frame *frame)
{
	answer(name, "xstate_size %u extended_size %u xfeatures %#llx xstate_bv %#llx",
	       frame->xstate_size, frame->extended_size,
	       (unsigned long long)frame->xfeatures, (unsigned long long)frame->xstate_bv);
}

/* The frame of a thread whose buffer has space for exactly @mask, with @extra bytes around the state. */
#define EXPECT_FRAME(frame, mask, extra)					\
	do {									\
		EXPECT_EQ(MAGIC1, (frame).magic1);				\
		EXPECT_EQ(MAGIC2, (frame).magic2);				\
		EXPECT_EQ((mask), (frame).xfeatures);				\
		EXPECT_EQ(xsave_size(mask), (frame).xstate_size);		\
		EXPECT_EQ((frame).xstate_size + (extra), (frame).extended_size);	\
		EXPECT_TRUE((frame).reserved_clear);				\
	} while (0)
#define EXPECT_FRAME_FOR(mask) EXPECT_FRAME(frame, mask, 4)

/*
 * XSTATE_BV of a frame when only @tiles are in use. x87 and SSE are always set (fpu/signal.c:145),
 * as is PKRU if the CPU has protection keys (fpu/xstate.h:97).
 */
static inline uint64_t xstate_bv_of(uint64_t tiles)
{
	return FP_SSE | (xgetbv0() & BIT_ULL(PKRU)) | tiles;
}

static inline bool signal_now(int signo)
{
	return !syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signo);
}

/* The same, but with x87, SSE and AVX in their initial state, whatever the compiler did. */
static inline bool signal_bare(int signo)
{
	static const uint8_t initial[HEADER_END] __attribute__((aligned(64))) = {
		[24] = 0x80, [25] = 0x1f,	/* MXCSR */
	};
	long pid = getpid(), tid = syscall(SYS_gettid), ret;

	asm volatile("xor %%edx, %%edx\n\t"
		     "xrstor %[initial]\n\t"
		     "mov %[signo], %%edx\n\t"
		     "mov %[nr], %%eax\n\t"
		     "syscall"
		     : "=a"(ret)
		     : "a"((uint32_t)xgetbv0() & 0xff), [initial] "m"(initial),
		       [signo] "r"(signo), [nr] "i"(SYS_tgkill), "D"(pid), "S"(tid)
		     : "rcx", "rdx", "r11", "memory", "st", "xmm0", "xmm1", "xmm2", "xmm3",
		       "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
		       "xmm12", "xmm13", "xmm14", "xmm15");
	return !ret;
}

#endif
