/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A task's struct fpu, and the size of a buffer in memory.
 */
#ifndef XFD_TASK_FPU_H
#define XFD_TASK_FPU_H

#include <linux/mm.h>
#include <linux/sched.h>
#include <asm/fpu/types.h>

/*
 * This is the definition without CONFIG_X86_DEBUG_FPU. With that option, x86_task_fpu() is a function that
 * does the same but to which modules cannot link (arch/x86/include/asm/processor.h:528).
 */
static __always_inline struct fpu *fpu_of(struct task_struct *task)
{
	return (void *)task + sizeof(*task);
}

/* Returns the memory used by an enlarged buffer: bytes, in whole pages. @size is that of the register image. */
static inline size_t buffer_memory(u32 size)
{
	return PAGE_ALIGN(offsetof(struct fpstate, regs) + size);
}

#endif
