// SPDX-License-Identifier: GPL-2.0
/*
 * The rows of /proc/xfd/tasks: threads that use, or may use, dynamic xfeatures. Nothing is stored for
 * them. Each row is read from the task while the scheduler's locks hold it in place, for a few dozen
 * instructions. A running task keeps running, in which case the contents of its buffer are not known.
 */
#include <linux/cgroup.h>
#include <linux/cred.h>
#include <linux/pid_namespace.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <linux/string_helpers.h>
#include <linux/uaccess.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xstate.h>

#include "../reclaim/owed.h"
#include "../seam/gates.h"
#include "../seam/task_fpu.h"
#include "../seam/walk.h"
#include "threads.h"

enum state { NONE, PERMITTED, RUNNING, LIVE, IDLE, RECLAIMED };

static const char * const names[] = {
	[NONE] = "none", [PERMITTED] = "permitted", [RUNNING] = "running",
	[LIVE] = "live", [IDLE] = "idle", [RECLAIMED] = "reclaimed",
};

struct row {
	pid_t pid, tid;
	enum state state;
	u64 permitted, guest_permitted;
	size_t bytes, guest_bytes;
	u64 since_ms, cgroup;
	char comm[TASK_COMM_LEN];
};

struct walk {
	/* Of the task that opened the file */
	struct pid_namespace *ns;
	const struct cred *cred;
	struct row row;
};

/* The members of an fpstate that are read */
struct head {
	unsigned int size;
	u64 xfeatures, in_use;
};

/*
 * If its task is running, @state may be freed at any moment. So it is read with functions that tolerate an
 * unmapped address, and the caller then checks that the task still has it.
 */
static bool read_head(const struct fpstate *state, struct head *head)
{
	return !copy_from_kernel_nofault(&head->size, &state->size, sizeof(head->size)) &&
	       !copy_from_kernel_nofault(&head->xfeatures, &state->xfeatures, sizeof(head->xfeatures)) &&
	       !copy_from_kernel_nofault(&head->in_use, &state->regs.xsave.header.xfeatures, sizeof(head->in_use));
}

/* Reads the permissions of @task's process. Called in an RCU section, so its leader is not freed. */
static void read_permissions(struct task_struct *task, struct row *row)
{
	struct fpu *leader = fpu_of(READ_ONCE(task->group_leader));

	row->permitted = READ_ONCE(leader->perm.__state_perm) & XFEATURE_MASK_USER_SUPPORTED;
	row->guest_permitted = READ_ONCE(leader->guest_perm.__state_perm) & XFEATURE_MASK_USER_SUPPORTED;
}

/* Returns the size of an enlarged buffer in bytes, or 0 for a built-in one. */
static size_t memory_of(const struct head *head)
{
	return head->xfeatures & XFEATURE_MASK_USER_DYNAMIC ? buffer_memory(head->size) : 0;
}

/* Fills @row. Returns whether no buffer was exchanged in the meantime. @task is held. */
static bool try_snapshot(struct task_struct *task, struct row *row)
{
	struct fpu *fpu = fpu_of(task);
	struct fpstate *aside = READ_ONCE(fpu->__task_fpstate), *in_place, *own;
	struct head guests = { }, owns = { };

	smp_rmb();
	in_place = READ_ONCE(fpu->fpstate);
	/* It is starting or ceasing to run a vCPU: fpu_swap_kvm_fpstate() has written only one of the two. */
	if (in_place == aside)
		return false;
	own = aside ?: in_place;
	if (aside && !read_head(in_place, &guests))
		return false;
	if (own != &fpu->__fpstate && !read_head(own, &owns))
		return false;
	smp_rmb();
	if (READ_ONCE(fpu->fpstate) != in_place)
		return false;
	smp_rmb();
	if (READ_ONCE(fpu->__task_fpstate) != aside)
		return false;

	row->guest_bytes = memory_of(&guests);
	if (own == &fpu->__fpstate) {
		/* A task that has called exec since its buffer was reclaimed does not get another one. */
		row->state = !(row->permitted & XFEATURE_MASK_USER_DYNAMIC) ? NONE :
			     xfd_is_owed(task) ? RECLAIMED : PERMITTED;
		return true;
	}
	row->bytes = memory_of(&owns);
	row->state = READ_ONCE(task->on_cpu) ? RUNNING :
		     owns.in_use & XFEATURE_MASK_USER_DYNAMIC ? LIVE : IDLE;
	return true;
}

/* Returns whether @task is alive. A task that is exchanging its buffers does that once or twice: try again. */
static int take_snapshot(struct task_struct *task, void *row)
{
	guard(rcu)();
	/* A task that is not exiting now is not released before the end of this RCU section. */
	if (READ_ONCE(task->flags) & PF_EXITING)
		return false;
	/* It may have called exec since it was found. */
	read_permissions(task, row);
	for (int tries = 0; tries < 16; tries++)
		if (try_snapshot(task, row))
			return true;
	/* It was interrupted between the two writes. */
	((struct row *)row)->state = RUNNING;
	return true;
}

