// SPDX-License-Identifier: GPL-2.0
//! A Firecracker-style snapshot: all MSRs that KVM lists, restored in lists, after the XSAVE area. State that needs an
//! interrupt controller is left out.

use super::moved::{Moved, Part};
use super::vcpu::Vcpu;
use super::LARGE;
use anyhow::{ensure, Context};
use kvm_bindings::{kvm_debugregs, kvm_msr_entry, kvm_vcpu_events, Msrs};
use kvm_ioctls::Kvm;

/// A vCPU's state and memory.
pub struct Snapshot {
    moved: Moved,
    debug: kvm_debugregs,
    msrs: Vec<kvm_msr_entry>,
    events: kvm_vcpu_events,
}

/// The steps of a restore, each a few ioctls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// KVM_SET_XSAVE, KVM_SET_XCRS.
    Xsave,
    /// KVM_SET_MSRS, with at most this many per list.
    Msrs(usize),
    /// KVM_SET_MSRS for one MSR with this value, whatever the snapshot has.
    Msr(u32, u64),
}

/// MSR_KVM_ASYNC_PF_INT: KVM reads it without an interrupt controller, and refuses to set it.
const NEEDS_APIC: u32 = 0x4b56_4d06;

/// Firecracker's order, with up to 256 MSRs per list (src/vmm/src/arch/x86_64/vcpu.rs, restore_state()).
pub const AS_FIRECRACKER: [Step; 2] = [Step::Xsave, Step::Msrs(256)];

impl Snapshot {
    /// Saves a vCPU that has reached the end of a list, omitting the MSRs in `without`.
    ///
    /// # Errors
    ///
    /// Errors from KVM.
    pub fn of(kvm: &Kvm, vcpu: &mut Vcpu, without: &[u32]) -> anyhow::Result<Self> {
        let moved = Moved::from(vcpu, LARGE)?;
        let debug = vcpu.fd.get_debug_regs().context("KVM_GET_DEBUGREGS")?;
        let list = kvm.get_msr_index_list().context("KVM_GET_MSR_INDEX_LIST")?;
        let mut msrs = Vec::new();
        for &index in list.as_slice() {
            // KVM lists some that this vCPU lacks.
            let saved = index != NEEDS_APIC && !without.contains(&index);
            let data = vcpu.msr(index)?.filter(|_| saved);
            msrs.extend(data.map(|data| kvm_msr_entry {
                index,
                data,
                ..Default::default()
            }));
        }
        let events = vcpu.fd.get_vcpu_events().context("KVM_GET_VCPU_EVENTS")?;
        Ok(Snapshot {
            moved,
            debug,
            msrs,
            events,
        })
    }

    /// Restores the snapshot in a new vCPU, or in one created with the same CPUID that has run.
    ///
    /// # Errors
    ///
    /// KVM refuses a part.
    pub fn restore(&self, vcpu: &mut Vcpu, order: &[Step]) -> anyhow::Result<()> {
        let begun = self.moved.restore(vcpu, &[Part::Regs, Part::Sregs])?;
        ensure!(begun.is_ok(), "{begun:?}");
        for &step in order {
            match step {
                Step::Xsave => {
                    for part in [Part::Xsave, Part::Xcrs] {
                        let done = self.moved.restore_part(vcpu, part)?;
                        ensure!(done.is_ok(), "{done:?}");
                    }
                }
                Step::Msrs(most) => {
                    for list in self.msrs.chunks(most) {
                        set(vcpu, list)?;
                    }
                }
                Step::Msr(index, value) => ensure!(vcpu.set_msr(index, value)?, "MSR {index:#x}"),
            }
        }
        vcpu.fd
            .set_debug_regs(&self.debug)
            .context("KVM_SET_DEBUGREGS")?;
        vcpu.fd
            .set_vcpu_events(&self.events)
            .context("KVM_SET_VCPU_EVENTS")
    }
}

fn set(vcpu: &Vcpu, list: &[kvm_msr_entry]) -> anyhow::Result<()> {
    let taken = vcpu
        .fd
        .set_msrs(&Msrs::from_entries(list)?)
        .context("KVM_SET_MSRS")?;
    match list.get(taken) {
        None => Ok(()),
        Some(refused) => anyhow::bail!("KVM_SET_MSRS: {:#x} is refused", refused.index),
    }
}
