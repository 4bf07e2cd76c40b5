// SPDX-License-Identifier: GPL-2.0
//! Prepares a Linux guest that the machine's own Linux runs: the stock kernel, and a file system built in the same way
//! with the same init, as files in the machine. selftests/kvm/kvm_linux.sh starts it.

use anyhow::Result;
use serde::Deserialize;

use crate::boot::machine::{Machine, Settings};
use crate::piece::initramfs::Initramfs;
use crate::piece::module::Module;
use crate::piece::programs::Programs;

/// The setting `linux-guest` of a boot.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinuxGuest {
    /// Whether it has the module, and what loads it.
    #[serde(default)]
    pub module: Module,
    /// The tests that it runs.
    pub tests: Vec<String>,
    /// The programs and scripts that these use.
    #[serde(default)]
    pub with: Vec<String>,
}

/// The files of the recipe's software that run it.
const VMM: [&str; 3] = ["qemu-system-x86_64-microvm", "bios-microvm.bin", "linuxboot_dma.bin"];

/// Adds QEMU, and the kernel, file system and settings of `guest`, to `files`.
pub fn add(machine: &Machine, programs: &Programs, guest: &LinuxGuest, files: &mut Initramfs) -> Result<()> {
    let settings = Settings::Tests(guest.tests.clone());
    let kernel = machine.stock();
    let module = (guest.module != Module::Absent).then(|| machine.module(kernel)).transpose()?;
    let mut inner = machine.guest_with(kernel, &settings, module.as_ref(), guest.module.loaded())?;
    for name in guest.tests.iter().chain(&guest.with) {
        programs.install(name, &mut inner)?;
    }
    for name in VMM {
        programs.install_software(name, files)?;
    }
    files.file("guest/vmlinuz", &kernel.image())?;
    files.content("guest/initramfs", 0o644, inner.archive()?);
    files.content("guest/settings", 0o644, settings.text(guest.module.loaded()));
    Ok(())
}
