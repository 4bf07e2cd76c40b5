// SPDX-License-Identifier: GPL-2.0
/*
 * Trampolines that ftrace calls directly at the beginning of kernel functions.
 */
#include <linux/ftrace.h>
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <asm/ibt.h>
#include <asm/unwind_hints.h>

#include "gates.h"
#include "seam.h"

/*
 * Trampolines are aligned: ftrace takes the lowest bit of their address for "jump, not call"
 * (include/linux/ftrace.h, ftrace_is_jmp()).
 */

#define XFD_TRAMPOLINE(symbol, body)				\
	asm(".pushsection .text, \"ax\", @progbits\n"		\
	    __ALIGN_STR "\n"					\
	    ".type xfd_direct_" #symbol ", @function\n"		\
	    "xfd_direct_" #symbol ":\n"				\
	    ASM_ENDBR						\
	    body						\
	    ".size xfd_direct_" #symbol ", .-xfd_direct_" #symbol "\n" \
	    ".popsection\n");					\
	extern void xfd_direct_##symbol(void);

/*
 * Calls ours with the arguments of the kernel's. @save and @restore are for as many registers as the
 * kernel's function has arguments.
 */
#define CALL_OURS(ours, save, restore)				\
	"pushq %rbp\n"						\
	"movq %rsp, %rbp\n"					\
	save							\
	"call " #ours "\n"					\
	restore							\
	"popq %rbp\n"

/*
 * Ours runs instead of the kernel's: on the stack are the way back into the kernel's function,
 * which is dropped, and then its caller's, which is where ours returns to.
 */
#define XFD_TRAMPOLINE_INSTEAD(symbol, ours, group)		\
	XFD_TRAMPOLINE(symbol,					\
		"addq $8, %rsp\n"				\
		UNWIND_HINT_FUNC				\
		"jmp " #ours "\n"				\
		"int3\n")

/* Ours runs first, and then the kernel's. */
#define XFD_TRAMPOLINE_BEFORE(symbol, ours, group, save, restore) \
	XFD_TRAMPOLINE(symbol, CALL_OURS(ours, save, restore) ASM_RET)

/*
 * Ours runs first, and what it returns, if that is not 0, is returned for the kernel's function,
 * which then does not run. @only_if jumps to 2 where there is nothing to ask.
 */
#define XFD_TRAMPOLINE_ASK(symbol, ours, group, save, restore, only_if) \
	XFD_TRAMPOLINE(symbol,					\
		only_if						\
		CALL_OURS(ours, save, restore)			\
		"testl %eax, %eax\n"				\
		"jnz 1f\n"					\
		"2: " ASM_RET					\
		"1: addq $8, %rsp\n"				\
		UNWIND_HINT_FUNC				\
		ASM_RET)

#define SAVE_2 "pushq %rdi\n" "pushq %rsi\n"
#define RESTORE_2 "popq %rsi\n" "popq %rdi\n"
#define SAVE_4 SAVE_2 "pushq %rdx\n" "pushq %rcx\n"
#define RESTORE_4 "popq %rcx\n" "popq %rdx\n" RESTORE_2
#define SAVE_6 SAVE_4 "pushq %r8\n" "pushq %r9\n"
#define RESTORE_6 "popq %r9\n" "popq %r8\n" RESTORE_4

/* The second argument is a struct msr_data; kvm.c checks it. */
#define ONLY_XFD "cmpl $0x1c4, 4(%rsi)\n" "jne 2f\n"

#define XFD_HOST_CALLS(INSTEAD, BEFORE)							\
	/* Rust: prctl.rs. C: regrow.c */						\
	INSTEAD(fpu_xstate_prctl, xfd_fpu_xstate_prctl, XFD_HOST)			\
	BEFORE(fpu__restore_sig, xfd_before_restore_sig, XFD_HOST, SAVE_2, RESTORE_2)	\
	BEFORE(xstateregs_set, xfd_before_xstateregs_set, XFD_HOST, SAVE_6, RESTORE_6)

#if IS_ENABLED(CONFIG_KVM)
#define XFD_GUEST_CALLS(INSTEAD, ASK)							\
	/* Rust: guest.rs, guest_update.rs */						\
	INSTEAD(fpu_alloc_guest_fpstate, xfd_alloc_guest_fpstate, XFD_GUEST)		\
	INSTEAD(fpu_free_guest_fpstate, xfd_free_guest_fpstate, XFD_GUEST)		\
	INSTEAD(fpu_swap_kvm_fpstate, xfd_swap_guest_fpstate, XFD_GUEST)		\
	INSTEAD(xstate_get_guest_group_perm, xfd_guest_permission, XFD_GUEST)		\
	INSTEAD(fpu_enable_guest_xfd_features, xfd_promise_to_guest, XFD_GUEST)		\
	INSTEAD(fpu_update_guest_xfd, xfd_set_guest_xfd, XFD_GUEST)			\
	INSTEAD(fpu_sync_guest_vmexit_xfd_state, xfd_sync_guest_xfd, XFD_GUEST)		\
	ASK(fpu_copy_uabi_to_guest_fpstate, xfd_before_guest_image, XFD_GUEST, SAVE_4, RESTORE_4, "") \
	/* C: kvm.c */									\
	ASK(__kvm_set_xcr, xfd_before_set_xcr, XFD_KVM, SAVE_4, RESTORE_4, "")		\
	ASK(kvm_set_msr_common, xfd_before_set_msr, XFD_KVM, SAVE_2, RESTORE_2, ONLY_XFD)	\
	ASK(vmx_set_intercept_for_msr, xfd_before_set_intercept, XFD_KVM_INTEL, SAVE_4, RESTORE_4, "")
