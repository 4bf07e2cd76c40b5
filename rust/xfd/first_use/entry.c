// SPDX-License-Identifier: GPL-2.0
/*
 * The #NM entry: what asm_exc_device_not_available calls while the call site is ours.
 */
#include <linux/atomic.h>
#include <linux/entry-common.h>
#include <linux/ptrace.h>
#include <linux/smp.h>
#include <linux/static_call.h>
#include <linux/wait_bit.h>

#include "../seam/gates.h"
#include "../seam/in_flight.h"
#include "../seam/seam.h"

/* Rust: cpu/msr.rs, nm_handler.rs */
u64 xfd_read_xfd_err(void);
void xfd_handle_nm(struct pt_regs *regs, u64 xfd_err);

/* #NM handed to the kernel's own handler since load */
atomic64_t xfd_ordinary_nm = ATOMIC64_INIT(0);
/* Tasks in the Rust handler, or elsewhere in this module where they may sleep; and one until unloading */
atomic64_t xfd_in_flight = ATOMIC64_INIT(1);
bool xfd_waited_for;

/*
 * Interrupts are off on entry. Both ways out are tail calls (Kbuild checks it): the
 * kernel's function returns straight into the #NM stub, so that a task that stops or is traced
 * on its way to user space has no frame of this module on its stack.
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

	raw_atomic64_inc(&xfd_in_flight);
	state = static_call(xfd_gate_irqentry_enter)(regs);
	instrumentation_begin();
	xfd_handle_nm(regs, xfd_err);
	xfd_leave(0);
	instrumentation_end();
	static_call(xfd_gate_irqentry_exit)(regs, state);
}

long xfd_last_one_left(long result)
{
	wake_up_var(&xfd_in_flight);
	return result;
}

void xfd_enter_counted(void)
{
	xfd_enter();
}

void xfd_leave_counted(void)
{
	xfd_leave(0);
}

void xfd_wait_for_handlers(void)
{
	WRITE_ONCE(xfd_waited_for, true);
	if (!atomic64_dec_and_test(&xfd_in_flight))
		wait_var_event(&xfd_in_flight, !atomic64_read(&xfd_in_flight));
	atomic64_inc(&xfd_in_flight);
	WRITE_ONCE(xfd_waited_for, false);
	/*
	 * The last instructions of the entry run with interrupts off: a CPU that takes this
	 * interrupt has left them.
	 */
	kick_all_cpus_sync();
}
