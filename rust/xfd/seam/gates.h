/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The unexported kernel functions that this module calls.
 */
#ifndef XFD_GATES_H
#define XFD_GATES_H

#include <linux/ftrace.h>
#include <linux/kallsyms.h>
#include <linux/module.h>
#include <linux/ptrace.h>
#include <linux/stacktrace.h>
#include <linux/static_call.h>
#include <linux/task_work.h>
#include <linux/wait.h>
#include <asm/fpu/sched.h>
#include <asm/fpu/signal.h>
#include <asm/idtentry.h>

struct fpstate;
struct fpu;
struct klp_ops;

/* From arch/x86/kernel/fpu/internal.h:26, which modules cannot include */
void fpstate_reset(struct fpu *fpu);
/* From kernel/livepatch/patch.h:28, which modules cannot include */
struct klp_ops *klp_find_ops(void *old_func);

#define XFD_GATES(G)			\
	G(kallsyms_lookup_name)		\
	G(kallsyms_lookup_size_offset)	\
	G(kallsyms_on_each_symbol)	\
	G(irqentry_enter)		\
	G(irqentry_exit)		\
	G(exc_device_not_available)	\
	G(force_sig_fault)		\
	G(uprobe_get_trap_addr)		\
	G(get_sigframe_size)		\
	G(switch_fpu_return)		\
	G(fpstate_reset)		\
	G(smp_text_poke_single)		\
	G(klp_find_ops)			\
	G(ftrace_location)		\
	G(ftrace_find_rec_direct)	\
	G(stack_trace_save_tsk_reliable) \
	G(task_call_func)		\
	G(task_work_cancel_func)	\
	G(ptrace_may_access)		\
	G(__module_address)

#define XFD_DECLARE_GATE(symbol) DECLARE_STATIC_CALL(xfd_gate_##symbol, symbol);
XFD_GATES(XFD_DECLARE_GATE)

#endif
