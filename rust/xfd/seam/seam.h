/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The C side of the seam as seen from Rust: gates into unexported functions, and wrappers around the
 * kernel's inline functions and macros. bindgen reads this file.
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
 * A gate is a static call that is bound at load time to a kernel function that modules cannot link to. A
 * function pointer would not work: the kernel has sealed the ENDBR of these functions, so an indirect call
 * to one dies under IBT. A bound gate is a direct call.
 */
struct xfd_gate {
	const char *symbol;
	struct static_call_key *key;
	void *trampoline;
};

/* All gates. The last entry has a NULL symbol. */
extern const struct xfd_gate xfd_gates[];

/* Binds @gate to the function at @address. May sleep. */
void xfd_gate_bind(const struct xfd_gate *gate, unsigned long address);

/* Returns the address of an unexported symbol, or 0 if there is none. Gate kallsyms_lookup_name. */
unsigned long xfd_gate_lookup(const char *symbol);
/* Raises a fault signal in current. Task context. Gate force_sig_fault. */
void xfd_gate_force_sig_fault(int sig, int code, unsigned long address);
/* Returns the faulting instruction's address as user space knows it. Gate uprobe_get_trap_addr. */
unsigned long xfd_gate_trap_address(struct pt_regs *regs);
/* Returns the size of the largest signal frame in bytes. Gate get_sigframe_size. */
unsigned long xfd_gate_sigframe_size(void);
/* Loads current's registers if they are not loaded. fpregs must be locked. Gate switch_fpu_return. */
void xfd_gate_load_fpregs(void);
/* Points @fpu at its built-in fpstate, with default masks and permissions. Gate fpstate_reset. */
void xfd_gate_reset_fpstate(struct fpu *fpu);
/*
 * Replaces the 5 bytes at @site on all CPUs if they are @old. Returns 0 or -EBUSY. Takes the CPU hotplug
 * lock and @text_mutex. May sleep. Gate smp_text_poke_single.
 */
int xfd_gate_poke5(void *site, const u8 old[5], const u8 new[5], struct mutex *text_mutex);
/* Returns the number of bytes from @function to the next symbol. Gate kallsyms_lookup_size_offset. */
unsigned long xfd_gate_size_of(unsigned long function);
/*
 * Finds the first functions named @name or @name.SUFFIX. Unused entries of @found are not written. Walks
 * all symbols. May sleep. Gate kallsyms_on_each_symbol.
 */
#define XFD_VARIANTS 4
void xfd_gate_find_variants(const char *name, unsigned long found[XFD_VARIANTS]);
/* Returns whether a livepatch currently replaces @function. Takes @klp_mutex. May sleep. Gate klp_find_ops. */
bool xfd_gate_is_livepatched(void *function, struct mutex *klp_mutex);

/* entry.c */
void xfd_nm_entry(struct pt_regs *regs);
extern atomic64_t xfd_ordinary_nm;

/* inside.c: the number of tasks in code of this module that may sleep, plus one while nobody is waiting for them */
extern atomic64_t xfd_inside;
extern bool xfd_waited_for;
/* Between these two calls the task is in this module's code and may sleep. */
void xfd_enter_counted(void);
void xfd_leave_counted(void);
/* Waits until no task is inside. Nothing may lead into the module any more. May sleep. */
void xfd_wait_for_inside(void);
/* Waits until each task has been outside trampolines and this module's text. May sleep. */
void xfd_synchronize_tasks(void);
/* Takes a reference to this module. Returns false if it is being removed. */
bool xfd_get_module(void);
/* Returns whether this module is being removed while somebody holds a reference to it (rmmod -f). */
bool xfd_is_force_removed(void);

/*
 * direct.c: start and stop redirecting the calls of @function, which is fpu_xstate_prctl(), to
 * xfd_fpu_xstate_prctl() (permission/query.c). Both return 0 or an errno, -EBUSY if somebody else uses the
 * function. Both may sleep.
 */
int xfd_direct_attach(unsigned long function);
int xfd_direct_detach(void);
/* The kernel's own function, which ours replaces. May sleep. */
long xfd_gate_kernels_prctl(int option, unsigned long arg2);

/*
 * area.c: @bytes zeroed bytes in a vmalloc area, on any node. Sleeps until there is memory; calls the OOM killer
 * only if reclaim has found none for half a second.
 */
void *xfd_zalloc_nofail(size_t bytes);

/*
 * shrinker.c: lets memory pressure shrink the pool (pool.rs). Registering returns 0 or -ENOMEM.
 * Unregistering waits for the callbacks, and does nothing if registering failed. Both may sleep.
 */
int xfd_shrinker_register(void);
void xfd_shrinker_unregister(void);
/* Parameter `pool`: the number of buffers that each CPU keeps */
extern unsigned int xfd_pool;

