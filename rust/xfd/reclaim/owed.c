// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks whose buffers were reclaimed, and that are owed one.
 *
 * Each of them has a task_work. The task runs it itself when it returns to user mode, before it
 * handles a signal or stops for a tracer (get_signal()), before it enters a virtual CPU, and when it
 * exits: before anybody can see what it lacks. Nobody else pays for it, and no function of the
 * kernel has to be hooked for it.
 *
 * When the module goes, each of them is given a buffer from outside, and its work is cancelled. One that
 * task_work_run() has taken from the task's list already cannot be cancelled, and works before it may sleep
 * for as long as a user likes. It is disowned: the kernel's own kfree() takes the place of regrow_work().
 */
#include <linux/list.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/swait.h>
#include <linux/task_work.h>
#include <asm/fpu/types.h>

#include "../seam/gates.h"
#include "../seam/inside.h"
#include "../seam/task_fpu.h"
#include "owed.h"

/* kfree() is no task_work_func_t: the call of one that is disowned would not pass. */
#if IS_ENABLED(CONFIG_CFI) || IS_ENABLED(CONFIG_CFI_CLANG)
#error "xfd does not work with control-flow integrity (CONFIG_CFI)"
#endif

#ifndef CONFIG_XFD_FAULTS
#define xfd_wait_at(point) do { } while (0)
#endif

/* Rust: regrow.rs */
void xfd_regrow_current(void);
void xfd_give_held(struct task_struct *task, u64 permitted, void *offer);

/* Guards the list, and the states of its entries. Inside of pi_lock. */
static DEFINE_RAW_SPINLOCK(xfd_owed_lock);
/* As long as an entry is on it, its work is queued, and its task is there. */
static LIST_HEAD(xfd_owed_tasks);
static DECLARE_SWAIT_QUEUE_HEAD(xfd_owed_wait);
/* Entries whose work is to run yet. */
atomic_t xfd_owed_count = ATOMIC_INIT(0);

static void regrow_work(struct callback_head *work)
{
	struct xfd_owed *owed = container_of(work, struct xfd_owed, work);
	enum xfd_owed_state before;

	xfd_enter();
	xfd_wait_at(XFD_POINT_OWED);
	raw_spin_lock_irq(&xfd_owed_lock);
	before = owed->state;
	if (before == XFD_LISTED)
		list_del(&owed->list);
	else if (before == XFD_CLAIMED)
		owed->state = XFD_DONE;
	raw_spin_unlock_irq(&xfd_owed_lock);
	/* Who disowned it, when this was called already, counted it. */
	if (before != XFD_DETACHED)
		atomic_dec(&xfd_owed_count);

	/* Whoever dies needs none, unless a tracer is to look at it once more. */
	if (!(current->flags & PF_EXITING) && (!fatal_signal_pending(current) || READ_ONCE(current->ptrace)))
		xfd_regrow_current();

	/* One that is claimed is freed by who claimed it. */
	if (before != XFD_CLAIMED)
		kfree(owed);
	swake_up_one(&xfd_owed_wait);
	xfd_leave();
}

struct xfd_owed *xfd_owed_alloc(void)
{
	return kmalloc(sizeof(struct xfd_owed), GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN);
}

bool xfd_owed_add(struct xfd_owed *owed, struct task_struct *task)
{
	init_task_work(&owed->work, regrow_work);
	owed->task = task;
	owed->state = XFD_LISTED;
	raw_spin_lock(&xfd_owed_lock);
	list_add_tail(&owed->list, &xfd_owed_tasks);
	raw_spin_unlock(&xfd_owed_lock);
	/* It is held, and cannot run the work before the caller has taken its buffer. */
	if (!task_work_add(task, &owed->work, TWA_RESUME)) {
		atomic_inc(&xfd_owed_count);
		return true;
	}
	raw_spin_lock(&xfd_owed_lock);
	list_del(&owed->list);
	raw_spin_unlock(&xfd_owed_lock);
	return false;
}

