// SPDX-License-Identifier: GPL-2.0
//! How often a vCPU left the guest, and why: KVM's binary statistics (Documentation/virt/kvm/api.rst, 4.133).

use super::ioctls;
use anyhow::Context;
use kvm_ioctls::VcpuFd;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

const EXITS: &str = "exits";
/// Exits that are not the guest's own doing.
const OF_THE_HOST: [&str; 2] = ["irq_exits", "pf_taken"];

/// A vCPU's counters.
pub struct Stats {
    file: File,
    /// Where each of them is in the file. Histograms are left out.
    places: BTreeMap<String, u64>,
}

/// The counters' values at one time.
pub struct Values(BTreeMap<String, u64>);

impl Stats {
    /// Opens this vCPU's counters.
    ///
    /// # Errors
    ///
    /// KVM has no such counters.
    pub fn of(vcpu: &VcpuFd) -> anyhow::Result<Self> {
        let file = ioctls::stats(vcpu).context("KVM_GET_STATS_FD")?;
        let places = places(&file).context("KVM's counters")?;
        for name in [EXITS].iter().chain(&OF_THE_HOST).copied() {
            anyhow::ensure!(places.contains_key(name), "KVM has no counter {name}");
        }
        Ok(Stats { file, places })
    }

    /// Reads all of them.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn read(&self) -> anyhow::Result<Values> {
        let value =
            |(name, place): (&String, &u64)| Ok((name.clone(), number(&self.file, *place, 8)?));
        let values = self
            .places
            .iter()
            .map(value)
            .collect::<std::io::Result<_>>();
        values.map(Values).context("KVM's counters")
    }
}

impl Values {
    /// Exits so far that the guest caused by what it did, not the host by an interrupt or by a page that it had not
    /// mapped yet. Without huge pages there are more of the latter.
    #[must_use]
    pub fn exits(&self) -> u64 {
        self.0[EXITS] - OF_THE_HOST.iter().map(|name| self.0[*name]).sum::<u64>()
    }

    /// The counters that have changed since `before`, and by how much.
    #[must_use]
    pub fn since(&self, before: &Values) -> String {
        let change = |(name, value): (&String, &u64)| match value.wrapping_sub(before.0[name]) {
            0 => None,
            by => Some(format!("{name} {by}")),
        };
        self.0
            .iter()
            .filter_map(change)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

fn number(file: &File, at: u64, bytes: usize) -> std::io::Result<u64> {
    let mut number = [0; 8];
    file.read_exact_at(&mut number[..bytes], at)?;
    Ok(u64::from_le_bytes(number))
}

/// The counters' names and offsets. After struct kvm_stats_header, each has a struct kvm_stats_desc and its name.
fn places(file: &File) -> anyhow::Result<BTreeMap<String, u64>> {
    let header = |field| number(file, field, 4);
    let (name_size, count) = (header(4)?, header(8)?);
    let (descriptors, data) = (header(16)?, header(20)?);
    let mut places = BTreeMap::new();
    for i in 0..count {
        let descriptor = descriptors + i * (16 + name_size);
        let mut name = vec![0; usize::try_from(name_size)?];
        file.read_exact_at(&mut name, descriptor + 16)?;
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        if number(file, descriptor + 6, 2)? == 1 {
            let place = data + number(file, descriptor + 8, 4)?;
            places.insert(String::from_utf8_lossy(name).into_owned(), place);
        }
    }
    Ok(places)
}
