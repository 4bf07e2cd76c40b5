// SPDX-License-Identifier: GPL-2.0
//! A Linux guest inside the machine: the stock kernel and a file system with the same init, built in the same way, as
//! files in the machine. selftests/kvm/kvm_linux.sh starts it.

use anyhow::Result;
use serde::Deserialize;

use crate::boot::machine::{Machine, Settings};
use crate::piece::initramfs::Initramfs;
use crate::piece::module::Module;
use crate::piece::programs::Programs;

/// `linux-guest` of a boot.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinuxGuest {
    /// The module in it.
    #[serde(default)]
    pub module: Module,
    /// What it runs.
    pub tests: Vec<String>,
    /// What those call or source.
    #[serde(default)]
    pub with: Vec<String>,
}

/// What runs it, of the recipe's software.
const VMM: [&str; 3] = ["qemu-system-x86_64-microvm", "bios-microvm.bin", "linuxboot_dma.bin"];

/// Puts QEMU, and kernel, file system and settings of `guest` into `files`.
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
