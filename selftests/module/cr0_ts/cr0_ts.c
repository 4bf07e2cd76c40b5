// SPDX-License-Identifier: GPL-2.0
/*
 * Sets CR0.TS on the CPU that loads it, and nothing else: the next FPU instruction raises an #NM
 * with XFD_ERR zero, which only the kernel's own handler can resolve (it warns, and clears TS).
 * Loading always fails with EAGAIN, so there is nothing to unload. For the emulated machine only.
 */
#include <linux/module.h>

static int __init cr0_ts_init(void)
{
	unsigned long cr0;

	asm volatile("mov %%cr0, %0\n\t"
		     "or %1, %0\n\t"
		     "mov %0, %%cr0" : "=&r" (cr0) : "i" (1 << 3) : "memory");
	return -EAGAIN;
}
module_init(cr0_ts_init);

MODULE_DESCRIPTION("Raises one ordinary #NM");
MODULE_LICENSE("GPL");
