// SPDX-License-Identifier: GPL-2.0
//! Live migration: a vCPU's state and memory as bytes, and a vCPU restored from them.

use super::ioctls::{self, Fenced};
use super::layout;
use super::vcpu::Vcpu;
use super::{XFD, XFD_ERR, XSS};
use anyhow::{ensure, Context};
use kvm_bindings::{kvm_cpuid_entry2, kvm_regs, kvm_sregs, kvm_xcrs, CpuId, KVM_MAX_CPUID_ENTRIES};
use serde::{Deserialize, Serialize};
use vm_memory::{Bytes, GuestAddress};

/// What is transferred from one process to another.
#[derive(Clone, Serialize, Deserialize)]
pub struct Moved {
    /// The vCPU's CPUID leaves.
    pub cpuid: Vec<kvm_cpuid_entry2>,
    regs: kvm_regs,
    sregs: kvm_sregs,
    /// Its XSAVE area.
    pub xsave: Vec<u8>,
    xcrs: kvm_xcrs,
    /// XFD, XFD_ERR and XSS, as far as it has them.
    pub msrs: Vec<(u32, u64)>,
    memory: Vec<u8>,
}

/// A part restored by one ioctl.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// KVM_SET_SREGS.
    Sregs,
    /// KVM_SET_REGS.
    Regs,
    /// KVM_SET_XSAVE.
    Xsave,
    /// KVM_SET_XCRS.
    Xcrs,
    /// KVM_SET_MSRS.
    Msrs,
}

/// QEMU's order: XSAVE before XCRS, MSRs last (target/i386/kvm/kvm.c, kvm_arch_put_registers()).
pub const AS_QEMU: [Part; 5] = [Part::Sregs, Part::Regs, Part::Xsave, Part::Xcrs, Part::Msrs];

/// Why a vCPU could not be restored: the ioctl, and its errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub &'static str, pub i32);

/// The blocks of two vCPUs, and everything below them.
const CARRIED: usize = (layout::BLOCKS + 2 * layout::BLOCK) as usize;

impl Moved {
    /// Saves a vCPU that has reached the end of a list, with `size` bytes of XSAVE area.
    ///
    /// # Errors
    ///
    /// Errors from KVM.
    pub fn from(vcpu: &mut Vcpu, size: usize) -> anyhow::Result<Self> {
        // The OUT completes only after KVM_RUN has been entered once more (api.rst, KVM_EXIT_IO).
        vcpu.fd.set_kvm_immediate_exit(1);
        let error = vcpu.fd.run().err().map(|error| error.errno());
        ensure!(
            error == Some(libc::EINTR),
            "KVM_RUN with immediate_exit: {error:?}"
        );
        vcpu.fd.set_kvm_immediate_exit(0);
        let mut xsave = Fenced::new(&vec![0; size])?;
        ioctls::get_xsave2(&vcpu.fd, &mut xsave).context("KVM_GET_XSAVE2")?;
        let mut msrs = Vec::new();
        for index in [XSS, XFD, XFD_ERR] {
            msrs.extend(vcpu.msr(index)?.map(|value| (index, value)));
        }
        let mut memory = vec![0; CARRIED];
        vcpu.memory().read_slice(&mut memory, GuestAddress(0))?;
        Ok(Moved {
            cpuid: vcpu
                .fd
                .get_cpuid2(KVM_MAX_CPUID_ENTRIES)?
                .as_slice()
                .to_vec(),
            regs: vcpu.fd.get_regs()?,
            sregs: vcpu.fd.get_sregs()?,
            xsave: xsave.bytes(),
            xcrs: vcpu.fd.get_xcrs()?,
            msrs,
            memory,
        })
    }

    /// Restores this state in `vcpu`, which has no CPUID yet. The inner error is a refusal by KVM.
    ///
    /// # Errors
    ///
    /// Guest memory cannot be written.
    pub fn restore(&self, vcpu: &mut Vcpu, order: &[Part]) -> anyhow::Result<Result<(), Refused>> {
        vcpu.memory().write_slice(&self.memory, GuestAddress(0))?;
        let cpuid = CpuId::from_entries(&self.cpuid)?;
        if let Err(error) = vcpu.fd.set_cpuid2(&cpuid) {
            return Ok(Err(Refused("KVM_SET_CPUID2", error.errno())));
        }
        for &part in order {
            if let Err(refused) = self.restore_part(vcpu, part)? {
                return Ok(Err(refused));
            }
        }
        Ok(Ok(()))
    }

    /// Restores one part. The inner error is a refusal by KVM.
    ///
    /// # Errors
    ///
    /// ENOMEM in this process.
    pub fn restore_part(&self, vcpu: &Vcpu, part: Part) -> anyhow::Result<Result<(), Refused>> {
        let (name, result) = match part {
            Part::Sregs => ("KVM_SET_SREGS", vcpu.fd.set_sregs(&self.sregs)),
            Part::Regs => ("KVM_SET_REGS", vcpu.fd.set_regs(&self.regs)),
            Part::Xcrs => ("KVM_SET_XCRS", vcpu.fd.set_xcrs(&self.xcrs)),
            Part::Xsave => {
                let xsave = ioctls::set_xsave(&vcpu.fd, &Fenced::new(&self.xsave)?);
                let errno = |error: std::io::Error| error.raw_os_error().unwrap_or(0);
                return Ok(xsave.map_err(|error| Refused("KVM_SET_XSAVE", errno(error))));
            }
            Part::Msrs => {
                for &(index, value) in &self.msrs {
                    if !vcpu.set_msr(index, value)? {
                        return Ok(Err(Refused("KVM_SET_MSRS", 0)));
                    }
                }
                return Ok(Ok(()));
            }
        };
        Ok(result.map_err(|error| Refused(name, error.errno())))
    }
}
