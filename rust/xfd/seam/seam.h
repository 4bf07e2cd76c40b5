/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What Rust sees of the C side of the seam: gates into unexported functions, and wrappers around
 * the kernel's inline functions and macros. bindgen reads it.
 */
#ifndef XFD_SEAM_H
#define XFD_SEAM_H

#include <linux/types.h>

struct fpstate;
struct fpu;
struct mutex;
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
/* Takes the FPU registers, saved in current's fpstate if they were loaded. Gate save_fpregs_to_fpstate. */
void xfd_gate_fpregs_lock_and_save(void);
/*
 * Gives them back as current's, loaded from @state with its XFD, unless it is NULL. Gates
 * restore_fpregs_from_fpstate, fpregs_mark_activate.
 */
void xfd_gate_fpregs_restore_and_unlock(struct fpstate *state);
/* Makes the register image of @state the initial one. Gate fpstate_init_user. */
void xfd_gate_init_fpstate(struct fpstate *state);
/* Loads current's registers if they are not loaded; fpregs held. Gate switch_fpu_return. */
void xfd_gate_load_fpregs(void);
/* Points @fpu at its built-in fpstate with default masks and permissions. Gate fpstate_reset. */
void xfd_gate_reset_fpstate(struct fpu *fpu);
/*
 * Replaces the 5 bytes at @site on all CPUs. Gate smp_text_poke_single; takes the CPU hotplug
 * lock and @text_mutex, sleeps.
 */
void xfd_gate_poke5(void *site, const u8 opcode[5], struct mutex *text_mutex);
/* Whether a livepatch replaces @function now. Gate klp_find_ops; takes @klp_mutex, sleeps. */
bool xfd_gate_is_livepatched(void *function, struct mutex *klp_mutex);


/* entry.c */
void xfd_nm_entry(struct pt_regs *regs);
extern atomic64_t xfd_ordinary_nm;
/* Tasks that are in this module's code and may sleep, and one more unless they are waited for. */
extern atomic64_t xfd_in_flight;
extern bool xfd_waited_for;
/* In this module's code from the one to the other, where the task may sleep. */
void xfd_enter_counted(void);
void xfd_leave_counted(void);
/* Waits until no task is in the handler; nothing may enter it any more. Sleeps. */
void xfd_wait_for_handlers(void);

/* Functions that are taken over together. */
enum xfd_direct_group {
	XFD_HOST,	/* of tasks */
	XFD_GUEST,	/* of virtual CPUs */
	XFD_KVM,	/* in kvm.ko */
	XFD_KVM_INTEL,	/* in kvm-intel.ko */
};

/*
 * direct.c: a kernel function that is called by way of this module, since ftrace's call at its
 * beginning leads straight to @trampoline. What a livepatch does costs a hundred instructions a
 * call; this costs three.
 */
struct xfd_direct {
	const char *symbol;
	enum xfd_direct_group group;
	void (*trampoline)(void);
};

/* All of them; the last has a NULL symbol. */
extern const struct xfd_direct xfd_directs[];
/*
 * Attaches all of @group, or none. Sleeps, one at a time. Returns 0, -ENOENT if there is no such
 * function, -ENODEV if ftrace has no place in it, -EBUSY if somebody else has it, or -ENOMEM; @failed is
 * the one, or NULL.
 */
int xfd_direct_attach(enum xfd_direct_group group, const struct xfd_direct **failed);
/* Nobody enters by those of @group any more. Nothing if they are not attached. Sleeps. */
void xfd_direct_detach(enum xfd_direct_group group);
/* Waits until nobody is in a trampoline or runs ours without being counted. Sleeps. */
void xfd_direct_synchronize(void);

/*
 * shrinker.c: whether memory pressure reaches the pool (pool.rs). Sleep; the first returns 0 or
 * -ENOMEM, the second waits for the callbacks, and does nothing if there was no first.
 */
