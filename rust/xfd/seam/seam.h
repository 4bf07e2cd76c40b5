/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What Rust sees of the C side of the seam: gates into unexported functions, and wrappers around
 * the kernel's inline functions and macros. bindgen reads it.
 */
#ifndef XFD_SEAM_H
#define XFD_SEAM_H

#include <linux/types.h>

struct dentry;
struct fpstate;
struct fpu;
struct mutex;
struct proc_dir_entry;
struct pt_regs;
struct task_struct;

/*
 * A gate: a static call that is bound at load time to a kernel function that modules cannot link
 * to. A plain function pointer will not do: the kernel has sealed the ENDBR of these functions,
 * and an indirect call to one dies under IBT. A bound gate is a direct call.
 */
struct xfd_gate {
	const char *symbol;
	struct static_call_key *key;
	void *trampoline;
};

/* All gates; the last has a NULL symbol. */
extern const struct xfd_gate xfd_gates[];

/* Binds @gate to @address. Sleeps. */
void xfd_gate_bind(const struct xfd_gate *gate, unsigned long address);

/* Address of an unexported symbol, 0 if there is none. Gate kallsyms_lookup_name. */
unsigned long xfd_gate_lookup(const char *symbol);
/* Raises a fault signal in current. Gate force_sig_fault. */
void xfd_gate_force_sig_fault(int sig, int code, unsigned long address);
/* Faulting instruction of current as user space knows it. Gate uprobe_get_trap_addr. */
unsigned long xfd_gate_trap_address(struct pt_regs *regs);
/* Bytes of the largest signal frame. Gate get_sigframe_size. */
unsigned long xfd_gate_sigframe_size(void);
/* Loads current's registers if they are not loaded; fpregs held. Gate switch_fpu_return. */
void xfd_gate_load_fpregs(void);
/* Points @fpu at its built-in fpstate with default masks and permissions. Gate fpstate_reset. */
void xfd_gate_reset_fpstate(struct fpu *fpu);
/*
 * Exchanges the 5 bytes at @site on all CPUs, if they are @old. 0 or -EBUSY. Gate
 * smp_text_poke_single; takes the CPU hotplug lock and @text_mutex, sleeps.
 */
int xfd_gate_poke5(void *site, const u8 old[5], const u8 new[5], struct mutex *text_mutex);
/* Bytes from @function to the next symbol. Gate kallsyms_lookup_size_offset. */
unsigned long xfd_gate_size_of(unsigned long function);
/*
 * The functions called @name or @name.SUFFIX, the first of them if there are more; the rest of @found is
 * left alone. Looks at every symbol. Gate kallsyms_on_each_symbol; sleeps.
 */
#define XFD_VARIANTS 4
void xfd_gate_find_variants(const char *name, unsigned long found[XFD_VARIANTS]);
/* Whether a livepatch replaces @function now. Gate klp_find_ops; takes @klp_mutex, sleeps. */
bool xfd_gate_is_livepatched(void *function, struct mutex *klp_mutex);

/* entry.c */
void xfd_nm_entry(struct pt_regs *regs);
extern atomic64_t xfd_ordinary_nm;

/* inside.c: tasks that are in this module's code and may sleep, and one more unless they are waited for. */
extern atomic64_t xfd_inside;
extern bool xfd_waited_for;
/* In this module's code from the one to the other, where the task may sleep. */
void xfd_enter_counted(void);
void xfd_leave_counted(void);
/* Waits until no task is inside; nothing may lead into the module any more. Sleeps. */
void xfd_wait_for_inside(void);
/* Waits until each task has been elsewhere than in a trampoline, or in this module's text. Sleeps. */
void xfd_synchronize_tasks(void);
/* A reference to this module. False if it is on its way out. */
bool xfd_get_module(void);
/* Whether it is being removed although somebody holds one (rmmod -f). */
bool xfd_is_force_removed(void);

/*
 * direct.c: the calls of @function, which is fpu_xstate_prctl(), come to xfd_fpu_xstate_prctl()
 * (permission/query.c). Sleep. 0 or an errno; -EBUSY if somebody else has it.
 */
int xfd_direct_attach(unsigned long function);
int xfd_direct_detach(void);
/* The kernel's own, for which ours stands. Sleeps. */
long xfd_gate_kernels_prctl(int option, unsigned long arg2);

/*
 * shrinker.c: whether memory pressure reaches the pool (pool.rs). Sleep; the first returns 0 or
 * -ENOMEM, the second waits for the callbacks, and does nothing if there was no first.
 */
int xfd_shrinker_register(void);
void xfd_shrinker_unregister(void);
/* Parameter `pool`: buffers that each CPU keeps. */
extern unsigned int xfd_pool;

