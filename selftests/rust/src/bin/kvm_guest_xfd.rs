// SPDX-License-Identifier: GPL-2.0
//! A guest's IA32_XFD and IA32_XFD_ERR: which values guest and host may write, and tiles that XFD has armed.

use anyhow::{ensure, Context};
use kvm_bindings::CpuId;
use std::process::ExitCode;
use xcomp::Feature;
use xfd_selftests::ktap::{self};
use xfd_selftests::kvm::guest::{self as does, Op};
use xfd_selftests::kvm::vcpu::{Outcome as Ended, Vcpu};
use xfd_selftests::kvm::vm::Vm;
use xfd_selftests::kvm::{
    self, with_xcr0, ENABLE, GP, NM, TILES, TILE_CFG, TILE_DATA, XFD, XFD_ERR,
};
use xfd_selftests::kvm_tests;

const TESTS: &[ktap::Test] = kvm_tests![
    listed,
    written_by_the_host,
    written_by_the_host_without_tiles,
    written_by_the_guest,
    written_by_a_guest_without_tiles,
    a_guest_without_xfd_has_neither,
    what_the_guest_wrote_is_read,
    what_the_host_wrote_is_in_force,
    nm_by_ts_leaves_xfd_err,
];

const TS: u64 = 8;

fn main() -> ExitCode {
    ktap::run(TESTS)
}

fn listed() -> anyhow::Result<()> {
    let list = kvm::open()?.get_msr_index_list()?;
    for msr in [XFD, XFD_ERR] {
        ensure!(
            list.as_slice().contains(&msr),
            "MSR {msr:#x} is not in the list"
        );
    }
    Ok(())
}

/// Checks which of these values KVM_SET_MSRS accepts; a refused one changes nothing.
fn takes(vcpu: &Vcpu, values: &[(u64, bool)]) -> anyhow::Result<()> {
    for msr in [XFD, XFD_ERR] {
        ensure!(
            vcpu.msr(msr)? == Some(0),
            "MSR {msr:#x} after reset: {:x?}",
            vcpu.msr(msr)?
        );
        let mut kept = 0;
        for &(value, taken) in values {
            ensure!(
                vcpu.set_msr(msr, value)? == taken,
                "MSR {msr:#x} = {value:#x}: not {taken}"
            );
            kept = if taken { value } else { kept };
            let is = vcpu.msr(msr)?;
            ensure!(
                is == Some(kept),
                "MSR {msr:#x} is {is:x?}, expected {kept:#x}"
            );
        }
    }
    Ok(())
}

/// arch/x86/kvm/x86.c:3851: components that XFD can arm and that the guest may have.
fn written_by_the_host() -> anyhow::Result<()> {
    let (_vm, vcpu) = kvm::with_tiles()?;
    let bad = [TILES, TILE_CFG, 4, 1 << 63, u64::MAX].map(|value| (value, false));
    takes(
        &vcpu,
        &[&[(TILE_DATA, true)], &bad[..], &[(0, true)]].concat(),
    )
}

/// A vCPU in a process that may use tiles, with modified versions of KVM's supported CPUID leaves.
fn permitted(change: impl FnOnce(&CpuId) -> anyhow::Result<CpuId>) -> anyhow::Result<(Vm, Vcpu)> {
    xcomp::request_guest(Feature::TILE_DATA)?;
    let kvm = kvm::open()?;
    let vm = Vm::new(&kvm)?;
    let vcpu = vm.vcpu(0, &change(&kvm::supported_cpuid(&kvm)?)?)?;
    Ok((vm, vcpu))
}

fn written_by_the_host_without_tiles() -> anyhow::Result<()> {
    let (_vm, vcpu) = permitted(|cpuid| with_xcr0(cpuid, 0, TILES))?;
    takes(&vcpu, &[(TILE_DATA, false), (0, true)])?;
    let vm = Vm::new(&kvm::open()?)?;
    takes(&vm.bare_vcpu(0)?, &[(TILE_DATA, false), (0, true)])
}

/// Checks that each of these ends in #GP.
fn faults(vcpu: &mut Vcpu, ops: &[Op]) -> anyhow::Result<()> {
    for (op, outcome) in ops.iter().zip(vcpu.run(ops)?) {
        ensure!(
            outcome == Ended::Exception(GP, 0),
            "{op:x?} ended in {outcome:x?}"
        );
    }
    Ok(())
}

/// Both while WRMSR is intercepted, and once it no longer is.
fn written_by_the_guest() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::with_tiles()?;
    vcpu.values(&ENABLE)?;
    let bad = |msr| [TILES, TILE_CFG, 4, 1 << 63].map(|value| does::wrmsr(msr, value));
    for _ in 0..2 {
        faults(&mut vcpu, &[bad(XFD), bad(XFD_ERR)].concat())?;
        let good = [
            does::wrmsr(XFD, TILE_DATA),
            does::wrmsr(XFD_ERR, TILE_DATA),
            does::rdmsr(XFD),
            does::rdmsr(XFD_ERR),
            does::wrmsr(XFD, 0),
            does::wrmsr(XFD_ERR, 0),
        ];
        let values = vcpu.values(&good)?;
        ensure!(values[2..4] == [TILE_DATA; 2], "read: {values:x?}");
    }
    Ok(())
}