int xfd_shrinker_register(void);
void xfd_shrinker_unregister(void);
/* Parameter `pool`: buffers that each CPU keeps. */
extern unsigned int xfd_pool;

/* exit.c: whether xfd_before_exit() (exit.rs) is called. Sleep; the first returns an errno. */
int xfd_exit_watch(void *tracepoint);
void xfd_exit_unwatch(void *tracepoint);

/* tasks.c: calls xfd_consider(task, @pass) for each with an enlarged buffer, in an RCU section. */
void xfd_each_enlarged_task(void *pass);
/* Finds the functions that hold an fpstate; returns the name of one that is not there, or NULL. */
const char *xfd_find_holders(void);
/*
 * Holds @task where it is; if it does not run and nobody has to do with its registers, calls
 * xfd_look_at_blocked(@task, @look), interrupts off. Returns its CPU if it runs on one that may be
 * disturbed, else -1.
 */
int xfd_look_at_task(struct task_struct *task, void *look);

/* regrow.c: bytes of user_size of a task that has not used dynamic components */
extern unsigned int xfd_default_user_size;

/* kernel_tiles.c: kernel_fpu_begin(), or -EBUSY where there is none; kernel_fpu_end(). */
int xfd_kernel_fpu_begin(void);
void xfd_kernel_fpu_end(void);

/*
 * kvm.c: from watch to unwatch, calls xfd_kvm_came() and xfd_kvm_goes() (kvm_modules.rs) when a
 * module of KVM's does, one at a time; at first for those that are there. Sleep.
 */
int xfd_kvm_watch(void);
void xfd_kvm_unwatch(void);
/* A virtual CPU that has not got what it was promised keeps this module here. False if it goes. */
bool xfd_get_module(void);
void xfd_put_module(void);

/* background.c: whether xfd_background_pass() is called once an interval. Sleep. */
void xfd_background_start(void);
void xfd_background_stop(void);

/* resume.c: whether xfd_after_resume() (resume.rs) is called. Sleep. */
void xfd_resume_watch(void);
void xfd_resume_unwatch(void);

/* Wrappers: what C has only as macros or inline functions. */
bool xfd_cpu_has_xfd(void);
bool xfd_cpu_compacts(void);
bool xfd_cpu_is_xen_pv(void);
bool xfd_cpu_is_online(unsigned int cpu);
struct fpu *xfd_task_fpu(struct task_struct *task);
struct fpu *xfd_current_fpu(void);
/* That of current's group leader, which holds the permissions. */
struct fpu *xfd_group_fpu(void);
void xfd_irq_enable(void);
void xfd_irq_disable(void);
void xfd_siglock_current(void);
void xfd_sigunlock_current(void);
void xfd_fpregs_lock(void);
void xfd_fpregs_unlock(void);
/* Writes @value to current's memory; counted as being in this module. 0 or -EFAULT. Sleeps. */
long xfd_put_user(u64 value, unsigned long address);
bool xfd_fpregs_in_memory(void);
void xfd_set_fpregs_in_memory(void);
/* Whether a thread of current's process has an altstack of less than @bytes; siglock held. */
bool xfd_altstack_below(unsigned long bytes);

#ifdef CONFIG_XFD_FAULTS
/* faults.c: how often an allocation is to fail yet; the point at which tasks wait, 0 for none; the waiting ones */
extern atomic64_t xfd_fail_allocations;
extern atomic64_t xfd_hold;
extern atomic64_t xfd_held;
/* Parameter of insmod: the step of loading that fails, 0 for none. */
extern int xfd_fail_step;
/* Another: background passes follow each other at once, whatever the interval. */
extern bool xfd_eager;
/* Waits while @point is the one to wait at. Sleeps, whatever signals are pending. */
void xfd_wait_at(s64 point);
/* Makes @point, or with 0 none, the one to wait at; others go on. */
void xfd_hold_at(s64 point);
#endif

#endif
