// SPDX-License-Identifier: GPL-2.0
//! A guest uses tiles: the requirements, and its first use.

use anyhow::ensure;
use std::process::ExitCode;
use xfd_selftests::kvm::guest::{self as does, Op};
use xfd_selftests::kvm::layout;
use xfd_selftests::kvm::vcpu::{Outcome, Vcpu};
use xfd_selftests::kvm::{self, ENABLE, GP, NM, TILES, TILE_CFG, TILE_DATA, XFD, XFD_ERR};
use xfd_selftests::tile::content;
use xfd_selftests::{ktap, kvm_tests, worker};

const TESTS: &[ktap::Test] = kvm_tests![
    xcr0_has_both_or_none,
    no_xfd_no_exception,
    first_use_is_nm,
    xfd_before_xcr0,
    other_registers_stay,
    served_first_use,
    nm_is_the_guests_own,
    vcpus_have_their_own,
];

const UD: u8 = 6;

fn main() -> ExitCode {
    ktap::run(TESTS)
}

/// Runs the operations and checks their outcomes; `None` matches any value.
fn expect(vcpu: &mut Vcpu, steps: &[(Op, Option<Outcome>)]) -> anyhow::Result<()> {
    let ops: Vec<_> = steps.iter().map(|(op, _)| *op).collect();
    for ((op, expected), outcome) in steps.iter().zip(vcpu.run(&ops)?) {
        let right = match expected {
            Some(expected) => outcome == *expected,
            None => matches!(outcome, Outcome::Value(_)),
        };
        ensure!(
            right,
            "{op:x?} ended in {outcome:x?}, expected {expected:x?}"
        );
    }
    Ok(())
}

const fn is(value: u64) -> Option<Outcome> {
    Some(Outcome::Value(value))
}

const fn raises(vector: u8) -> Option<Outcome> {
    Some(Outcome::Exception(vector, 0))
}

/// arch/x86/kvm/x86.c:1110.
fn xcr0_has_both_or_none() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::with_tiles()?;
    expect(
        &mut vcpu,
        &[
            (does::xsetbv(7), raises(UD)),
            (does::set_cr4(1 << 18), None),
            (does::configure(), raises(UD)),
            (does::xsetbv(7 | TILE_DATA), raises(GP)),
            (does::xsetbv(7 | TILE_CFG), raises(GP)),
            (does::xsetbv(7 | TILES | 1 << 20), raises(GP)),
            (does::xgetbv(0), is(1)),
            (does::xsetbv(7 | TILES), None),
            (does::xgetbv(0), is(7 | TILES)),
            (does::zero(), raises(UD)),
            (does::configure(), None),
            (does::zero(), None),
        ],
    )
}

/// XFD is 0 after reset.
fn no_xfd_no_exception() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::with_tiles()?;
    vcpu.set_tiles(&content(1))?;
    vcpu.values(&ENABLE)?;
    expect(
        &mut vcpu,
        &[
            (does::rdmsr(XFD), is(0)),
            (does::rdmsr(XFD_ERR), is(0)),
            (does::load(), None),
            (does::check(), is(0)),
            (does::release(), None),
        ],
    )
}

/// The registers seen by a guest's #NM handler, and the tiles after it has let the guest continue.
fn first_use_is_nm() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::with_tiles()?;
    vcpu.set_tiles(&content(2))?;
    vcpu.values(&ENABLE)?;
    for _ in 0..2 {
        expect(
            &mut vcpu,
            &[
                (does::release(), None),
                (does::configure(), None),
                (does::wrmsr(XFD, TILE_DATA), None),
                (does::load(), raises(NM)),
                (does::rdmsr(XFD_ERR), is(TILE_DATA)),
                (does::rdmsr(XFD), is(TILE_DATA)),
                (does::wrmsr(XFD_ERR, 0), None),
                (does::rdmsr(XFD_ERR), is(0)),
                (does::zero(), raises(NM)),
                (does::rdmsr(XFD_ERR), is(TILE_DATA)),
                (does::wrmsr(XFD_ERR, 0), None),
                (does::wrmsr(XFD, 0), None),
                (does::load(), None),
                (does::check(), is(0)),
                (does::rdmsr(XFD_ERR), is(0)),
            ],
        )?;
    }
    Ok(())
}