/*
 * exit.c: whether xfd_before_exit() (exit.rs) is called. Sleep; an errno, or 0. The third waits
 * until nobody is in it.
 */
int xfd_exit_watch(void *tracepoint);
int xfd_exit_unwatch(void *tracepoint);
void xfd_exit_synchronize(void);

/* tasks.c: finds the functions in which a task is left alone; the name of one that is not there, or NULL. */
const char *xfd_find_holders(void);
/*
 * Looks at all tasks with an enlarged buffer, and takes those that xfd_is_reclaimable() (pass.rs) says of a task
 * that sleeps and is held. Sleeps; ends early when @stop becomes true.
 */
void xfd_scan_tasks(void *pass, const bool *stop);

/* owed.c: of a task whose buffer was taken and that has not got one again; NULL if there is none. */
struct xfd_owed *xfd_claim_owed(void);
/*
 * Holds the task of @owed, which was claimed, where it is, and calls xfd_give_held(task, permission,
 * @buffer) if it sleeps; or waits a little for it. Sleeps.
 */
void xfd_give_to(struct xfd_owed *owed, void *buffer);

/* kernel_tiles.c: kernel_fpu_begin(), or -EBUSY where there is none; kernel_fpu_end(). */
int xfd_kernel_fpu_begin(void);
void xfd_kernel_fpu_end(void);

/*
 * background.c: whether xfd_background_pass() is called once an interval. The second does not wait
 * for a pass that runs, the third does. Sleep.
 */
void xfd_background_start(void);
void xfd_background_stop(void);
void xfd_background_synchronize(void);

/* finish.c: calls xfd_finish() (xfd_main.rs) from a worker of the kernel's; and waits for that. */
void xfd_finish_queue(void);
void xfd_finish_flush(void);

/* resume.c: whether xfd_after_resume() (resume.rs) is called. Sleep. */
void xfd_resume_watch(void);
void xfd_resume_unwatch(void);

/*
 * files.c: the folder /sys/kernel/debug/xfd, and a file in it that shows what xfd_number(@number) (files.rs)
 * says; and their end, for which who reads is waited for. Sleep.
 */
struct dentry *xfd_files_make(void);
void xfd_file_add(struct dentry *dir, const char *name, const void *number);
void xfd_files_remove(struct dentry *dir);

/*
 * folder.c: /proc/xfd, where xfd_show_numbers(@gauges) (procfs/mod.rs) writes a file; NULL without memory. The
 * second may be called with NULL. Sleep.
 */
struct proc_dir_entry *xfd_proc_make(const void *gauges);
void xfd_proc_remove(struct proc_dir_entry *dir);
/* owed.c: threads whose buffer is reclaimed. */
extern atomic_t xfd_owed_count;
/* CLOCK_BOOTTIME in milliseconds. */
u64 xfd_boottime_ms(void);

/* Wrappers: what C has only as macros or inline functions. */
bool xfd_cpu_has_xfd(void);
bool xfd_cpu_has_fred(void);
bool xfd_cpu_compacts(void);
bool xfd_cpu_is_xen_pv(void);
bool xfd_cpu_is_online(unsigned int cpu);
struct fpu *xfd_task_fpu(struct task_struct *task);
/* That of current's group leader, which holds the permissions. */
struct fpu *xfd_group_fpu(void);
/* What the signal frame of current says of the exception: #NM, which has no error code. */
void xfd_note_nm(void);
void xfd_irq_enable(void);
void xfd_irq_disable(void);
void xfd_siglock_current(void);
void xfd_sigunlock_current(void);
void xfd_fpregs_lock(void);
void xfd_fpregs_unlock(void);
bool xfd_fpregs_in_memory(void);
void xfd_set_fpregs_in_memory(void);
/* Whether a thread of current's process has an altstack of less than @bytes; siglock held. */
bool xfd_altstack_below(unsigned long bytes);

#ifdef CONFIG_XFD_FAULTS
/* faults.c: how often an allocation is to fail yet */
extern atomic64_t xfd_fail_allocations;
/* Parameter of insmod: the step of loading that fails, 0 for none. */
extern int xfd_fail_step;
/* Another: FRED's call is looked for as on a CPU with FRED. */
extern bool xfd_pretend_fred;
/* Another: nothing can be detached. */
extern bool xfd_fail_detach;
/* Another: background passes follow each other at once, whatever the interval. */
extern bool xfd_eager;
/* The point in owed.c: a thread is about to get its buffer. The others are in faults.rs. */
#define XFD_POINT_OWED 5
/* Waits while @point is the one to wait at. Sleeps, whatever signals are pending. */
void xfd_wait_at(s64 point);
#endif

#endif