#else
#define XFD_GUEST_CALLS(INSTEAD, ASK)
#endif

#define XFD_DIRECT_CALLS(INSTEAD, BEFORE, ASK) XFD_HOST_CALLS(INSTEAD, BEFORE) XFD_GUEST_CALLS(INSTEAD, ASK)

XFD_DIRECT_CALLS(XFD_TRAMPOLINE_INSTEAD, XFD_TRAMPOLINE_BEFORE, XFD_TRAMPOLINE_ASK)

#define XFD_DIRECT_ENTRY(function, ours, where, ...) \
	{ #function, where, xfd_direct_##function },

const struct xfd_direct xfd_directs[] = {
	XFD_DIRECT_CALLS(XFD_DIRECT_ENTRY, XFD_DIRECT_ENTRY, XFD_DIRECT_ENTRY)
	{ }
};

/* Where ftrace's call is in each of the functions; 0 for one that is not attached. */
static unsigned long xfd_direct_sites[ARRAY_SIZE(xfd_directs)];

/*
 * One for all: only to detach the last function of an ftrace_ops is slow, since ftrace waits then
 * for every task to have left its trampolines.
 */
static struct ftrace_ops xfd_direct_ops;

static int add(struct ftrace_ops *ops, struct ftrace_hash *hash)
{
	return static_call(xfd_gate_update_ftrace_direct_add)(ops, hash);
}

static int del(struct ftrace_ops *ops, struct ftrace_hash *hash)
{
	return static_call(xfd_gate_update_ftrace_direct_del)(ops, hash);
}

/* Of those from @first to before @end that are of @group and have a site. */
static int update(int (*update_direct)(struct ftrace_ops *ops, struct ftrace_hash *hash),
		  int first, int end, enum xfd_direct_group group)
{
	struct ftrace_hash *hash = static_call(xfd_gate_alloc_ftrace_hash)(4);
	int error = hash ? 0 : -ENOMEM;
	bool any = false;
	int i;

	for (i = first; i < end && !error; i++) {
		if (xfd_directs[i].group != group || !xfd_direct_sites[i])
			continue;
		any = true;
		if (!static_call(xfd_gate_add_ftrace_hash_entry_direct)(hash, xfd_direct_sites[i],
									(unsigned long)xfd_directs[i].trampoline))
			error = -ENOMEM;
	}
	if (any && !error)
		error = update_direct(&xfd_direct_ops, hash);
	static_call(xfd_gate_free_ftrace_hash)(hash);
	return error;
}

/* One update for all of them: each looks at every function of the kernel. */
static const int all = ARRAY_SIZE(xfd_directs) - 1;

static void forget(enum xfd_direct_group group)
{
	int i;

	for (i = 0; i < all; i++)
		if (xfd_directs[i].group == group)
			xfd_direct_sites[i] = 0;
}

/* The first of @group that cannot be attached by itself. None is attached afterwards. */
static const struct xfd_direct *culprit(enum xfd_direct_group group)
{
	int i;

	for (i = 0; i < all; i++) {
		if (xfd_directs[i].group != group)
			continue;
		if (update(add, i, i + 1, group))
			return &xfd_directs[i];
		while (update(del, i, i + 1, group) == -ENOMEM)
			cond_resched();
	}
	return NULL;
}

int xfd_direct_attach(enum xfd_direct_group group, const struct xfd_direct **failed)
{
	int error, i;

	*failed = NULL;
	for (i = 0; i < all; i++) {
		unsigned long address;

		if (xfd_directs[i].group != group)
			continue;
		address = xfd_gate_lookup(xfd_directs[i].symbol);
		xfd_direct_sites[i] = address ? static_call(xfd_gate_ftrace_location)(address) : 0;
		if (!xfd_direct_sites[i]) {
			*failed = &xfd_directs[i];
			forget(group);
			return address ? -ENODEV : -ENOENT;
		}
	}
	error = update(add, 0, all, group);
	if (error) {
		*failed = culprit(group);
		forget(group);
	}
	/* It says so of one that has a direct call already. */
	return error == -EINVAL ? -EBUSY : error;
}

void xfd_direct_detach(enum xfd_direct_group group)
{
	/* A few words, which the kernel always finds: the module cannot go without. */
	while (update(del, 0, all, group) == -ENOMEM)
		cond_resched();
	forget(group);
}

void xfd_direct_synchronize(void)
{
	/* Nobody is on the way from the kernel's function to ours, or has just left ours. */
	synchronize_rcu_tasks();
}
