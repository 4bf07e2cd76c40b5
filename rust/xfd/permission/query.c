// SPDX-License-Identifier: GPL-2.0
/*
 * Decides which of arch_prctl's permission options this module handles.
 *
 * prctl.rs handles requests. A query whose answer can be written immediately is answered here, because the
 * detour through this module would otherwise make it slower than the kernel's own code. If the user's page
 * has to be faulted in, and for all other options, the kernel's function takes over. So a waiting task has
 * no frame of this module on its stack.
 */
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xstate.h>
#include <uapi/asm/prctl.h>

#include "../seam/seam.h"
#include "../seam/task_fpu.h"

/* Rust: prctl.rs */
long xfd_request_permission(int option, unsigned long idx);

/* seam/direct.c */
long xfd_fpu_xstate_prctl(int option, unsigned long arg2);

static_assert(__same_type(xfd_fpu_xstate_prctl, fpu_xstate_prctl));

/* Replaces fpu_xstate_prctl() (arch/x86/kernel/fpu/xstate.c). Only the functions that it tail-calls may sleep. */
notrace long xfd_fpu_xstate_prctl(int option, unsigned long arg2)
{
	struct fpu *fpu = fpu_of(current->group_leader);
	u64 permitted;
	int error;

	switch (option) {
	case ARCH_GET_XCOMP_PERM:
		permitted = READ_ONCE(fpu->perm.__state_perm);
		break;
	case ARCH_GET_XCOMP_GUEST_PERM:
		permitted = READ_ONCE(fpu->guest_perm.__state_perm);
		break;
	case ARCH_REQ_XCOMP_PERM:
	case ARCH_REQ_XCOMP_GUEST_PERM:
		return xfd_request_permission(option, arg2);
	default:
		return xfd_gate_kernels_prctl(option, arg2);
	}

	pagefault_disable();
	error = put_user(permitted & XFEATURE_MASK_USER_SUPPORTED, (u64 __user *)arg2);
	pagefault_enable();
	if (likely(!error))
		return 0;
	return xfd_gate_kernels_prctl(option, arg2);
}
