/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The struct fpu of a task.
 */
#ifndef XFD_TASK_FPU_H
#define XFD_TASK_FPU_H

#include <linux/sched.h>

/*
 * The definition without CONFIG_X86_DEBUG_FPU; with it x86_task_fpu() is a function that
 * modules cannot link to, and does the same (arch/x86/include/asm/processor.h:528).
 */
static __always_inline struct fpu *fpu_of(struct task_struct *task)
{
	return (void *)task + sizeof(*task);
}

#endif
