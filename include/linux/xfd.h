/* SPDX-License-Identifier: GPL-2.0 */
/*
 * AMX tiles for kernel code, while xfd.ko is loaded.
 */
#ifndef _LINUX_XFD_H
#define _LINUX_XFD_H

/**
 * xfd_kernel_tiles_begin - get the tile registers
 *
 * This does what kernel_fpu_begin() does: it saves the current task's registers if they are in the
 * CPU, and turns off preemption and softirqs until xfd_kernel_tiles_end(). It also disarms XFD, so
 * that no tile instruction raises #NM. The tiles are not configured, and their data is zero. AVX
 * registers may be used as well until then.
 *
 * Context: Task or softirq context, with interrupts on or off, and the same at the end.
 * Return: 0, or -EBUSY in a hard interrupt or if the kernel is using the FPU registers already
 * (nested sections).
 */
int xfd_kernel_tiles_begin(void);

/**
 * xfd_kernel_tiles_end - give the tile registers back
 *
 * Clears the tiles, and restores the previous value of IA32_XFD.
 *
 * Context: That of xfd_kernel_tiles_begin(), after it has returned 0.
 */
void xfd_kernel_tiles_end(void);

#endif