/// As Linux does on all CPUs but the first: what XCR0 enables is already armed.
fn xfd_before_xcr0() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::with_tiles()?;
    vcpu.set_tiles(&content(3))?;
    vcpu.values(&[ENABLE[0], does::wrmsr(XFD, TILE_DATA)])?;
    vcpu.values(&[ENABLE[1], ENABLE[2], does::wrmsr(XFD, TILE_DATA)])?;
    for _ in 0..2 {
        expect(
            &mut vcpu,
            &[
                (does::load(), raises(NM)),
                (does::rdmsr(XFD_ERR), is(TILE_DATA)),
                (does::wrmsr(XFD_ERR, 0), None),
                (does::wrmsr(XFD, 0), None),
                (does::load(), None),
                (does::check(), is(0)),
            ],
        )?;
        expect(
            &mut vcpu,
            &[
                (does::check(), is(0)),
                (does::rdmsr(XFD), is(0)),
                (does::wrmsr(XFD, TILE_DATA), None),
            ],
        )?;
    }
    Ok(())
}

/// Other registers keep their contents while tiles are enabled, armed and used.
fn other_registers_stay() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::with_tiles()?;
    vcpu.set_tiles(&content(3))?;
    vcpu.values(&[does::load_xmm()])?;
    let steps = [
        ENABLE[0],
        ENABLE[1],
        does::wrmsr(XFD, TILE_DATA),
        does::serve_nm(true),
        does::configure(),
        does::load(),
        does::wrmsr(XFD, TILE_DATA),
        does::release(),
    ];
    for op in steps {
        let values = vcpu.values(&[op, does::check_xmm()])?;
        ensure!(values[1] == 0, "{op:x?}: XMM registers have changed");
        ensure!(
            vcpu.values(&[does::check_xmm()])? == [0],
            "{op:x?} and an exit: XMM registers have changed"
        );
    }
    Ok(())
}

/// Serves first uses like a kernel, a hundred times with an exit to this process in between.
fn served_first_use() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::with_tiles()?;
    vcpu.values(&ENABLE)?;
    vcpu.values(&[does::serve_nm(true)])?;
    for round in 1..=100 {
        vcpu.set_tiles(&content(round))?;
        let ops = [
            does::wrmsr(XFD, TILE_DATA),
            does::load(),
            does::check(),
            does::rdmsr(XFD),
        ];
        let values = vcpu.values(&ops)?;
        ensure!(values[2] == 0, "round {round}: wrong tiles");
        ensure!(values[3] == 0, "round {round}: XFD {:#x}", values[3]);
        let (count, err) = (vcpu.number(layout::NM_COUNT)?, vcpu.number(layout::NM_ERR)?);
        ensure!(
            (count, err) == (round, TILE_DATA),
            "round {round}: {count} #NM, XFD_ERR {err:#x}"
        );
    }
    Ok(())
}

/// The host's permission does not matter: this process has none for itself.
fn nm_is_the_guests_own() -> anyhow::Result<()> {
    let host = xcomp::permitted()?;
    ensure!(!host.contains(xcomp::Feature::TILE_DATA), "host {host}");
    no_xfd_no_exception()
}

fn vcpus_have_their_own() -> anyhow::Result<()> {
    let (vm, first) = kvm::with_tiles()?;
    drop(first);
    let cpuid = kvm::supported_cpuid(&kvm::open()?)?;
    worker::in_threads(3, |number| {
        let mut vcpu = vm.vcpu(1 + number as u64, &cpuid)?;
        vcpu.set_tiles(&content(10 + number as u64))?;
        vcpu.values(&ENABLE)?;
        vcpu.values(&[does::serve_nm(true)])?;
        let round = [
            does::wrmsr(XFD, TILE_DATA),
            does::load(),
            does::cpuid(0, 0),
            does::check(),
        ];
        for _ in 0..20 {
            vcpu.values(&[&round[..], &[does::repeat(4, 10)]].concat())?;
        }
        let (wrong, served) = (vcpu.number(layout::WRONG)?, vcpu.number(layout::NM_COUNT)?);
        ensure!(
            (wrong, served) == (0, 200),
            "wrong tiles {wrong} times, {served} #NM"
        );
        Ok(())
    })
}
