// SPDX-License-Identifier: GPL-2.0
/*
 * Other tasks, held where they are while reclaim.rs looks at their registers.
 */
#include <linux/kallsyms.h>
#include <linux/module.h>
#include <linux/sched/isolation.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>

#include "../seam/gates.h"
#include "../seam/seam.h"

/* Rust: reclaim.rs */
void xfd_consider(struct task_struct *task, void *pass);
void xfd_look_at_blocked(struct task_struct *task, void *look);

void xfd_each_enlarged_task(void *pass)
{
	struct task_struct *process, *thread;

	rcu_read_lock();
	for_each_process_thread(process, thread) {
		struct fpu *fpu = xfd_task_fpu(thread);

		if (thread->flags & (PF_KTHREAD | PF_USER_WORKER | PF_EXITING))
			continue;
		if (READ_ONCE(fpu->fpstate) != &fpu->__fpstate)
			xfd_consider(thread, pass);
	}
	rcu_read_unlock();
}

/*
 * Kernel functions that may hold a pointer to current's fpstate, or the size of its frame, while
 * they sleep or are preempted, without a lock. A task that is in one, or in code of this module,
 * is left alone.
 */
static struct {
	const char *symbol;
	bool optional;
	unsigned long start, end;
} xfd_holders[] = {
	{ "arch_do_signal_or_restart" },	/* a signal frame is written */
	{ "fpu__restore_sig" },			/* and read */
	{ "fpu__exception_code" },
	/* Of virtual machines, and of the C code's first use; the compiler may inline some. */
	{ "fpu_swap_kvm_fpstate", true },
	{ "fpu_enable_guest_xfd_features", true },
	{ "__xfd_enable_feature", true },
};

const char *xfd_find_holders(void)
{
	unsigned long size, offset;
	int i;

	for (i = 0; i < ARRAY_SIZE(xfd_holders); i++) {
		unsigned long start = xfd_gate_lookup(xfd_holders[i].symbol);

		if (!start || !static_call(xfd_gate_kallsyms_lookup_size_offset)(start, &size, &offset)) {
			if (xfd_holders[i].optional)
				continue;
			return xfd_holders[i].symbol;
		}
		xfd_holders[i].start = start;
		xfd_holders[i].end = start + size;
	}
	return NULL;
}

/* One pass at a time looks at stacks. */
static unsigned long xfd_stack[64];

static bool is_in_a_holder(unsigned long address)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(xfd_holders); i++)
		if (address >= xfd_holders[i].start && address < xfd_holders[i].end)
			return true;
	return within_module(address, THIS_MODULE);
}

static bool holds_no_fpstate(struct task_struct *task)
{
	int n = static_call(xfd_gate_stack_trace_save_tsk_reliable)(task, xfd_stack, ARRAY_SIZE(xfd_stack));
	int i;

	/* Nothing is known of a stack that is too deep. */
	if (n <= 0)
		return false;
	for (i = 0; i < n; i++)
		if (is_in_a_holder(xfd_stack[i]))
			return false;
	return true;
}

/*
 * Whether nobody reads or writes the registers of @task, which does not run: no tracer, no core
 * dump, no exit, and not itself. Each of these has to wake @task first, and task_call_func() holds
 * that off.
 */
static bool is_left_alone(struct task_struct *task)
{
	unsigned int state = READ_ONCE(task->__state);

	return !(state & (TASK_WAKING | TASK_NEW | TASK_DEAD | __TASK_STOPPED | __TASK_TRACED)) &&
	       !task->ptrace && !task->signal->core_state &&
	       !(task->flags & (PF_KTHREAD | PF_USER_WORKER | PF_EXITING | PF_DUMPCORE | PF_POSTCOREDUMP)) &&
	       test_tsk_thread_flag(task, TIF_NEED_FPU_LOAD) && holds_no_fpstate(task);
}

static int look_at(struct task_struct *task, void *look)
{
	/* A CPU that its owner wants for one task alone is not disturbed. */
	if (READ_ONCE(task->on_cpu))
		return cpu_is_isolated(task_cpu(task)) ? -1 : task_cpu(task);
	if (is_left_alone(task))
		xfd_look_at_blocked(task, look);
	return -1;
}

int xfd_look_at_task(struct task_struct *task, void *look)
{
	return static_call(xfd_gate_task_call_func)(task, look_at, look);
}
