// SPDX-License-Identifier: GPL-2.0
/*
 * The stock hypervisor: its modules as they come and go, and what of a virtual CPU an update of
 * its extended state has to do with. The functions here are called at the beginning of KVM's
 * (direct.c); what they return, if it is not 0, KVM's function returns.
 */
#include <linux/module.h>

#include "../seam/seam.h"

bool xfd_get_module(void)
{
	return try_module_get(THIS_MODULE);
}

void xfd_put_module(void)
{
	module_put(THIS_MODULE);
}

#if IS_ENABLED(CONFIG_KVM)
#include <linux/kvm_host.h>
#include <linux/mutex.h>
#include <asm/fpu/xcr.h>
#include <asm/msr-index.h>

/* Rust: guest_update.rs. Components that were made room for, or minus ENOMEM. */
long xfd_make_room_for_xcr0(struct fpu_guest *guest, u64 xcr0, u64 new);
long xfd_make_room_for_xfd(struct fpu_guest *guest, u64 xcr0, u64 new);
long xfd_make_room_for_image(struct fpu_guest *guest, u64 xstate_bv);
bool xfd_guest_is_owed(struct fpu_guest *guest);

/* Rust: kvm_modules.rs */
void xfd_kvm_came(const char *module);
void xfd_kvm_goes(const char *module);

/* direct.c */
int xfd_before_set_xcr(struct kvm_vcpu *vcpu, u32 index, u64 xcr);
int xfd_before_set_msr(struct kvm_vcpu *vcpu, struct msr_data *msr);
int xfd_before_guest_image(struct fpu_guest *guest, const void *image);
int xfd_before_set_intercept(struct kvm_vcpu *vcpu, u32 msr, int type, bool set);

/* @grown is a mask of components, or an errno. */
static int after_making_room(struct kvm_vcpu *vcpu, long grown)
{
	if (grown < 0)
		return grown;
	/* What xfd_before_set_intercept() held off may be now. */
	if (grown && vcpu->arch.xfd_no_write_intercept)
		kvm_make_request(KVM_REQ_RECALC_INTERCEPTS, vcpu);
	return 0;
}

/* __kvm_set_xcr(), arch/x86/kvm/x86.c:1073: XSETBV and KVM_SET_XCRS. Not 0 is #GP and -EINVAL. */
int xfd_before_set_xcr(struct kvm_vcpu *vcpu, u32 index, u64 xcr)
{
	struct fpu_guest *guest = &vcpu->arch.guest_fpu;

	if (index != XCR_XFEATURE_ENABLED_MASK || !xfd_guest_is_owed(guest))
		return 0;
	return after_making_room(vcpu, xfd_make_room_for_xcr0(guest, vcpu->arch.xcr0, xcr));
}

/*
 * kvm_set_msr_common(), x86.c:3846: WRMSR and KVM_SET_MSRS. An errno ends KVM_RUN with it, and
 * the instruction has not run; KVM_SET_MSRS stops there.
 */
int xfd_before_set_msr(struct kvm_vcpu *vcpu, struct msr_data *msr)
{
	struct fpu_guest *guest = &vcpu->arch.guest_fpu;

	/* The trampoline asks for no other. */
	static_assert(offsetof(struct msr_data, index) == 4 && MSR_IA32_XFD == 0x1c4);
	if (!xfd_guest_is_owed(guest))
		return 0;
	return after_making_room(vcpu, xfd_make_room_for_xfd(guest, vcpu->arch.xcr0, msr->data));
}

/* fpu_copy_uabi_to_guest_fpstate(), arch/x86/kernel/fpu/core.c:434: KVM_SET_XSAVE. */
int xfd_before_guest_image(struct fpu_guest *guest, const void *image)
{
	struct kvm_vcpu *vcpu = container_of(guest, struct kvm_vcpu, arch.guest_fpu);
	const struct xregs_state *regs = image;

	if (!xfd_guest_is_owed(guest))
		return 0;
	return after_making_room(vcpu, xfd_make_room_for_image(guest, regs->header.xfeatures));
}

/*
 * vmx_set_intercept_for_msr(), arch/x86/kvm/vmx/vmx.c:4110. KVM lets a guest write IA32_XFD
 * unseen from its first non-zero value on (vmx.c:2356). One without room for what a zero makes
 * usable goes on being intercepted.
 */
int xfd_before_set_intercept(struct kvm_vcpu *vcpu, u32 msr, int type, bool set)
{
	return msr == MSR_IA32_XFD && !set && xfd_guest_is_owed(&vcpu->arch.guest_fpu);
}

/* Guards who came and goes. */
static DEFINE_MUTEX(xfd_kvm_mutex);

static int module_event(struct notifier_block *block, unsigned long event, void *data)
{
	struct module *module = data;

	mutex_lock(&xfd_kvm_mutex);
	if (event == MODULE_STATE_COMING)
		xfd_kvm_came(module->name);
	else if (event == MODULE_STATE_GOING)
		xfd_kvm_goes(module->name);
	mutex_unlock(&xfd_kvm_mutex);
	return NOTIFY_OK;
}

static struct notifier_block xfd_kvm_modules = { .notifier_call = module_event };

int xfd_kvm_watch(void)
{
	int error = register_module_notifier(&xfd_kvm_modules);

	if (error)
		return error;
	mutex_lock(&xfd_kvm_mutex);
	xfd_kvm_came("kvm");
	xfd_kvm_came("kvm_intel");
	mutex_unlock(&xfd_kvm_mutex);
	return 0;
}

void xfd_kvm_unwatch(void)
{
	unregister_module_notifier(&xfd_kvm_modules);
	mutex_lock(&xfd_kvm_mutex);
	xfd_kvm_goes("kvm_intel");
	xfd_kvm_goes("kvm");
	mutex_unlock(&xfd_kvm_mutex);
}

#else /* A kernel without virtual CPUs. */

int xfd_kvm_watch(void)
{
	return 0;
}

void xfd_kvm_unwatch(void)
{
}

#endif
