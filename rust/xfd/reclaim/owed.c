// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks whose buffer was reclaimed and that must get one back.
 *
 * Each of them has a task_work. The task itself runs the work when it returns to user mode, before it
 * handles a signal or stops for a tracer (get_signal()), before it enters a virtual CPU, and when it
 * exits: always before anybody can see that its buffer is missing. So other tasks incur no extra cost, and
 * no kernel function has to be hooked.
 *
 * When the module is unloaded, it gives each of them a buffer from outside and cancels the work. A work
 * that task_work_run() has already taken off the task's list cannot be cancelled, and another work from
 * that list may sleep for as long as a user likes before this one runs. Such an entry is detached: its
 * function is changed from regrow_work() to the kernel's own kfree().
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

#include "../seam/calls.h"
#include "../seam/inside.h"
#include "../seam/task_fpu.h"
#include "owed.h"

/* kfree() is not a task_work_func_t, so CFI would reject the call for a detached entry. */
#if defined(MODULE) && (IS_ENABLED(CONFIG_CFI) || IS_ENABLED(CONFIG_CFI_CLANG))
#error "xfd does not work with control-flow integrity (CONFIG_CFI)"
#endif

#ifndef CONFIG_XFD_FAULTS
#define xfd_wait_at(point) do { } while (0)
#endif

/* Rust: regrow.rs */
void xfd_regrow_current(void);
void xfd_give_held(struct task_struct *task, u64 permitted, void *offer);

/* Protects the list and the states of its entries. Nests inside pi_lock. */
static DEFINE_RAW_SPINLOCK(xfd_owed_lock);
/* While an entry is on this list, its work is queued and its task exists. */
static LIST_HEAD(xfd_owed_tasks);
static DECLARE_SWAIT_QUEUE_HEAD(xfd_owed_wait);
/* The number of entries whose work has not run yet */
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
	/* An entry that was detached after this call began is no longer counted. */
	if (before != XFD_DETACHED)
		atomic_dec(&xfd_owed_count);

	/* A dying task needs no buffer, unless a tracer will look at it once more. */
	if (!(current->flags & PF_EXITING) && (!fatal_signal_pending(current) || READ_ONCE(current->ptrace)))
		xfd_regrow_current();

	/* A claimed entry is freed by whoever claimed it. */
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
	/* The task is held, so it cannot run the work before the caller has taken its buffer. */
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
	 * Nobody removes a work while pi_lock is held, and task_work_run(), which takes them all, takes
	 * pi_lock before it runs one. A task usually has only a few works. It has many only if it is about
	 * to run them and has closed many files, each of which adds one. A user can create arbitrarily
	 * many of these.
	 */
	for (int scanned = 0; work && scanned < 256; scanned++, work = READ_ONCE(work->next))
		if (READ_ONCE(work->func) == regrow_work)
			return true;
	return false;
}

#ifdef MODULE
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

	/* Its work ran while we waited for memory. The task may now be in the kernel's FPU code. */
	raw_spin_lock(&xfd_owed_lock);
	done = offer->owed->state == XFD_DONE;
	raw_spin_unlock(&xfd_owed_lock);
	if (done)
		return true;
	/* It needs no buffer, and its group leader may be gone. It may be running and changing its flags. */
	if (READ_ONCE(task->flags) & PF_EXITING)
		return true;
	/* It will run its work, and may now be anywhere in the kernel's FPU code. */
	if (READ_ONCE(task->on_cpu) || READ_ONCE(task->__state) == TASK_RUNNING)
		return false;
	/* It is held and not exiting, so neither it nor its leader is released. */
	rcu_read_lock();
	permitted = READ_ONCE(fpu_of(READ_ONCE(task->group_leader))->perm.__state_perm);
	rcu_read_unlock();
	xfd_give_held(task, permitted, offer->buffer);
	return true;
}

/* Decides the fate of a claimed entry whose work was not cancelled. Returns whether the caller must free it. */
static bool is_over(struct xfd_owed *owed, bool served)
{
	bool mine;

	raw_spin_lock_irq(&xfd_owed_lock);
	mine = owed->state == XFD_DONE;
	if (!mine && served) {
		/*
		 * task_work_run() has read the old function or will read the new one. From now on the
		 * entry may be freed at any moment.
		 */
		owed->state = XFD_DETACHED;
		atomic_dec(&xfd_owed_count);
		smp_store_release(&owed->work.func, (void *)kfree);
		static_assert(!offsetof(struct xfd_owed, work));
	} else if (!mine) {
		/* Put it back at the end, so that the others do not wait for it. */
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
	bool served = XFD_CALL(task_call_func)(task, give, &offer);

	/* A task has only one such work. */
	if (served && XFD_CALL(task_work_cancel_func)(task, regrow_work)) {
		atomic_dec(&xfd_owed_count);
		kfree(owed);
	} else if (is_over(owed, served)) {
		kfree(owed);
	} else if (!served) {
		/* It is running its work, or will do so when it leaves the kernel. */
		swait_event_idle_timeout_exclusive(xfd_owed_wait, list_empty_careful(&xfd_owed_tasks), 1);
	}
	put_task_struct(task);
}
#endif
