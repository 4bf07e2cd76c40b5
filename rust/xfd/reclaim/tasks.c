// SPDX-License-Identifier: GPL-2.0
/*
 * Holds other tasks in place while pass.rs checks their registers.
 */
#include <linux/kallsyms.h>
#include <linux/module.h>
#include <linux/pid_namespace.h>
#include <linux/ptrace.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xstate.h>
#include <asm/processor.h>
#include <asm/unistd.h>

#include "../seam/gates.h"
#include "../seam/seam.h"
#include "../seam/task_fpu.h"
#include "../seam/walk.h"
#include "../watch/trace.h"
#include "owed.h"

/* Rust: pass.rs */
bool xfd_is_reclaimable(struct task_struct *task, void *pass, u32 switches);
struct fpstate *xfd_take_buffer(struct task_struct *task);
void xfd_free_buffer(struct fpstate *state);

/*
 * Kernel functions that hold a pointer to current's fpstate, or the size of its frame, across a sleep, or
 * that restore or write its registers before current returns to user mode. A task is not touched while it
 * is in one of them, in a livepatch's replacement for one, or in this module's code.
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
	{ "ptrace_notify", true },		/* on PREEMPT_RT its lock may sleep between the work and the stop */
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
	/* gcc's second name for a system call, after which its .cold part is named. clang has only the first name. */
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

/*
 * Whether @task is in a system call that restores a frame, or on its way into one. It may wait on the way
 * (seccomp notifications, a syscall user dispatch selector in a slow page), and does not run its work
 * between that wait and reading the frame. The kernel writes the call's number before all this, and sets
 * it to -1 once it has read the frame. A different call with the same number is not touched either.
 */
static bool is_in_sigreturn(struct task_struct *task)
{
	static const u32 sigreturns[] = {
		15,			/* rt_sigreturn */
		119, 173,		/* sigreturn and rt_sigreturn of 32-bit programs */
		__X32_SYSCALL_BIT + 513,/* rt_sigreturn of x32 */
	};
	u32 nr = task_pt_regs(task)->orig_ax;
	int i;

	for (i = 0; i < ARRAY_SIZE(sigreturns); i++)
		if (nr == sigreturns[i])
			return true;
	return false;
}

/*
 * Whether @task sleeps and nobody accesses its registers: no tracer, no core dump, no exit. It is not on
 * its way back to user mode either, where it gets its buffer first. A tracer, a core dump and an exit all
 * have to wake @task, and task_call_func() keeps it from waking. (A tracer stops it in get_signal(), where
 * it gets its buffer before it stops.)
 */
static bool is_quiescent(struct task_struct *task)
{
	unsigned int state = READ_ONCE(task->__state);

	return state != TASK_RUNNING &&
	       !(state & (TASK_WAKING | TASK_NEW | TASK_DEAD | __TASK_STOPPED | __TASK_TRACED)) &&
	       !READ_ONCE(task->on_cpu) && !READ_ONCE(task->ptrace) && !READ_ONCE(task->signal->core_state) &&
	       !(task->flags & (PF_EXITING | PF_DUMPCORE | PF_POSTCOREDUMP)) &&
	       test_tsk_thread_flag(task, TIF_NEED_FPU_LOAD);
}

struct scan {
	void *pass;
	struct xfd_owed *owed;
	struct fpstate *taken;
};

/* Unwind the stack only if the task passed all other checks. */
static int try_reclaim(struct task_struct *task, void *data)
{
	struct scan *scan = data;
	u32 switches = task->nvcsw + task->nivcsw;

	if (is_quiescent(task) && !is_in_sigreturn(task) && xfd_is_reclaimable(task, scan->pass, switches) &&
	    holds_no_fpstate(task) && xfd_owed_add(scan->owed, task)) {
		scan->owed = NULL;
		scan->taken = xfd_take_buffer(task);
	}
	return 0;
}

/*
 * Whether @task is worth holding. Nothing is locked, so everything that is read here is checked again.
 * This does not look into the buffer, which may be gone.
 */
static bool is_candidate(struct task_struct *task)
{
	struct fpu *fpu = fpu_of(task);

	return READ_ONCE(fpu->fpstate) != &fpu->__fpstate &&
	       !(READ_ONCE(task->flags) & (PF_KTHREAD | PF_USER_WORKER | PF_EXITING)) &&
	       READ_ONCE(task->__state) != TASK_RUNNING;
}

void xfd_scan_tasks(void *pass, const bool *stop)
{
	struct scan scan = { .pass = pass };
	int nr = 1;

	while (nr && !READ_ONCE(*stop)) {
		struct task_struct *task = xfd_next_task(&nr, &init_pid_ns, is_candidate);

		cond_resched();
		if (!task)
			continue;
		if (!scan.owed)
			scan.owed = xfd_owed_alloc();
		if (scan.owed)
			static_call(xfd_gate_task_call_func)(task, try_reclaim, &scan);
		if (scan.taken)
			xfd_trace_reclaimed(task, scan.taken->size);
		put_task_struct(task);
		xfd_free_buffer(scan.taken);
		scan.taken = NULL;
		nr++;
	}
	kfree(scan.owed);
}
