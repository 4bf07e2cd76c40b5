// SPDX-License-Identifier: GPL-2.0
/*
 * The #NM entry, which asm_exc_device_not_available calls while its call site is redirected.
 */
#include <linux/atomic.h>
#include <linux/entry-common.h>
#include <linux/ptrace.h>
#include <linux/static_call.h>

#include "../seam/gates.h"
#include "../seam/seam.h"

/* Rust: cpu/msr.rs, nm_handler.rs */
u64 xfd_read_xfd_err(void);
void xfd_handle_nm(struct pt_regs *regs, u64 xfd_err);

/* Number of #NMs passed to the kernel's own handler since the module was loaded */
atomic64_t xfd_ordinary_nm = ATOMIC64_INIT(0);

/*
 * Interrupts are off on entry. Both exits are tail calls (checked by Kbuild): the kernel's function
 * returns straight into the #NM stub. So a task that stops or is traced on its way to user space has no
 * frame of this module on its stack.
 *
 * xfd_handle_nm() uncounts this task while interrupts are still on. Whoever waits for the count to become
 * zero then calls synchronize_rcu_tasks(), which waits for the instructions that follow here.
 *
 * Until the task is counted, RCU tasks does not wait for it if it is on a nohz_full CPU, because RCU still
 * considers that CPU to be in user mode. That is safe: the call is restored by text poking, which
 * interrupts every CPU before it returns (smp_text_poke_sync_each_cpu()), and interrupts are off here
 * until the task is counted.
 */
noinstr void xfd_nm_entry(struct pt_regs *regs)
{
	u64 xfd_err = xfd_read_xfd_err();
	irqentry_state_t state;

	/* An #NM in kernel mode is a bug. The kernel's handler reports it and dies. */
	if (unlikely(!xfd_err || !user_mode(regs))) {
		raw_atomic64_inc(&xfd_ordinary_nm);
		static_call(xfd_gate_exc_device_not_available)(regs);
		return;
	}

	raw_atomic64_inc(&xfd_inside);
	state = static_call(xfd_gate_irqentry_enter)(regs);
	instrumentation_begin();
	xfd_handle_nm(regs, xfd_err);
	instrumentation_end();
	static_call(xfd_gate_irqentry_exit)(regs, state);
}
