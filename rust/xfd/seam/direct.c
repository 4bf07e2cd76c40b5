// SPDX-License-Identifier: GPL-2.0
/*
 * The trampoline that ftrace calls at the beginning of fpu_xstate_prctl(), and its neighbours.
 *
 * A livepatch of the same function may come later: it asks direct_ops_func(), and from then on
 * everything is its own. Without an ops_func ftrace would refuse it. (A direct call and not a
 * livepatch of our own, because that costs eighty instructions a call, for queries, too.)
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

/* The kernel's function behind ftrace's call. */
DEFINE_STATIC_CALL_NULL(xfd_kernels_prctl, xfd_fpu_xstate_prctl);

/* A jump, as in query.c: Kbuild checks it. */
notrace long xfd_gate_kernels_prctl(int option, unsigned long arg2)
{
	return static_call(xfd_kernels_prctl)(option, arg2);
}

/*
 * A livepatch has the function: ours stays out of its way. ftrace does not take it back if registering that
 * livepatch failed then; until another one has come and gone the kernel's own function answers, and says the same.
 */
bool xfd_direct_aside;

/*
 * On the stack are the way back into the kernel's function and its caller's. Ours returns to the
 * caller's. The trampoline is aligned, because ftrace takes the lowest bit of its address for
 * "jump, not call" (include/linux/ftrace.h, ftrace_is_jmp()), and only called directly or returned
 * to, so it needs no ENDBR.
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

/* Under direct_mutex of ftrace.c, except for _SELF. */
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
		/* A livepatch was there before: loading is refused (livepatch.rs). */
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
		/* ftrace died on the way: what it left is not known, so this is one that cannot be detached. */
		if (direct_ops.flags & FTRACE_OPS_FL_ENABLED)
			return 0;
		ftrace_free_filter(&direct_ops);
		return error;
	}
	/* What ftrace says is attached, not what it was asked for. */
	if (static_call(xfd_gate_ftrace_find_rec_direct)(site) == trampoline)
		return 0;
	/* If it cannot be detached, it is to be tried again as long as the module is there. */
	return xfd_direct_detach() ? 0 : -ENODEV;
}

int xfd_direct_detach(void)
{
	int error = unregister_ftrace_direct(&direct_ops, (unsigned long)xfd_direct_fpu_xstate_prctl, false);

	/* Of one that is attached yet it would be a WARN. */
	if (!error)
		ftrace_free_filter(&direct_ops);
	return error;
}
