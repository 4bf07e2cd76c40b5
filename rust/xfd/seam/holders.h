/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where a task stands: the module unwinds its stack. Only tasks.c includes this. tree/pins.h is the same
 * for a kernel into which this code is built.
 */
#ifndef XFD_HOLDERS_H
#define XFD_HOLDERS_H

#include <linux/kallsyms.h>
#include <linux/module.h>

#include "gates.h"
#include "seam.h"

/*
 * Kernel functions that hold a pointer to current's fpstate, or the size of its frame, while they
 * sleep, or that restore or write its registers before current returns to user mode. A task is not
 * touched while it is in one of them, in a livepatch's replacement of one, or in code of this module.
 */
static struct {
	const char *symbol;
	bool optional;
	/* The function, and the cold part that the compiler split off */
	struct { unsigned long start, end; } hot, cold;
} xfd_holders[] = {
	{ "arch_do_signal_or_restart" },	/* a signal is handled: frames, stops, core dumps */
	{ "__x64_sys_rt_sigreturn" },		/* a frame is read */
	{ "fpu__restore_sig" },
	/* Called by those. The compiler may inline them. */
	{ "get_signal", true },
	{ "ptrace_notify", true },		/* on PREEMPT_RT its lock sleeps between running the work and the stop */
	{ "x64_setup_rt_frame", true },
	{ "copy_fpstate_to_sigframe", true },
	{ "__fpu_restore_sig", true },
	/* For 32-bit and x32 programs, for virtual machines, and for a first use in the C code */
	{ "__ia32_compat_sys_rt_sigreturn", true },
	{ "__ia32_compat_sys_sigreturn", true },
	{ "__x64_compat_sys_x32_rt_sigreturn", true },
	{ "fpu_swap_kvm_fpstate", true },
	{ "fpu_enable_guest_xfd_features", true },
	{ "__xfd_enable_feature", true },
	{ "xfd_enable_feature", true },
	/* gcc's second name of a system call, after which its .cold part is named. clang has only the first name. */
	{ "__do_sys_rt_sigreturn", true },
	{ "__do_compat_sys_rt_sigreturn", true },
	{ "__do_compat_sys_sigreturn", true },
	{ "__do_compat_sys_x32_rt_sigreturn", true },
};

const char *xfd_find_holders(void)
{
	char cold[KSYM_NAME_LEN];
	int i;

	for (i = 0; i < ARRAY_SIZE(xfd_holders); i++) {
		unsigned long start = xfd_gate_lookup(xfd_holders[i].symbol);

		if (!start && !xfd_holders[i].optional)
			return xfd_holders[i].symbol;
		xfd_holders[i].hot.start = start;
		xfd_holders[i].hot.end = start ? start + xfd_gate_size_of(start) : 0;
		snprintf(cold, sizeof(cold), "%s.cold", xfd_holders[i].symbol);
		start = xfd_gate_lookup(cold);
		xfd_holders[i].cold.start = start;
		xfd_holders[i].cold.end = start ? start + xfd_gate_size_of(start) : 0;
	}
	return NULL;
}

/* Only one pass at a time unwinds stacks. */
static unsigned long xfd_stack[64];

static bool is_in_holder(unsigned long address)
{
	struct module *module;
	int i;

	for (i = 0; i < ARRAY_SIZE(xfd_holders); i++)
		if ((address >= xfd_holders[i].hot.start && address < xfd_holders[i].hot.end) ||
		    (address >= xfd_holders[i].cold.start && address < xfd_holders[i].cold.end))
			return true;
	/* This module is a livepatch module, too. Interrupts are off, so the module is not freed. */
	module = static_call(xfd_gate___module_address)(address);
	return module && is_livepatch_module(module);
}

static bool holds_no_fpstate(struct task_struct *task)
{
	int n = static_call(xfd_gate_stack_trace_save_tsk_reliable)(task, xfd_stack, ARRAY_SIZE(xfd_stack));
	int i;

	/* If the stack is too deep, nothing is known. */
	if (n <= 0)
		return false;
	for (i = 0; i < n; i++)
		if (is_in_holder(xfd_stack[i]))
			return false;
	return true;
}

#endif
