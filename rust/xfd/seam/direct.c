// SPDX-License-Identifier: GPL-2.0
/*
 * The trampoline that ftrace calls at the beginning of fpu_xstate_prctl(), and its neighbours.
 *
 * Requests for permission come to us; everything else is the kernel's own, at the price of three
 * instructions. A livepatch would cost eighty and more, for queries, too.
 *
 * A livepatch of the same function may come later: it asks direct_ops_func(), and from then on
 * requests are its own, too. Without an ops_func ftrace would refuse it.
 */
#include <linux/ftrace.h>
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/unwind_hints.h>
#include <uapi/asm/prctl.h>

#include "gates.h"
#include "seam.h"

/* Rust: permission/prctl.rs */
long xfd_request_permission(int option, unsigned long idx);

/* A livepatch has the function: ours stays out of its way. */
bool xfd_direct_aside;

static_assert(ARCH_GET_XCOMP_SUPP == 0x1021 && ARCH_GET_XCOMP_PERM == 0x1022 &&
	      ARCH_REQ_XCOMP_PERM == 0x1023 && ARCH_REQ_XCOMP_GUEST_PERM == 0x1025);

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
    "cmpl $0x1022, %edi\n"
    "jbe 1f\n"
    "cmpl $0x1023, %edi\n"
    "je 2f\n"
    "cmpl $0x1025, %edi\n"
    "je 2f\n"
    "1: " ASM_RET
    "2: cmpb $0, xfd_direct_aside(%rip)\n"
    "jne 1b\n"
    "addq $8, %rsp\n"
    UNWIND_HINT_FUNC
    "jmp xfd_request_permission\n"
    "int3\n"
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
	error = ftrace_set_filter_ip(&direct_ops, site, 0, 0);
	if (error)
		return error;
	error = register_ftrace_direct(&direct_ops, trampoline);
	if (error) {
		ftrace_free_filter(&direct_ops);
		return error;
	}
	/* What ftrace says is attached, not what it was asked for. */
	if (static_call(xfd_gate_ftrace_find_rec_direct)(site) == trampoline)
		return 0;
	return xfd_direct_detach() ?: -ENODEV;
}

int xfd_direct_detach(void)
{
	return unregister_ftrace_direct(&direct_ops, (unsigned long)xfd_direct_fpu_xstate_prctl, true);
}
