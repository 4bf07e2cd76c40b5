/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What Rust sees of the C side of the seam: gates into unexported functions, and wrappers around
 * the kernel's inline functions and macros. bindgen reads it.
 */
#ifndef XFD_SEAM_H
#define XFD_SEAM_H

#include <linux/types.h>

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
extern atomic64_t xfd_in_flight;
/* Waits until no task is in the handler; nothing may enter it any more. Sleeps. */
void xfd_wait_for_handlers(void);

/* resume.c: whether xfd_after_resume() (resume.rs) is called. Sleep. */
void xfd_resume_watch(void);
void xfd_resume_unwatch(void);

/* Wrappers: what C has only as macros or inline functions. */
bool xfd_cpu_has_xfd(void);
bool xfd_cpu_compacts(void);
bool xfd_cpu_is_xen_pv(void);
struct fpu *xfd_task_fpu(struct task_struct *task);
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
/* faults.c: how often an allocation is to fail yet; the point at which tasks wait, 0 for none; the waiting ones */
extern atomic64_t xfd_fail_allocations;
extern atomic64_t xfd_hold;
extern atomic64_t xfd_held;
/* Parameter of insmod: the step of loading that fails, 0 for none. */
extern int xfd_fail_step;
/* Waits while @point is the one to wait at. Sleeps, whatever signals are pending. */
void xfd_wait_at(s64 point);
/* Makes @point, or with 0 none, the one to wait at; others go on. */
void xfd_hold_at(s64 point);
#endif

#endif
