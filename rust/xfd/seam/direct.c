// SPDX-License-Identifier: GPL-2.0
/*
 * The trampoline that ftrace calls at the beginning of fpu_xstate_prctl(), and its supporting code.
 *
 * The same function may be livepatched later. ftrace then asks direct_ops_func(), and from that moment the
 * function belongs to the livepatch alone. Without an ops_func ftrace would refuse it. (This is a direct
 * call rather than a livepatch because a livepatch costs eighty more instructions per call, even for a
 * query.)
 */
#include <linux/ftrace.h>
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <linux/static_call.h>
#include <asm/text-patching.h>
#include <asm/unwind_hints.h>

#include "gates.h"
#include "seam.h"

/* permission/query.c */
long xfd_fpu_xstate_prctl(int option, unsigned long arg2);

/* The kernel's function, past ftrace's call */
DEFINE_STATIC_CALL_NULL(xfd_kernels_prctl, xfd_fpu_xstate_prctl);

/* A tail call, as in query.c. Checked by Kbuild. */
notrace long xfd_gate_kernels_prctl(int option, unsigned long arg2)
{
	return static_call(xfd_kernels_prctl)(option, arg2);
}

/*
 * True while a livepatch owns the function, so that ours is bypassed. ftrace does not reset it if
 * registering that livepatch then fails. Until another livepatch has been loaded and unloaded, the
 * kernel's own function answers instead, with the same results.
 */
bool xfd_direct_aside;

/*
 * The stack holds the return address into the kernel's function, and above it the one into the caller. Our
 * function returns to the caller. The trampoline is aligned because ftrace uses the lowest bit of its
 * address for "jump, not call" (include/linux/ftrace.h, ftrace_is_jmp()). It is reached only by direct
 * calls and returns, so it needs no ENDBR.
 */
asm(".pushsection .text, \"ax\", @progbits\n"
    __ALIGN_STR "\n"
    ".type xfd_direct_fpu_xstate_prctl, @function\n"
    "xfd_direct_fpu_xstate_prctl:\n"
    ANNOTATE_NOENDBR "\n"
    "cmpb $0, xfd_direct_aside(%rip)\n"
    "jne 1f\n"
    "addq $8, %rsp\n"
    UNWIND_HINT_FUNC
    "jmp xfd_fpu_xstate_prctl\n"
    "int3\n"
    "1: " ASM_RET
    ".size xfd_direct_fpu_xstate_prctl, .-xfd_direct_fpu_xstate_prctl\n"
    ".popsection\n");
void xfd_direct_fpu_xstate_prctl(void);

/* Called under direct_mutex of ftrace.c, except for the _SELF commands. */
static int direct_ops_func(struct ftrace_ops *ops, unsigned long ip, enum ftrace_ops_cmd cmd)
{
	switch (cmd) {
	case FTRACE_OPS_CMD_ENABLE_SHARE_IPMODIFY_PEER:
		WRITE_ONCE(xfd_direct_aside, true);
		return 0;
	case FTRACE_OPS_CMD_DISABLE_SHARE_IPMODIFY_PEER:
		WRITE_ONCE(xfd_direct_aside, false);
		return 0;
	default:
		/* A livepatch was there first: refuse to load (livepatch.rs). */
		return -EBUSY;
	}
}

static struct ftrace_ops direct_ops = {
	.ops_func = direct_ops_func,
};

int xfd_direct_attach(unsigned long function)
{
	unsigned long site = static_call(xfd_gate_ftrace_location)(function);
	unsigned long trampoline = (unsigned long)xfd_direct_fpu_xstate_prctl;
	int error;

	if (!site)
		return -ENODEV;
	__static_call_update(&STATIC_CALL_KEY(xfd_kernels_prctl), STATIC_CALL_TRAMP_ADDR(xfd_kernels_prctl),
			     (void *)(site + MCOUNT_INSN_SIZE));
	error = ftrace_set_filter_ip(&direct_ops, site, 0, 0);
	if (error)
		return error;
	error = register_ftrace_direct(&direct_ops, trampoline);
	if (error) {
		/* ftrace failed halfway and left an unknown state: treat this as attached and impossible to detach. */
		if (direct_ops.flags & FTRACE_OPS_FL_ENABLED)
			return 0;
		ftrace_free_filter(&direct_ops);
		return error;
	}
	/* Check what ftrace has attached, rather than what it was asked to attach. */
	if (static_call(xfd_gate_ftrace_find_rec_direct)(site) == trampoline)
		return 0;
	/* If this cannot be detached, report success, so that detaching is retried as long as the module exists. */
	return xfd_direct_detach() ? 0 : -ENODEV;
}

int xfd_direct_detach(void)
{
	int error = unregister_ftrace_direct(&direct_ops, (unsigned long)xfd_direct_fpu_xstate_prctl, false);

	/* This would WARN while it is still attached. */
	if (!error)
		ftrace_free_filter(&direct_ops);
	return error;
}
