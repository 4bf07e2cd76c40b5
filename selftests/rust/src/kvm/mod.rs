// SPDX-License-Identifier: GPL-2.0
//! A small virtual machine monitor, for testing the kernel FPU code that KVM calls.

pub mod area;
pub mod guest;
pub mod ioctls;
pub mod layout;
pub mod moved;
pub mod snapshot;
pub mod states;
pub mod stats;
pub mod vcpu;
pub mod vm;

use crate::counters::bugs_are_mended;
use crate::ktap::Outcome;
use crate::{child, machine};
use anyhow::{ensure, Context};
use kvm_bindings::{kvm_cpuid_entry2, CpuId, KVM_MAX_CPUID_ENTRIES};
use kvm_ioctls::Kvm;
use std::path::Path;
use vcpu::Vcpu;
use vm::Vm;
use xcomp::Feature;

/// IA32_XFD.
pub const XFD: u32 = 0x1c4;
/// IA32_XFD_ERR.
pub const XFD_ERR: u32 = 0x1c5;
/// IA32_XSS.
pub const XSS: u32 = 0xda0;
/// IA32_U_CET, an MSR that KVM reads and writes with the vCPU's registers loaded.
pub const U_CET: u32 = 0x6a0;
/// IA32_PL0_SSP, likewise.
pub const PL0_SSP: u32 = 0x6a4;
/// Component 17.
pub const TILE_CFG: u64 = 1 << 17;
/// Component 18.
pub const TILE_DATA: u64 = 1 << 18;
/// Both AMX components.
pub const TILES: u64 = TILE_CFG | TILE_DATA;
/// x87, SSE, AVX and AMX.
pub const XCR0_WITH_TILES: u64 = 7 | TILES;
/// Device not available.
pub const NM: u8 = 7;
/// General protection.
pub const GP: u8 = 13;
/// The size of struct kvm_xsave, and hence the minimum that GET_XSAVE2 writes.
pub const SMALL: usize = 4096;
/// The size of an uncompacted XSAVE area with tile data.
pub const LARGE: usize = 11008;

/// Opens KVM. In the machine, which ships KVM's modules but does not load them, loads them first.
///
/// # Errors
///
/// KVM is missing, or may not be used.
pub fn open() -> anyhow::Result<Kvm> {
    if !Path::new("/dev/kvm").exists() {
        machine::load_modules(&["irqbypass", "kvm", "kvm-intel"])?;
    }
    Kvm::new().context("/dev/kvm")
}

/// Runs a test that needs KVM and AMX in a separate process, which starts without permission.
///
/// # Errors
///
/// The test failed.
pub fn apart(test: fn() -> anyhow::Result<()>) -> anyhow::Result<Outcome> {
    if let Some(why) = missing()? {
        return Ok(Outcome::Skipped(why));
    }
    child::passes(test)?;
    Ok(Outcome::Passed)
}

/// The same, for a test that the stock kernel does not survive: arch/x86/kernel/fpu/core.c:338.
///
/// # Errors
///
/// The test failed.
pub fn apart_where_mended(test: fn() -> anyhow::Result<()>) -> anyhow::Result<Outcome> {
    if !bugs_are_mended() {
        return Ok(Outcome::Skipped(
            "the stock kernel has this bug: #NM in the kernel, Oops".into(),
        ));
    }
    apart(test)
}

/// The tests with these names, each run [`apart`].
#[macro_export]
macro_rules! kvm_tests {
    ($($test:ident),* $(,)?) => {
        &[$((stringify!($test), || $crate::kvm::apart($test))),*]
    };
}

/// Why tests with guests that use tiles cannot run here; `None` if they can.
///
/// # Errors
///
/// The kernel does not support permissions.
pub fn missing() -> anyhow::Result<Option<String>> {
    if !xcomp::supported()?.contains(Feature::TILE_DATA) {
        return Ok(Some("no AMX on this machine".into()));
    }
    Ok(open().err().map(|error| format!("no KVM: {error:#}")))
}

/// A virtual machine with one vCPU whose CPUID has AMX, after asking for permission.
///
/// # Errors
///
/// Errors from KVM.
pub fn with_tiles() -> anyhow::Result<(Vm, Vcpu)> {
    hiding(0)
}

/// The same, except that the CPUID lacks these XCR0 components.
///
/// # Errors
///
/// Errors from KVM.
pub fn hiding(xcr0: u64) -> anyhow::Result<(Vm, Vcpu)> {
    xcomp::request_guest(Feature::TILE_DATA)?;
    let kvm = open()?;
    let vm = Vm::new(&kvm)?;
    let vcpu = vm.vcpu(0, &with_xcr0(&supported_cpuid(&kvm)?, 0, xcr0)?)?;
    Ok((vm, vcpu))
}

/// The same, with tiles configured, and contents `number` for [`guest::load`].
///
/// # Errors
///
/// Errors from KVM.
pub fn configured(number: u64) -> anyhow::Result<(Vm, Vcpu)> {
    let (vm, mut vcpu) = with_tiles()?;
    vcpu.set_tiles(&crate::tile::content(number))?;
    vcpu.values(&ENABLE)?;
    Ok((vm, vcpu))
}

/// How a guest enables tiles.
pub const ENABLE: [guest::Op; 3] = [
    guest::set_cr4(1 << 18),
    guest::xsetbv(XCR0_WITH_TILES),
    guest::configure(),
];

/// What KVM supports for this process's guests, as CPUID leaves. The APIC ID is 0: KVM reports that of
/// the CPU it happens to run on, and refuses a vCPU that has run leaves that differ from its own.
///
/// # Errors
///
/// ENOMEM.
pub fn supported_cpuid(kvm: &Kvm) -> anyhow::Result<CpuId> {
    let mut cpuid = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .context("KVM_GET_SUPPORTED_CPUID")?;
    for leaf in cpuid.as_mut_slice() {
        match leaf.function {
            1 => leaf.ebx &= 0x00ff_ffff,
            0xb | 0x1f => leaf.edx = 0,
            _ => (),
        }
    }
    Ok(cpuid)
}

/// One of these leaves.
#[must_use]
pub fn leaf(cpuid: &CpuId, function: u32, index: u32) -> Option<kvm_cpuid_entry2> {
    let mut leaves = cpuid.as_slice().iter();
    leaves
        .find(|leaf| (leaf.function, leaf.index) == (function, index))
        .copied()
}

/// The XCR0 components that the leaves report: CPUID.(0DH,0):EDX:EAX.
#[must_use]
pub fn shown_xcr0(cpuid: &CpuId) -> u64 {
    leaf(cpuid, 0xd, 0).map_or(0, |leaf| u64::from(leaf.edx) << 32 | u64::from(leaf.eax))
}

/// The same leaves with the components in `set` shown and those in `clear` hidden.
///
/// # Errors
///
/// There is no leaf 0DH.
pub fn with_xcr0(cpuid: &CpuId, set: u64, clear: u64) -> anyhow::Result<CpuId> {
    ensure!((set | clear) >> 32 == 0, "components above 31");
    let mut changed = cpuid.clone();
    let mut leaves = changed.as_mut_slice().iter_mut();
    let leaf = leaves
        .find(|leaf| (leaf.function, leaf.index) == (0xd, 0))
        .context("no leaf 0DH")?;
    leaf.eax = (leaf.eax | set as u32) & !(clear as u32);
    Ok(changed)
}
