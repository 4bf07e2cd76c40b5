/* SPDX-License-Identifier: GPL-2.0 */
/*
 * bindgen's input for this module: types that the kernel crate's bindings lack.
 */
#ifdef MODULE
#include <linux/kprobes.h>
#include <linux/livepatch.h>
#include <linux/static_call_types.h>
#else
#include <linux/sched/signal.h>
#include <linux/uprobes.h>
#include <asm/fpu/signal.h>
#endif
#include <linux/mutex.h>
#include <linux/vmalloc.h>
#include <uapi/asm/prctl.h>
#include <uapi/asm-generic/siginfo.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xstate.h>
#include <asm/fpu/regset.h>
#include <asm/fpu/api.h>
#include <asm/fpu/sched.h>

#include "seam.h"
#include "../watch/trace.h"
#ifndef MODULE
/* In the tree, this folder lies below arch/x86/kernel/fpu. */
#include "../../../internal.h"
#include "../../../xstate.h"
#endif

/* The types of functions that ours take the place of. Ours must have the same types (xfd_main.rs, xfd_tree.rs). */
typedef typeof(fpu_flush_thread) *xfd_fpu_flush_thread_t;
typedef typeof(fpu_enable_guest_xfd_features) *xfd_fpu_enable_guest_xfd_features_t;
typedef typeof(fpu_update_guest_xfd) *xfd_fpu_update_guest_xfd_t;

/* Macros that bindgen cannot evaluate */
static const u64 XFD_USER_SUPPORTED = XFEATURE_MASK_USER_SUPPORTED;
static const u64 XFD_USER_DYNAMIC = XFEATURE_MASK_USER_DYNAMIC;

/* Size in bytes. struct fpu follows struct task_struct. */
enum {
	XFD_TASK_SIZE = sizeof(struct task_struct),
};

/* Offsets in bytes from the start of a struct fpstate. struct xregs_state is opaque to Rust. */
enum {
	XFD_FPSTATE_REGS = offsetof(struct fpstate, regs),
	XFD_FPSTATE_XSTATE_BV = offsetof(struct fpstate, regs.xsave.header.xfeatures),
	/* This is padding in front of the register image (checked in seam.c). */
	XFD_FPSTATE_NOTE = offsetof(struct fpstate, regs) - sizeof(u64),
	XFD_FPSTATE_XCOMP_BV = offsetof(struct fpstate, regs.xsave.header.xcomp_bv),
	/* Legacy region and header, which is all that an initial state needs */
	XFD_XSAVE_FIXED = sizeof(struct xregs_state),
};
