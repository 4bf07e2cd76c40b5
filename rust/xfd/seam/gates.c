// SPDX-License-Identifier: GPL-2.0
/*
 * The gates: static calls to kernel functions that modules cannot link to (seam.h says why).
 */
#include <linux/cpu.h>
#include <linux/elf.h>
#include <linux/entry-common.h>
#include <linux/kallsyms.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/static_call.h>
#include <linux/uprobes.h>
#include <asm/fpu/api.h>
#include <asm/fpu/xstate.h>
#include <asm/text-patching.h>

#include "gates.h"
#include "seam.h"

#define XFD_DEFINE_GATE(symbol) DEFINE_STATIC_CALL_NULL(xfd_gate_##symbol, symbol);
XFD_GATES(XFD_DEFINE_GATE)

#define XFD_GATE_ENTRY(symbol) \
	{ #symbol, &STATIC_CALL_KEY(xfd_gate_##symbol), STATIC_CALL_TRAMP_ADDR(xfd_gate_##symbol) },

const struct xfd_gate xfd_gates[] = {
	XFD_GATES(XFD_GATE_ENTRY)
	{ }
};

void xfd_gate_bind(const struct xfd_gate *gate, unsigned long address)
{
	__static_call_update(gate->key, gate->trampoline, (void *)address);
}

unsigned long xfd_gate_lookup(const char *symbol)
{
	return static_call(xfd_gate_kallsyms_lookup_name)(symbol);
}

void xfd_gate_force_sig_fault(int sig, int code, unsigned long address)
{
	static_call(xfd_gate_force_sig_fault)(sig, code, (void __user *)address);
}

unsigned long xfd_gate_trap_address(struct pt_regs *regs)
{
	return static_call(xfd_gate_uprobe_get_trap_addr)(regs);
}

unsigned long xfd_gate_sigframe_size(void)
{
	return static_call(xfd_gate_get_sigframe_size)();
}

void xfd_gate_load_fpregs(void)
{
	static_call(xfd_gate_switch_fpu_return)();
}

/* Two for all that a swap of registers takes: a virtual CPU's thread does it at each KVM_RUN. */
notrace void xfd_gate_fpregs_lock_and_save(void)
{
	fpregs_lock();
	if (!test_thread_flag(TIF_NEED_FPU_LOAD))
		static_call(xfd_gate_save_fpregs_to_fpstate)(xfd_current_fpu());
}

notrace void xfd_gate_fpregs_restore_and_unlock(struct fpstate *state)
{
	if (state)
		static_call(xfd_gate_restore_fpregs_from_fpstate)(state, XFEATURE_MASK_FPSTATE);
	static_call(xfd_gate_fpregs_mark_activate)();
	fpregs_unlock();
}

void xfd_gate_init_fpstate(struct fpstate *state)
{
	static_call(xfd_gate_fpstate_init_user)(state);
}

void xfd_gate_reset_fpstate(struct fpu *fpu)
{
	static_call(xfd_gate_fpstate_reset)(fpu);
}

void xfd_gate_poke5(void *site, const u8 opcode[5], struct mutex *text_mutex)
{
	cpus_read_lock();
	mutex_lock(text_mutex);
	static_call(xfd_gate_smp_text_poke_single)(site, opcode, CALL_INSN_SIZE, NULL);
	mutex_unlock(text_mutex);
	cpus_read_unlock();
}

bool xfd_gate_is_livepatched(void *function, struct mutex *klp_mutex)
{
	bool found;

	mutex_lock(klp_mutex);
	found = static_call(xfd_gate_klp_find_ops)(function);
	mutex_unlock(klp_mutex);
	return found;
}
