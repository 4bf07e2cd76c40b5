// SPDX-License-Identifier: GPL-2.0
/*
 * Wrappers around kernel macros and inline functions, and the parts that make this module a livepatch.
 */
#include <linux/cpumask.h>
#include <linux/irqflags.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <asm/fpu/sched.h>
#include <asm/fpu/types.h>
#include <asm/processor.h>
#include <asm/trapnr.h>

#include "seam.h"
#include "task_fpu.h"

#ifdef MODULE
/* klp_enable_patch() refuses a module without this. */
MODULE_INFO(livepatch, "Y");
MODULE_VERSION(XFD_VERSION);
#endif

/* XFD_FPSTATE_NOTE lies after the last member before @regs, which is the bit-field that follows @xfd. */
static_assert(offsetof(struct fpstate, regs) - sizeof(u64) >= offsetofend(struct fpstate, xfd) + sizeof(unsigned int));

bool xfd_cpu_has_xfd(void)
{
	return boot_cpu_has(X86_FEATURE_XFD);
}

bool xfd_cpu_has_fred(void)
{
	return cpu_feature_enabled(X86_FEATURE_FRED);
}

bool xfd_cpu_compacts(void)
{
	return boot_cpu_has(X86_FEATURE_XCOMPACTED);
}

bool xfd_cpu_is_xen_pv(void)
{
	return boot_cpu_has(X86_FEATURE_XENPV);
}

bool xfd_cpu_is_online(unsigned int cpu)
{
	return cpu_online(cpu);
}

struct fpu *xfd_task_fpu(struct task_struct *task)
{
	return fpu_of(task);
}

/* notrace, because this replaces something that is inline in the C code. */
notrace struct fpu *xfd_group_fpu(void)
{
	return fpu_of(current->group_leader);
}

#ifdef MODULE
bool xfd_get_module(void)
{
	return try_module_get(THIS_MODULE);
}

bool xfd_is_force_removed(void)
{
	return THIS_MODULE->state == MODULE_STATE_GOING && module_refcount(THIS_MODULE) > 0;
}
#endif

/*
 * Without this, the signal frame would show an older exception's trap number and error code. uprobes also
 * check the trap number (arch_uprobe_xol_was_trapped(), arch/x86/kernel/uprobes.c).
 */
void xfd_note_nm(void)
{
	current->thread.trap_nr = X86_TRAP_NM;
	current->thread.error_code = 0;
}

u64 xfd_boottime_ms(void)
{
	return ktime_to_ms(ktime_get_boottime());
}

void xfd_irq_enable(void)
{
	local_irq_enable();
}

void xfd_irq_disable(void)
{
	local_irq_disable();
}

void xfd_siglock_current(void)
{
	spin_lock_irq(&current->sighand->siglock);
}

void xfd_sigunlock_current(void)
{
	spin_unlock_irq(&current->sighand->siglock);
}

void xfd_fpregs_lock(void)
{
	fpregs_lock();
}

void xfd_fpregs_unlock(void)
{
	fpregs_unlock();
}

bool xfd_fpregs_in_memory(void)
{
	return test_thread_flag(TIF_NEED_FPU_LOAD);
}

void xfd_set_fpregs_in_memory(void)
{
	set_thread_flag(TIF_NEED_FPU_LOAD);
}

bool xfd_altstack_below(unsigned long bytes)
{
	struct task_struct *thread;

	for_each_thread(current->group_leader, thread)
		if (thread->sas_ss_size && thread->sas_ss_size < bytes)
			return true;
	return false;
}