bool xfd_is_owed(struct task_struct *task)
{
	struct callback_head *work = READ_ONCE(task->task_works);

	/*
	 * With pi_lock held nobody takes a work off, and task_work_run(), which takes all, waits before it runs one.
	 * It is one of a few that a task has, and of so many only if it is on its way to it: closing files, each of
	 * which is one more, as many as its user likes.
	 */
	for (int scanned = 0; work && scanned < 256; scanned++, work = READ_ONCE(work->next))
		if (READ_ONCE(work->func) == regrow_work)
			return true;
	return false;
}

struct xfd_owed *xfd_claim_owed(void)
{
	struct xfd_owed *owed;

	raw_spin_lock_irq(&xfd_owed_lock);
	owed = list_first_entry_or_null(&xfd_owed_tasks, struct xfd_owed, list);
	if (owed) {
		list_del(&owed->list);
		owed->state = XFD_CLAIMED;
		get_task_struct(owed->task);
	}
	raw_spin_unlock_irq(&xfd_owed_lock);
	return owed;
}

struct offer {
	struct xfd_owed *owed;
	void *buffer;
};

static int give(struct task_struct *task, void *data)
{
	struct offer *offer = data;
	bool done;
	u64 permitted;

	/* Its work ran while the buffer was waited for: it may be in the kernel's FPU code. */
	raw_spin_lock(&xfd_owed_lock);
	done = offer->owed->state == XFD_DONE;
	raw_spin_unlock(&xfd_owed_lock);
	if (done)
		return true;
	/* It needs none, and its group leader may be gone. It may run, and write its flags. */
	if (READ_ONCE(task->flags) & PF_EXITING)
		return true;
	/* It is on its way to its work, and may be anywhere in the kernel's FPU code. */
	if (READ_ONCE(task->on_cpu) || READ_ONCE(task->__state) == TASK_RUNNING)
		return false;
	/* Held and not exiting, it is not released, and its leader is not before it. */
	rcu_read_lock();
	permitted = READ_ONCE(fpu_of(READ_ONCE(task->group_leader))->perm.__state_perm);
	rcu_read_unlock();
	xfd_give_held(task, permitted, offer->buffer);
	return true;
}

/* What becomes of a claimed entry, the work of which was not cancelled. Whether it is the caller's to free. */
static bool is_over(struct xfd_owed *owed, bool served)
{
	bool mine;

	raw_spin_lock_irq(&xfd_owed_lock);
	mine = owed->state == XFD_DONE;
	if (!mine && served) {
		/*
		 * task_work_run() has read the function, or will read this one; and then it may be gone at once.
		 */
		owed->state = XFD_DETACHED;
		atomic_dec(&xfd_owed_count);
		smp_store_release(&owed->work.func, (void *)kfree);
		static_assert(!offsetof(struct xfd_owed, work));
	} else if (!mine) {
		/* One that cannot be served now is not in the way of the others. */
		owed->state = XFD_LISTED;
		list_add_tail(&owed->list, &xfd_owed_tasks);
	}
	raw_spin_unlock_irq(&xfd_owed_lock);
	return mine;
}

void xfd_give_to(struct xfd_owed *owed, void *buffer)
{
	struct task_struct *task = owed->task;
	struct offer offer = { .owed = owed, .buffer = buffer };
	bool served = static_call(xfd_gate_task_call_func)(task, give, &offer);

	/* No task has two. */
	if (served && static_call(xfd_gate_task_work_cancel_func)(task, regrow_work)) {
		atomic_dec(&xfd_owed_count);
		kfree(owed);
	} else if (is_over(owed, served)) {
		kfree(owed);
	} else if (!served) {
		/* It runs its work now, or will when it has done what it does in the kernel. */
		swait_event_idle_timeout_exclusive(xfd_owed_wait, list_empty_careful(&xfd_owed_tasks), 1);
	}
	put_task_struct(task);
}
