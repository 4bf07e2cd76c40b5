// SPDX-License-Identifier: GPL-2.0
/*
 * Holds other tasks in place while pass.rs checks their registers.
 */
#include <linux/mm.h>
#include <linux/pid_namespace.h>
#include <linux/ptrace.h>
#include <linux/sched/rt.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xstate.h>
#include <asm/processor.h>
#include <asm/unistd.h>

#include "../seam/calls.h"
#include "../seam/seam.h"
#include "../seam/task_fpu.h"
#include "../seam/walk.h"
#include "../watch/trace.h"
#include "owed.h"

#ifdef MODULE
#include "../seam/holders.h"
#else
#include "../tree/pins.h"
#endif

/* Rust: pass.rs */
bool xfd_is_reclaimable(struct task_struct *task, void *pass, u32 switches);
struct fpstate *xfd_take_buffer(struct task_struct *task);
void xfd_free_buffer(struct fpstate *state);

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

/*
 * Whether @task, which is held, may wait for memory when it wakes. Not if it asked never to: it is a
 * real-time task, or has locked its memory (mlockall), or it writes back other tasks' memory
 * (PR_SET_IO_FLUSHER).
 */
static bool may_wait(struct task_struct *task)
{
	return !rt_or_dl_task_policy(task) && !(task->flags & PF_MEMALLOC_NOIO) && task->mm &&
	       !(task->mm->def_flags & VM_LOCKED);
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

	if (is_quiescent(task) && may_wait(task) && !is_in_sigreturn(task) &&
	    xfd_is_reclaimable(task, scan->pass, switches) && holds_no_fpstate(task) &&
	    xfd_owed_add(scan->owed, task)) {
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
			XFD_CALL(task_call_func)(task, try_reclaim, &scan);
		if (scan.taken)
			xfd_trace_reclaimed(task, scan.taken->size);
		put_task_struct(task);
		xfd_free_buffer(scan.taken);
		scan.taken = NULL;
		nr++;
	}
	kfree(scan.owed);
}
