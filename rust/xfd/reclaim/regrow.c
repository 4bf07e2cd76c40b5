// SPDX-License-Identifier: GPL-2.0
/*
 * Called at the beginning of the kernel's functions that restore a signal frame and that write a
 * tracee's registers (direct.c): is it a task whose buffer was reclaimed? Hardly ever.
 */
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <asm/fpu/types.h>
#include <asm/processor.h>

#include "../seam/in_flight.h"
#include "../seam/seam.h"

/* Rust: regrow.rs */
void xfd_regrow_for_frame(u64 in_frame);
void xfd_regrow_for_tracer(struct fpu *fpu);

/* direct.c */
void xfd_before_restore_sig(void __user *buf, int ia32_frame);
void xfd_before_xstateregs_set(struct task_struct *target);

/* Bytes of user_size of a task that has not used dynamic components: fpu_user_cfg.default_size */
unsigned int xfd_default_user_size;

/* shrink.rs leaves the built-in fpstate with the user_size of the enlarged one. */
static bool was_reclaimed(struct fpu *fpu)
{
	return unlikely(fpu->__fpstate.user_size != xfd_default_user_size) &&
	       fpu->fpstate == &fpu->__fpstate;
}

void xfd_before_restore_sig(void __user *buf, int ia32_frame)
{
	struct xregs_state __user *frame = buf;
	u64 in_frame;

	if (!was_reclaimed(xfd_current_fpu()))
		return;
	xfd_enter();
	if (ia32_frame)
		frame = buf + sizeof(struct fregs_state);
	if (buf && !get_user(in_frame, &frame->header.xfeatures))
		xfd_regrow_for_frame(in_frame);
	xfd_leave(0);
}

void xfd_before_xstateregs_set(struct task_struct *target)
{
	if (!was_reclaimed(xfd_task_fpu(target)))
		return;
	xfd_enter();
	xfd_regrow_for_tracer(xfd_task_fpu(target));
	xfd_leave(0);
}
