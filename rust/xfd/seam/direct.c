// SPDX-License-Identifier: GPL-2.0
/*
 * Trampolines that ftrace calls directly at the beginning of kernel functions.
 */
#include <linux/ftrace.h>
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <linux/rcupdate.h>
#include <asm/ibt.h>
#include <asm/unwind_hints.h>

#include "seam.h"

/*
 * Trampolines are aligned: ftrace takes the lowest bit of their address for "jump, not call"
 * (include/linux/ftrace.h, ftrace_is_jmp()).
 */

/*
 * Ours runs instead of the kernel's: on the stack are the way back into the kernel's function,
 * which is dropped, and then its caller's, which is where ours returns to.
 */
#define XFD_TRAMPOLINE_INSTEAD(symbol, ours)			\
	asm(".pushsection .text, \"ax\", @progbits\n"		\
	    __ALIGN_STR "\n"					\
	    ".type xfd_direct_" #symbol ", @function\n"		\
	    "xfd_direct_" #symbol ":\n"				\
	    ASM_ENDBR						\
	    "addq $8, %rsp\n"					\
	    UNWIND_HINT_FUNC					\
	    "jmp " #ours "\n"					\
	    "int3\n"						\
	    ".size xfd_direct_" #symbol ", .-xfd_direct_" #symbol "\n" \
	    ".popsection\n");					\
	extern void xfd_direct_##symbol(void);			\
	static struct ftrace_ops xfd_ops_##symbol;

/*
 * Ours runs first, with the arguments of the kernel's, which then runs. @save and @restore are for
 * as many registers as the kernel's function has arguments.
 */
#define XFD_TRAMPOLINE_BEFORE(symbol, ours, save, restore)	\
	asm(".pushsection .text, \"ax\", @progbits\n"		\
	    __ALIGN_STR "\n"					\
	    ".type xfd_direct_" #symbol ", @function\n"		\
	    "xfd_direct_" #symbol ":\n"				\
	    ASM_ENDBR						\
	    "pushq %rbp\n"					\
	    "movq %rsp, %rbp\n"					\
	    save						\
	    "call " #ours "\n"					\
	    restore						\
	    "popq %rbp\n"					\
	    ASM_RET						\
	    ".size xfd_direct_" #symbol ", .-xfd_direct_" #symbol "\n" \
	    ".popsection\n");					\
	extern void xfd_direct_##symbol(void);			\
	static struct ftrace_ops xfd_ops_##symbol;

#define SAVE_2 "pushq %rdi\n" "pushq %rsi\n"
#define RESTORE_2 "popq %rsi\n" "popq %rdi\n"
#define SAVE_6 SAVE_2 "pushq %rdx\n" "pushq %rcx\n" "pushq %r8\n" "pushq %r9\n"
#define RESTORE_6 "popq %r9\n" "popq %r8\n" "popq %rcx\n" "popq %rdx\n" RESTORE_2

/* Rust: prctl.rs. C: regrow.c */
#define XFD_DIRECT_CALLS(INSTEAD, BEFORE)					\
	INSTEAD(fpu_xstate_prctl, xfd_fpu_xstate_prctl)				\
	BEFORE(fpu__restore_sig, xfd_before_restore_sig, SAVE_2, RESTORE_2)	\
	BEFORE(xstateregs_set, xfd_before_xstateregs_set, SAVE_6, RESTORE_6)

XFD_DIRECT_CALLS(XFD_TRAMPOLINE_INSTEAD, XFD_TRAMPOLINE_BEFORE)

#define XFD_DIRECT_ENTRY(function, ...) { #function, xfd_direct_##function, &xfd_ops_##function },

const struct xfd_direct xfd_directs[] = {
	XFD_DIRECT_CALLS(XFD_DIRECT_ENTRY, XFD_DIRECT_ENTRY)
	{ }
};

int xfd_direct_attach(const struct xfd_direct *direct, unsigned long address)
{
	int error = ftrace_set_filter_ip(direct->ops, address, 0, 1);

	if (!error)
		error = register_ftrace_direct(direct->ops, (unsigned long)direct->trampoline);
	if (error)
		ftrace_free_filter(direct->ops);
	return error;
}

void xfd_direct_detach(const struct xfd_direct *direct)
{
	unregister_ftrace_direct(direct->ops, (unsigned long)direct->trampoline, true);
}

void xfd_direct_synchronize(void)
{
	/* Nobody is on the way from the kernel's function to ours, or has just left ours. */
	synchronize_rcu_tasks();
}
