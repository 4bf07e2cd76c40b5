/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads for this module: the types that the kernel crate's bindings lack.
 */
#include <linux/kprobes.h>
#include <linux/livepatch.h>
#include <linux/gfp.h>
#include <linux/mutex.h>
#include <linux/static_call_types.h>
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

/* Of the functions that the livepatch replaces: ours must be of the same type (xfd_main.rs). */
typedef typeof(fpu_flush_thread) *xfd_fpu_flush_thread_t;
typedef typeof(fpu_enable_guest_xfd_features) *xfd_fpu_enable_guest_xfd_features_t;
typedef typeof(fpu_update_guest_xfd) *xfd_fpu_update_guest_xfd_t;

/* Macros whose value bindgen cannot compute. */
static const u64 XFD_USER_SUPPORTED = XFEATURE_MASK_USER_SUPPORTED;
static const u64 XFD_USER_DYNAMIC = XFEATURE_MASK_USER_DYNAMIC;

/* What cannot fail for lack of memory waits for it. */
static const gfp_t XFD_GFP_NOFAIL = GFP_KERNEL | __GFP_ZERO | __GFP_NOFAIL;

/* Bytes; struct fpu follows struct task_struct. */
enum {
	XFD_TASK_SIZE = sizeof(struct task_struct),
};

/* Bytes from the start of a struct fpstate; struct xregs_state is opaque to Rust. */
enum {
	XFD_FPSTATE_REGS = offsetof(struct fpstate, regs),
	XFD_FPSTATE_XSTATE_BV = offsetof(struct fpstate, regs.xsave.header.xfeatures),
	/* Padding before the register image; seam.c checks it. */
	XFD_FPSTATE_NOTE = offsetof(struct fpstate, regs) - sizeof(u64),
	XFD_FPSTATE_XCOMP_BV = offsetof(struct fpstate, regs.xsave.header.xcomp_bv),
	/* Legacy region and header: what "initial state" takes. */
	XFD_XSAVE_FIXED = sizeof(struct xregs_state),
};
