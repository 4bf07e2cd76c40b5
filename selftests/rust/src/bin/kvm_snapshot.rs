// SPDX-License-Identifier: GPL-2.0
//! A Firecracker-style snapshot and restore: what a guest sees afterwards, in a new vCPU and in one that has run, and
//! what it lacks if IA32_XSS or IA32_XFD was left out.

use anyhow::{ensure, Context};
use std::process::ExitCode;
use xfd_selftests::ktap::{self, Outcome};
use xfd_selftests::kvm::guest as does;
use xfd_selftests::kvm::snapshot::{Snapshot, Step, AS_FIRECRACKER};
use xfd_selftests::kvm::states::{goes_on, into_state};
use xfd_selftests::kvm::vcpu::{Outcome as Ended, Vcpu};
use xfd_selftests::kvm::vm::Vm;
use xfd_selftests::kvm::{self, GP, TILES, TILE_CFG, XFD, XSS};

const TESTS: &[ktap::Test] = &[
    ("every_state_returns", || kvm::apart(every_state_returns)),
    ("in_lists_of_any_length", || {
        kvm::apart(in_lists_of_any_length)
    }),
    ("supervisor_state_returns", || {
        kvm::apart(supervisor_state_returns)
    }),
    ("without_xss", || kvm::apart(without_xss)),
    ("without_xfd", || kvm::apart(without_xfd)),
    ("over_an_armed_vcpu", || kvm::apart(over_an_armed_vcpu)),
    ("over_live_tiles", over_live_tiles),
    ("disarmed_before_everything", || {
        kvm::apart(disarmed_before_everything)
    }),
];

const STATES: [&str; 4] = ["live", "released", "armed", "in_nm"];
/// Component 11, a supervisor component.
const CET_USER: u32 = 1 << 11;
/// What the guest saves with XSAVES: x87, SSE, AVX and CET_U.
const SAVED: u32 = 7 | CET_USER;

fn main() -> ExitCode {
    ktap::run(TESTS)
}

/// A guest in that state.
fn guest(state: &str) -> anyhow::Result<(Vm, Vcpu)> {
    let (vm, mut vcpu) = kvm::with_tiles()?;
    into_state(&mut vcpu, state)?;
    Ok((vm, vcpu))
}

fn snapshot(state: &str, without: &[u32]) -> anyhow::Result<Snapshot> {
    let (_vm, mut vcpu) = guest(state)?;
    Snapshot::of(&kvm::open()?, &mut vcpu, without)
}

/// Restores the snapshot in a new virtual machine.
fn restored(snapshot: &Snapshot, order: &[Step]) -> anyhow::Result<(Vm, Vcpu)> {
    let vm = Vm::new(&kvm::open()?)?;
    let mut vcpu = vm.bare_vcpu(0)?;
    snapshot.restore(&mut vcpu, order)?;
    Ok((vm, vcpu))
}

fn every_state_returns() -> anyhow::Result<()> {
    for state in STATES {
        let (_vm, mut vcpu) = restored(&snapshot(state, &[])?, &AS_FIRECRACKER)?;
        goes_on(&mut vcpu, state).context(state)?;
    }
    Ok(())
}

/// KVM loads and saves the vCPU's registers once for each list that contains a CET MSR.
fn in_lists_of_any_length() -> anyhow::Result<()> {
    for state in STATES {
        let snapshot = snapshot(state, &[])?;
        for most in [1, 2, 3, 7] {
            let (_vm, mut vcpu) = restored(&snapshot, &[Step::Xsave, Step::Msrs(most)])?;
            goes_on(&mut vcpu, state).with_context(|| format!("{state} in lists of {most}"))?;
        }
    }
    Ok(())
}

/// A guest that has saved a supervisor component in its own memory.
fn with_supervisor_state(without: &[u32]) -> anyhow::Result<Snapshot> {
    let (_vm, mut vcpu) = guest("live")?;
    vcpu.values(&[
        does::wrmsr(XSS, CET_USER.into()),
        does::xsaves(SAVED),
        does::xrstors(SAVED),
    ])?;
    Snapshot::of(&kvm::open()?, &mut vcpu, without)
}

fn supervisor_state_returns() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = restored(&with_supervisor_state(&[])?, &AS_FIRECRACKER)?;
    let values = vcpu.values(&[does::rdmsr(XSS), does::xrstors(SAVED)])?;
    ensure!(values[0] == u64::from(CET_USER), "XSS {:#x}", values[0]);
    goes_on(&mut vcpu, "live")
}

/// The guest's XRSTORS, at its next context switch, raises #GP: XCOMP_BV has a component not in XSS.
fn without_xss() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = restored(&with_supervisor_state(&[XSS])?, &AS_FIRECRACKER)?;
    let outcomes = vcpu.run(&[does::rdmsr(XSS), does::xrstors(SAVED)])?;
    let expected = [Ended::Value(0), Ended::Exception(GP, 0)];
    ensure!(outcomes == expected, "{outcomes:x?}");
    Ok(())
}

/// The guest armed XFD, but its next tile instruction does not trap.
fn without_xfd() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = restored(&snapshot("armed", &[XFD])?, &AS_FIRECRACKER)?;
    let outcomes = vcpu.run(&[does::rdmsr(XFD), does::configure(), does::zero()])?;
    ensure!(
        outcomes[0] == Ended::Value(0) && matches!(outcomes[2], Ended::Value(_)),
        "{outcomes:x?}"
    );
    Ok(())
}

/// KVM_SET_XSAVE drops whatever the vCPU's XFD currently disables: a snapshot with live tiles must not be
/// restored to an armed vCPU. Nothing reports the loss.
fn over_an_armed_vcpu() -> anyhow::Result<()> {
    let snapshot = snapshot("live", &[])?;
    let (_vm, mut vcpu) = guest("armed")?;
    snapshot.restore(&mut vcpu, &AS_FIRECRACKER)?;
    let values = vcpu.values(&[does::rdmsr(XFD), does::xgetbv(1)])?;
    ensure!(
        values[0] == 0 && values[1] & TILES == TILE_CFG,
        "XFD, XINUSE {values:x?}"
    );

    let (_vm, mut vcpu) = guest("armed")?;
    snapshot.restore(&mut vcpu, &[Step::Msrs(256), Step::Xsave])?;
    goes_on(&mut vcpu, "live").context("MSRs first")
}

/// With the MSRs first, an armed snapshot meets live tiles: a list with XFD and a CET MSR.
fn over_live_tiles() -> anyhow::Result<Outcome> {
    kvm::apart_where_mended(|| {
        let snapshot = snapshot("armed", &[])?;
        let (_vm, mut vcpu) = guest("live")?;
        snapshot.restore(&mut vcpu, &[Step::Msrs(256), Step::Xsave])?;
        goes_on(&mut vcpu, "armed")
    })
}

/// The order that is correct for every vCPU, even with the kernel's own code: XFD = 0, XSAVE, MSRs.
fn disarmed_before_everything() -> anyhow::Result<()> {
    for state in STATES {
        let snapshot = snapshot(state, &[])?;
        for before in STATES {
            let (_vm, mut vcpu) = guest(before)?;
            snapshot.restore(
                &mut vcpu,
                &[Step::Msr(XFD, 0), Step::Xsave, Step::Msrs(256)],
            )?;
            goes_on(&mut vcpu, state).with_context(|| format!("{state} over {before}"))?;
        }
    }
    Ok(())
}
