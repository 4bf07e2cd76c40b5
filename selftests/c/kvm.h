/* SPDX-License-Identifier: GPL-2.0 */
/* One vCPU, to see what creating the first one changes in a process. It is never run. */
#ifndef XFD_TEST_KVM_H
#define XFD_TEST_KVM_H

#include "machine.h"

#include <linux/kvm.h>
#include <sys/ioctl.h>

/* Opens /dev/kvm. Returns -1 with errno set on failure. */
static inline int kvm_open(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm < 0 && in_the_machine() && load_module("irqbypass") && load_module("kvm") &&
	    load_module("kvm-intel"))
		kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	return kvm;
}

struct vcpu {
	int kvm, vm, vcpu;
};

/* @vcpu->vcpu is negative on failure. */
static inline void vcpu_create(struct vcpu *vcpu, int kvm)
{
	vcpu->kvm = kvm;
	vcpu->vm = ioctl(kvm, KVM_CREATE_VM, 0);
	vcpu->vcpu = vcpu->vm < 0 ? -1 : ioctl(vcpu->vm, KVM_CREATE_VCPU, 0);
}

static inline void vcpu_destroy(struct vcpu *vcpu)
{
	close(vcpu->vcpu);
	close(vcpu->vm);
	close(vcpu->kvm);
}

#endif
