// SPDX-License-Identifier: GPL-2.0
//! Virtual CPUs: what KVM asks of the FPU code.

pub(crate) mod guests;
pub(crate) mod kvm_modules;
pub(crate) mod promise;
pub(crate) mod update;
pub(crate) mod vcpu;
