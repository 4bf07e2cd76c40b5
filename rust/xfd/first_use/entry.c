// SPDX-License-Identifier: GPL-2.0
/*
 * The #NM entry: what asm_exc_device_not_available calls while the call site is ours.
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

/* #NM handed to the kernel's own handler since load */
atomic64_t xfd_ordinary_nm = ATOMIC64_INIT(0);

/*
 * Interrupts are off on entry. Both ways out are tail calls (Kbuild checks it): the
 * kernel's function returns straight into the #NM stub, so that a task that stops or is traced
 * on its way to user space has no frame of this module on its stack.
 *
 * xfd_handle_nm() takes back the count of this task while interrupts are on. Who waits for the
 * count to be zero waits for the last instructions here afterwards (synchronize_rcu_tasks()).
 *
 * Before the count, RCU tasks would not wait for a task on a nohz_full CPU: it is in user mode yet. The call
 * was exchanged by text poking, which interrupts each CPU before it returns (smp_text_poke_sync_each_cpu()), and
 * interrupts are off here until the task is counted.
 */
noinstr void xfd_nm_entry(struct pt_regs *regs)
{
	u64 xfd_err = xfd_read_xfd_err();
	irqentry_state_t state;

	/* From kernel mode it is a bug that the kernel's handler reports and dies of. */
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