/*
 * Returns whether @task may be worth a row. Nothing is locked, so everything is checked again later. @task
 * was found alive in this RCU section, so its leader, which is released after it, still exists.
 */
static bool is_candidate(struct task_struct *task)
{
	struct fpu *fpu = fpu_of(task);
	struct row row;

	if (READ_ONCE(task->flags) & (PF_KTHREAD | PF_USER_WORKER | PF_EXITING))
		return false;
	read_permissions(task, &row);
	return READ_ONCE(fpu->fpstate) != &fpu->__fpstate ||
	       (row.permitted | row.guest_permitted) & XFEATURE_MASK_USER_DYNAMIC;
}

static u64 cgroup_of(struct task_struct *task)
{
#ifdef CONFIG_CGROUPS
	guard(rcu)();
	return cgroup_id(task_dfl_cgroup(task));
#else
	return 0;
#endif
}

static u64 since_ms(struct task_struct *task)
{
#ifdef CONFIG_SCHED_INFO
	s64 since = local_clock() - READ_ONCE(task->sched_info.last_arrival);

	return since > 0 ? div_u64(since, NSEC_PER_MSEC) : 0;
#else
	return 0;
#endif
}

/* Returns whether the task that opened the file may see @task. May sleep on PREEMPT_RT. */
static bool is_shown(struct task_struct *task, const struct walk *walk)
{
	const struct cred *before = override_creds(walk->cred);
	bool shown = static_call(xfd_gate_ptrace_may_access)(task, PTRACE_MODE_READ_FSCREDS | PTRACE_MODE_NOAUDIT);

	revert_creds(before);
	return shown;
}

/* Fills in the row for the thread found as @tid. Returns whether there is one. */
static bool make_row(struct task_struct *task, pid_t tid, const struct walk *walk, struct row *row)
{
	*row = (struct row) { };
	if (!is_shown(task, walk) || !static_call(xfd_gate_task_call_func)(task, take_snapshot, row))
		return false;
	/* Among all tasks that run a vCPU, show only those that may run one with tiles. */
	if (row->state == NONE && !row->guest_bytes && !(row->guest_permitted & XFEATURE_MASK_USER_DYNAMIC))
		return false;
	row->tid = tid;
	row->pid = task_tgid_nr_ns(task, walk->ns);
	row->since_ms = since_ms(task);
	row->cgroup = cgroup_of(task);
	get_task_comm(row->comm, task);
	/*
	 * A thread that has exited no longer has a number, although its process may live on. A thread that
	 * has called exec has its leader's number, which has already had its turn.
	 */
	return task_pid_nr_ns(task, walk->ns) == tid;
}

/* Returns the first row at or after *@position, and moves *@position to it. Leaves it alone if there is none. */
static struct row *next_row(struct walk *walk, loff_t *position)
{
	int nr = *position > INT_MAX ? 0 : *position;

	/* A system may have millions of threads, so a killed reader stops reading. */
	while (nr && !fatal_signal_pending(current)) {
		struct task_struct *task = xfd_next_task(&nr, walk->ns, is_candidate);
		bool made;

		cond_resched();
		if (!task)
			continue;
		made = make_row(task, nr, walk, &walk->row);
		put_task_struct(task);
		if (made) {
			*position = nr;
			return &walk->row;
		}
		nr++;
	}
	return NULL;
}

/* Position 0 is the header. Any other is the first thread ID to check, and stays beyond the last row. */
static void *start(struct seq_file *seq, loff_t *position)
{
	return *position ? next_row(seq->private, position) : SEQ_START_TOKEN;
}

static void *next(struct seq_file *seq, void *shown, loff_t *position)
{
	++*position;
	return next_row(seq->private, position);
}

static void stop(struct seq_file *seq, void *shown)
{
}

static int show(struct seq_file *seq, void *shown)
{
	const struct row *row = shown;

	if (shown == SEQ_START_TOKEN) {
		seq_puts(seq, "pid tid state permitted guest_permitted bytes guest_bytes since_ms cgroup comm\n");
		return 0;
	}
	seq_printf(seq, "%d %d %s %#llx %#llx %zu %zu %llu %llu ", row->pid, row->tid, names[row->state],
		   row->permitted, row->guest_permitted, row->bytes, row->guest_bytes, row->since_ms, row->cgroup);
	seq_escape_mem(seq, row->comm, strlen(row->comm), ESCAPE_OCTAL | ESCAPE_NAP | ESCAPE_APPEND, "\\");
	seq_putc(seq, '\n');
	return 0;
}

static const struct seq_operations rows = { .start = start, .next = next, .stop = stop, .show = show };

int xfd_threads_open(struct file *file)
{
	struct walk *walk = __seq_open_private(file, &rows, sizeof(*walk));

	if (!walk)
		return -ENOMEM;
	walk->ns = get_pid_ns(task_active_pid_ns(current));
	walk->cred = file->f_cred;
	return 0;
}

int xfd_threads_release(struct inode *inode, struct file *file)
{
	struct walk *walk = ((struct seq_file *)file->private_data)->private;

	put_pid_ns(walk->ns);
	return seq_release_private(inode, file);
}
