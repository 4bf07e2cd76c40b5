// SPDX-License-Identifier: GPL-2.0
/*
 * Tile registers for other modules (include/linux/xfd.h), and the kernel's FPU section for section.rs.
 */
#include <linux/export.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/xfd.h>
#include <asm/fpu/api.h>

#include "../seam/seam.h"

/* Rust: section.rs */
int xfd_tiles_begin(u64 *armed);
void xfd_tiles_end(u64 armed);

/* The value of IA32_XFD before this CPU's current section */
static DEFINE_PER_CPU(u64, xfd_armed_before);

int xfd_kernel_fpu_begin(void)
{
	if (in_nmi() || in_hardirq() || !irq_fpu_usable())
		return -EBUSY;
	kernel_fpu_begin();
	return 0;
}

void xfd_kernel_fpu_end(void)
{
	kernel_fpu_end();
}

int xfd_kernel_tiles_begin(void)
{
	u64 armed;
	int error = xfd_tiles_begin(&armed);

	if (!error)
		this_cpu_write(xfd_armed_before, armed);
	return error;
}
EXPORT_SYMBOL_GPL(xfd_kernel_tiles_begin);

void xfd_kernel_tiles_end(void)
{
	xfd_tiles_end(this_cpu_read(xfd_armed_before));
}
EXPORT_SYMBOL_GPL(xfd_kernel_tiles_end);
