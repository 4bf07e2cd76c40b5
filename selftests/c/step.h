/* SPDX-License-Identifier: GPL-2.0 */
/* One tile instruction at a known address, reached with TF set or under a tracer. */
#ifndef XFD_TEST_STEP_H
#define XFD_TEST_STEP_H

#include <stdint.h>

/* A function: a NOP, TILEZERO, a NOP. Tiles must be configured. */
extern const uint8_t step_begin[], step_tilezero[], step_behind[];

asm(".pushsection .text\n\t"
    ".balign 64\n\t"
    ".type step_begin, @function\n"
    "step_begin:\n\t"
    "nop\n"
    "step_tilezero:\n\t"
    "tilezero %tmm0\n"
    "step_behind:\n\t"
    "nop\n\t"
    "ret\n\t"
    ".size step_begin, . - step_begin\n\t"
    ".popsection");

static inline void step_run(void)
{
	((void (*)(void))(uintptr_t)step_begin)();
}

/* Runs it with TF set, without touching the red zone. */
static inline void step_run_with_tf(void)
{
	asm volatile("lea -128(%%rsp), %%rsp\n\t"
		     "pushfq\n\t"
		     "orq $0x100, (%%rsp)\n\t"
		     "popfq\n\t"
		     "call step_begin\n\t"
		     "pushfq\n\t"
		     "andq $~0x100, (%%rsp)\n\t"
		     "popfq\n\t"
		     "lea 128(%%rsp), %%rsp"
		     ::: "memory", "cc");
}

#endif