fn written_by_a_guest_without_tiles() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = permitted(|cpuid| with_xcr0(cpuid, 0, TILES))?;
    vcpu.values(&[
        ENABLE[0],
        does::xsetbv(7),
        does::rdmsr(XFD),
        does::wrmsr(XFD, 0),
        does::wrmsr(XFD_ERR, 0),
    ])?;
    faults(
        &mut vcpu,
        &[does::wrmsr(XFD, TILE_DATA), does::wrmsr(XFD_ERR, TILE_DATA)],
    )
}

/// CPUID.(0DH,1):EAX[4] is 0.
fn a_guest_without_xfd_has_neither() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = permitted(|cpuid| {
        let mut cpuid = cpuid.clone();
        let mut leaves = cpuid.as_mut_slice().iter_mut();
        let leaf = leaves.find(|leaf| (leaf.function, leaf.index) == (0xd, 1));
        leaf.context("no leaf 0DH.1")?.eax &= !(1 << 4);
        Ok(cpuid)
    })?;
    faults(
        &mut vcpu,
        &[
            does::rdmsr(XFD),
            does::wrmsr(XFD, 0),
            does::rdmsr(XFD_ERR),
            does::wrmsr(XFD_ERR, 0),
        ],
    )
}

/// Once KVM no longer intercepts the guest's writes.
fn what_the_guest_wrote_is_read() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::with_tiles()?;
    vcpu.values(&ENABLE)?;
    for value in [0, TILE_DATA, 0, TILE_DATA, TILE_DATA, 0] {
        vcpu.values(&[does::wrmsr(XFD, value)])?;
        let is = vcpu.msr(XFD)?;
        ensure!(
            is == Some(value),
            "XFD is {is:x?}, the guest wrote {value:#x}"
        );
    }
    Ok(())
}

fn what_the_host_wrote_is_in_force() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::with_tiles()?;
    vcpu.values(&ENABLE)?;
    for round in 0..3 {
        ensure!(vcpu.set_msr(XFD, TILE_DATA)?, "XFD was refused");
        ensure!(vcpu.set_msr(XFD_ERR, TILE_DATA)?, "XFD_ERR was refused");
        let outcomes = vcpu.run(&[
            does::rdmsr(XFD),
            does::rdmsr(XFD_ERR),
            does::wrmsr(XFD_ERR, 0),
            does::zero(),
        ])?;
        ensure!(
            outcomes[0] == Ended::Value(TILE_DATA),
            "round {round}: {outcomes:x?}"
        );
        ensure!(
            outcomes[1] == Ended::Value(TILE_DATA),
            "round {round}: {outcomes:x?}"
        );
        ensure!(
            outcomes[3] == Ended::Exception(NM, 0),
            "round {round}: {outcomes:x?}"
        );
        let is = vcpu.msr(XFD_ERR)?;
        ensure!(is == Some(TILE_DATA), "XFD_ERR after #NM: {is:x?}");
        ensure!(vcpu.set_msr(XFD, 0)?, "XFD was refused");
        // Without live tiles: see the next test.
        vcpu.values(&[does::zero(), does::release(), does::configure()])?;
    }
    Ok(())
}

/// 3ef0df3f760f: the guest has XFD armed, so KVM intercepts #NM.
fn nm_by_ts_leaves_xfd_err() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::with_tiles()?;
    vcpu.values(&ENABLE)?;
    for preset in [0, TILE_DATA, 0] {
        vcpu.values(&[
            does::wrmsr(XFD, TILE_DATA),
            does::wrmsr(XFD_ERR, preset),
            does::set_cr0(TS),
        ])?;
        let outcomes = vcpu.run(&[
            does::fnop(),
            does::rdmsr(XFD_ERR),
            does::clear_cr0(TS),
            does::fnop(),
        ])?;
        ensure!(
            outcomes[0] == Ended::Exception(NM, 0),
            "FNOP with TS set: {outcomes:x?}"
        );
        ensure!(
            outcomes[1] == Ended::Value(preset),
            "XFD_ERR: {outcomes:x?}, was {preset:#x}"
        );
        ensure!(
            matches!(outcomes[3], Ended::Value(_)),
            "FNOP: {outcomes:x?}"
        );
        let is = vcpu.msr(XFD_ERR)?;
        ensure!(
            is == Some(preset),
            "XFD_ERR by KVM_GET_MSRS: {is:x?}, was {preset:#x}"
        );
    }
    Ok(())
}
