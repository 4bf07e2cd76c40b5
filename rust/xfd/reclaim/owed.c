// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks whose buffers were reclaimed, and that are owed one.
 *
 * Each of them has a task_work. The task runs it itself when it returns to user mode, before it
 * handles a signal or stops for a tracer (get_signal()), before it enters a virtual CPU, and when it
 * exits: before anybody can see what it lacks. Nobody else pays for it, and no function of the
 * kernel has to be hooked for it.
 */
#include <linux/list.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/task_work.h>
#include <linux/wait.h>
#include <asm/fpu/types.h>

#include "../seam/gates.h"
#include "../seam/inside.h"
#include "../seam/task_fpu.h"
#include "owed.h"

/* Rust: regrow.rs */
void xfd_regrow_current(void);
void xfd_give_held(struct task_struct *task, u64 permitted, void *gift);

/* Guards the list. Inside of pi_lock. */
static DEFINE_RAW_SPINLOCK(xfd_owed_lock);
/* As long as an entry is on it, its work is queued or runs, and its task is there. */
static LIST_HEAD(xfd_owed_tasks);
static DECLARE_WAIT_QUEUE_HEAD(xfd_owed_wait);

static void forget(struct xfd_owed *owed)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&xfd_owed_lock, flags);
	list_del(&owed->list);
	raw_spin_unlock_irqrestore(&xfd_owed_lock, flags);
	kfree(owed);
	wake_up(&xfd_owed_wait);
}

static void pay(struct callback_head *work)
{
	struct xfd_owed *owed = container_of(work, struct xfd_owed, work);

	xfd_enter();
	/* Whoever dies needs none. */
	if (!(current->flags & PF_EXITING) && !fatal_signal_pending(current))
		xfd_regrow_current();
	forget(owed);
	xfd_leave();
}

struct xfd_owed *xfd_owed_alloc(void)
{
	return kmalloc(sizeof(struct xfd_owed), GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN);
}

bool xfd_owed_add(struct xfd_owed *owed, struct task_struct *task)
{
	init_task_work(&owed->work, pay);
	owed->task = task;
	raw_spin_lock(&xfd_owed_lock);
	list_add_tail(&owed->list, &xfd_owed_tasks);
	raw_spin_unlock(&xfd_owed_lock);
	/* It is held, and cannot run the work before the caller has taken its buffer. */
	if (!task_work_add(task, &owed->work, TWA_RESUME))
		return true;
	raw_spin_lock(&xfd_owed_lock);
	list_del(&owed->list);
	raw_spin_unlock(&xfd_owed_lock);
	return false;
}

struct task_struct *xfd_next_owed(void)
{
	struct xfd_owed *owed;
	struct task_struct *task = NULL;

	raw_spin_lock_irq(&xfd_owed_lock);
	owed = list_first_entry_or_null(&xfd_owed_tasks, struct xfd_owed, list);
	if (owed) {
		task = get_task_struct(owed->task);
		/* One that cannot be served now is not in the way of the others. */
		list_move_tail(&owed->list, &xfd_owed_tasks);
	}
	raw_spin_unlock_irq(&xfd_owed_lock);
	return task;
}

/* That of @task, which has one at most. */
static struct xfd_owed *find(struct task_struct *task)
{
	struct xfd_owed *owed, *found = NULL;

	raw_spin_lock_irq(&xfd_owed_lock);
	list_for_each_entry(owed, &xfd_owed_tasks, list)
		if (owed->task == task)
			found = owed;
	raw_spin_unlock_irq(&xfd_owed_lock);
	return found;
}

static int give(struct task_struct *task, void *gift)
{
	u64 permitted;

	/* It is on its way to its work. */
	if (READ_ONCE(task->on_cpu))
		return false;
	rcu_read_lock();
	permitted = READ_ONCE(fpu_of(READ_ONCE(task->group_leader))->perm.__state_perm);
	rcu_read_unlock();
	xfd_give_held(task, permitted, gift);
	return true;
}

void xfd_give_to(struct task_struct *task, void *gift)
{
	/*
	 * Nothing new is added meanwhile, so the address of an entry that is gone is not that of
	 * another. It is not looked at unless its work was cancelled, and then it is ours.
	 */
	struct xfd_owed *owed = find(task);
	bool served = static_call(xfd_gate_task_call_func)(task, give, gift);

	if (owed && served && static_call(xfd_gate_task_work_cancel)(task, &owed->work))
		forget(owed);
	else
		/* It runs its work now, or will when it has done what it does in the kernel. */
		wait_event_timeout(xfd_owed_wait, list_empty_careful(&xfd_owed_tasks), 1);
	put_task_struct(task);
}
