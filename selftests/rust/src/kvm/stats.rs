// SPDX-License-Identifier: GPL-2.0
//! How often a vCPU left the guest: KVM's binary statistics (Documentation/virt/kvm/api.rst, 4.133).

use super::ioctls;
use anyhow::Context;
use kvm_ioctls::VcpuFd;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// A vCPU's counters.
pub struct Stats {
    file: File,
    exits: u64,
    interrupts: u64,
}

impl Stats {
    /// Opens this vCPU's counters.
    ///
    /// # Errors
    ///
    /// KVM has no such counters.
    pub fn of(vcpu: &VcpuFd) -> anyhow::Result<Self> {
        let file = ioctls::stats(vcpu).context("KVM_GET_STATS_FD")?;
        let place = |name| place(&file, name).with_context(|| format!("KVM's counter {name}"));
        let (exits, interrupts) = (place("exits")?, place("irq_exits")?);
        Ok(Stats {
            file,
            exits,
            interrupts,
        })
    }

    /// Exits so far, not counting the host's own interrupts.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn exits(&self) -> anyhow::Result<u64> {
        let read = |at| number(&self.file, at, 8).context("KVM's counters");
        Ok(read(self.exits)? - read(self.interrupts)?)
    }
}

fn number(file: &File, at: u64, bytes: usize) -> std::io::Result<u64> {
    let mut number = [0; 8];
    file.read_exact_at(&mut number[..bytes], at)?;
    Ok(u64::from_le_bytes(number))
}

/// The offset of counter `name`. After struct kvm_stats_header, each has a struct kvm_stats_desc and its name.
fn place(file: &File, name: &str) -> anyhow::Result<u64> {
    let header = |field| number(file, field, 4);
    let (name_size, count) = (header(4)?, header(8)?);
    let (descriptors, data) = (header(16)?, header(20)?);
    for i in 0..count {
        let descriptor = descriptors + i * (16 + name_size);
        let mut bytes = vec![0; usize::try_from(name_size)?];
        file.read_exact_at(&mut bytes, descriptor + 16)?;
        if bytes.split(|&byte| byte == 0).next() == Some(name.as_bytes()) {
            return Ok(data + number(file, descriptor + 8, 4)?);
        }
    }
    anyhow::bail!("not there")
}
