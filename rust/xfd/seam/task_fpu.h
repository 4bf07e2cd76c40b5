/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The struct fpu of a task, and the memory of a buffer.
 */
#ifndef XFD_TASK_FPU_H
#define XFD_TASK_FPU_H

#include <linux/mm.h>
#include <linux/sched.h>
#include <asm/fpu/types.h>

/*
 * The definition without CONFIG_X86_DEBUG_FPU; with it x86_task_fpu() is a function that
 * modules cannot link to, and does the same (arch/x86/include/asm/processor.h:528).
 */
static __always_inline struct fpu *fpu_of(struct task_struct *task)
{
	return (void *)task + sizeof(*task);
}

/* Bytes of memory, whole pages, of an enlarged buffer with a register image of @size bytes. */
static inline size_t buffer_memory(u32 size)
{
	return PAGE_ALIGN(offsetof(struct fpstate, regs) + size);
}

#endif
