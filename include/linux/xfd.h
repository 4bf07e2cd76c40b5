/* SPDX-License-Identifier: GPL-2.0 */
/*
 * AMX tiles for kernel code, while xfd.ko is loaded.
 */
#ifndef _LINUX_XFD_H
#define _LINUX_XFD_H

/**
 * xfd_kernel_tiles_begin - get the tile registers
 *
 * Like kernel_fpu_begin(), which it includes: the registers of the current task are saved if they
 * are in the CPU, and preemption and soft interrupts are off until xfd_kernel_tiles_end(). Tiles
 * are not configured and their data is zero; XFD is disarmed, so no tile instruction raises #NM.
 * Between the two, AVX registers may be used as well.
 *
 * Context: task or soft interrupt, interrupts on or off, the same at the end.
 * Return: 0; -EBUSY in a hard interrupt or where the kernel has the FPU registers already (nested).
 */
int xfd_kernel_tiles_begin(void);

/**
 * xfd_kernel_tiles_end - give the tile registers back
 *
 * Nothing of the tiles is left in the CPU, and XFD is as it was.
 */
void xfd_kernel_tiles_end(void);

#endif