/*
 * exit.c: start and stop calling xfd_before_exit() (exit.rs). Both return 0 or an errno. The third
 * function waits until nobody is in it. All may sleep.
 */
int xfd_exit_watch(void *tracepoint);
int xfd_exit_unwatch(void *tracepoint);
void xfd_exit_synchronize(void);

/* holders.h: looks up the functions in which a task is not touched. Returns the name of a missing one, or NULL. */
const char *xfd_find_holders(void);
/*
 * Checks all sleeping tasks that have an enlarged buffer, and takes the buffer of those for which
 * xfd_is_reclaimable() (pass.rs) returns true. Ends early when @stop becomes true. May sleep.
 */
void xfd_scan_tasks(void *pass, const bool *stop);

/* owed.c: claims a task whose buffer was reclaimed and that has not got one back. NULL if there is none. */
struct xfd_owed *xfd_claim_owed(void);
/*
 * Calls xfd_give_held(task, permission, @buffer) with @owed's task held, if it sleeps. Otherwise waits for
 * it briefly. @owed must have been claimed. May sleep.
 */
void xfd_give_to(struct xfd_owed *owed, void *buffer);

/* kernel_tiles.c: kernel_fpu_begin(), or -EBUSY where that is not allowed; kernel_fpu_end(). */
int xfd_kernel_fpu_begin(void);
void xfd_kernel_fpu_end(void);

/*
 * background.c: start and stop calling xfd_background_pass() once per interval. Stopping does not wait for
 * a running pass; the third function does. All may sleep.
 */
void xfd_background_start(void);
void xfd_background_stop(void);
void xfd_background_synchronize(void);
/* background.c: run a pass soon, if any run. May sleep */
void xfd_background_run(void);

/* finish.c: queues a work item that calls xfd_finish() (xfd_main.rs), and waits for that work item. */
void xfd_finish_queue(void);
void xfd_finish_flush(void);

/* resume.c: start and stop calling xfd_after_resume() (resume.rs). Both may sleep. */
void xfd_resume_watch(void);
void xfd_resume_unwatch(void);

/*
 * files.c: creates the folder /sys/kernel/debug/xfd, adds a file that shows xfd_number(@number)
 * (files.rs), and removes the folder, which waits for readers. All may sleep.
 */
struct dentry *xfd_files_make(void);
void xfd_file_add(struct dentry *dir, const char *name, const void *number);
void xfd_files_remove(struct dentry *dir);

/*
 * folder.c: creates /proc/xfd, whose file is written by xfd_show_numbers(@gauges) (procfs/mod.rs), or
 * returns NULL if there is no memory; and removes it. @dir may be NULL. Both may sleep.
 */
struct proc_dir_entry *xfd_proc_make(const void *gauges);
void xfd_proc_remove(struct proc_dir_entry *dir);
/* owed.c: the number of threads whose buffer is currently reclaimed */
extern atomic_t xfd_owed_count;
/* Returns CLOCK_BOOTTIME in milliseconds. */
u64 xfd_boottime_ms(void);

/* Wrappers around macros and inline functions */
bool xfd_cpu_has_xfd(void);
bool xfd_cpu_has_fred(void);
bool xfd_cpu_compacts(void);
bool xfd_cpu_is_xen_pv(void);
bool xfd_cpu_is_online(unsigned int cpu);
struct fpu *xfd_task_fpu(struct task_struct *task);
/* Returns the struct fpu of current's group leader, which holds the permissions. */
struct fpu *xfd_group_fpu(void);
/* Makes current's signal frames show an #NM, which has no error code. */
void xfd_note_nm(void);
void xfd_irq_enable(void);
void xfd_irq_disable(void);
void xfd_siglock_current(void);
void xfd_sigunlock_current(void);
void xfd_fpregs_lock(void);
void xfd_fpregs_unlock(void);
bool xfd_fpregs_in_memory(void);
void xfd_set_fpregs_in_memory(void);
/* Returns whether a thread of current's process has an altstack smaller than @bytes. siglock must be held. */
bool xfd_altstack_below(unsigned long bytes);

#ifdef CONFIG_XFD_FAULTS
/* faults.c: how many more allocations will fail */
extern atomic64_t xfd_fail_allocations;
/* insmod parameter: the loading step that fails; 0 for none */
extern int xfd_fail_step;
/* insmod parameter: look for FRED's call of the handler as on a CPU with FRED */
extern bool xfd_pretend_fred;
/* Parameter: nothing can be detached */
extern bool xfd_fail_detach;
/* insmod parameter: run background passes back to back, regardless of the interval */
extern bool xfd_eager;
/* The point in owed.c: a thread is about to get its buffer. The other points are in faults.rs. */
#define XFD_POINT_OWED 5
/* Waits while @point is the point to wait at. May sleep, even with signals pending. */
void xfd_wait_at(s64 point);
#endif

#endif
