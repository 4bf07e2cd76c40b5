// SPDX-License-Identifier: GPL-2.0
/*
 * Calls xfd_after_resume() when the system resumes from suspend to RAM or hibernation. At that point only
 * one CPU is running, interrupts are off, and the kernel has restored the processor's state.
 */
#include <linux/syscore_ops.h>

#include "seam.h"

/* Rust: buffer/resume.rs */
void xfd_after_resume(void *data);

static const struct syscore_ops xfd_syscore_ops = {
	.resume = xfd_after_resume,
};

static struct syscore xfd_syscore = {
	.ops = &xfd_syscore_ops,
};

void xfd_resume_watch(void)
{
	register_syscore(&xfd_syscore);
}

void xfd_resume_unwatch(void)
{
	unregister_syscore(&xfd_syscore);
}
