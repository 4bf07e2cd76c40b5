// SPDX-License-Identifier: GPL-2.0
//! How many exits a guest's use of tiles costs.

use anyhow::ensure;
use std::process::ExitCode;
use xfd_selftests::kvm::guest::{self as does, Op};
use xfd_selftests::kvm::layout;
use xfd_selftests::kvm::stats::Stats;
use xfd_selftests::kvm::vcpu::Vcpu;
use xfd_selftests::kvm::{self, ENABLE, TILE_DATA, XFD, XFD_ERR};
use xfd_selftests::tile::content;
use xfd_selftests::{ktap, kvm_tests};

const TESTS: &[ktap::Test] = kvm_tests![
    exits,
    exits_of_first_uses,
    toggles_cost_no_exit,
    first_use_of_a_vcpu
];

fn main() -> ExitCode {
    ktap::run(TESTS)
}

/// A vCPU that has run each operation once, and its counters.
fn warm() -> anyhow::Result<(kvm::vm::Vm, Vcpu, Stats)> {
    let (vm, mut vcpu) = kvm::with_tiles()?;
    let stats = Stats::of(&vcpu.fd)?;
    vcpu.values(&ENABLE)?;
    vcpu.values(&[
        does::load(),
        does::check(),
        does::rdmsr(XFD),
        does::release(),
        does::configure(),
    ])?;
    Ok((vm, vcpu, stats))
}

/// How many exits some operations cost, and the counters that changed.
struct Cost {
    exits: u64,
    changed: String,
}

/// What `ops` cost, without the exit at the end of the list.
fn cost(vcpu: &mut Vcpu, stats: &Stats, ops: &[Op]) -> anyhow::Result<Cost> {
    let before = stats.read()?;
    vcpu.run(ops)?;
    let after = stats.read()?;
    Ok(Cost {
        exits: after.exits() - before.exits() - 1,
        changed: after.since(&before),
    })
}

/// arch/x86/kvm/vmx/vmx.c:2356: writes are intercepted up to the first nonzero one.
fn exits() -> anyhow::Result<()> {
    let (_vm, mut vcpu, stats) = warm()?;
    let steps = [
        ("nothing", vec![], 0),
        ("cpuid", vec![does::cpuid(0, 0)], 1),
        ("tiles_without_xfd", vec![does::load(), does::check()], 0),
        ("read_xfd.intercepted", vec![does::rdmsr(XFD)], 1),
        ("read_xfd_err", vec![does::rdmsr(XFD_ERR)], 0),
        ("write_xfd_err", vec![does::wrmsr(XFD_ERR, 0)], 1),
        (
            "write_0_to_xfd",
            vec![does::wrmsr(XFD, 0), does::wrmsr(XFD, 0)],
            2,
        ),
        ("arm", vec![does::wrmsr(XFD, TILE_DATA)], 1),
        (
            "arm_again",
            vec![does::wrmsr(XFD, 0), does::wrmsr(XFD, TILE_DATA)],
            0,
        ),
        ("read_xfd.direct", vec![does::rdmsr(XFD)], 0),
        ("nm", vec![does::zero()], 1),
        (
            "release_while_armed",
            vec![does::release(), does::configure()],
            0,
        ),
    ];
    for (name, ops, expected) in steps {
        let Cost { exits, changed } = cost(&mut vcpu, &stats, &ops)?;
        ktap::answer(&format!("kvm.exits.{name}"), exits);
        ensure!(
            exits == expected,
            "{name}: {exits} exits, expected {expected}; {changed}"
        );
    }
    Ok(())
}

/// Two each: #NM, and the XFD_ERR write.
fn exits_of_first_uses() -> anyhow::Result<()> {
    const USES: u64 = 200;
    let (_vm, mut vcpu, stats) = warm()?;
    vcpu.values(&[does::serve_nm(true), does::wrmsr(XFD, TILE_DATA)])?;
    let ops = [
        does::wrmsr(XFD, TILE_DATA),
        does::zero(),
        does::repeat(2, USES),
    ];
    let Cost { exits, changed } = cost(&mut vcpu, &stats, &ops)?;
    let served = vcpu.number(layout::NM_COUNT)?;
    ktap::answer("kvm.exits.first_uses", format!("{exits} of {served}"));
    ensure!(
        served == USES && exits == 2 * USES,
        "{served} first uses, {exits} exits; {changed}"
    );
    Ok(())
}

fn toggles_cost_no_exit() -> anyhow::Result<()> {
    const TIMES: u64 = 5000;
    let (_vm, mut vcpu, stats) = warm()?;
    vcpu.set_tiles(&content(9))?;
    vcpu.values(&[does::wrmsr(XFD, TILE_DATA)])?;
    let ops = [
        does::wrmsr(XFD, TILE_DATA),
        does::wrmsr(XFD, 0),
        does::repeat(2, TIMES),
        does::load(),
        does::check(),
    ];
    let Cost { exits, changed } = cost(&mut vcpu, &stats, &ops)?;
    let rounds = vcpu.number(layout::ROUNDS)?;
    ensure!(
        rounds == TIMES && exits == 0,
        "{rounds} rounds, {exits} exits; {changed}"
    );
    ensure!(vcpu.number(layout::WRONG)? == 0, "wrong tiles");
    Ok(())
}

/// A guest arms XFD before setting XCR0, as Linux does on all CPUs but the first; its first use costs no more.
fn first_use_of_a_vcpu() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::with_tiles()?;
    let stats = Stats::of(&vcpu.fd)?;
    vcpu.values(&[ENABLE[0], does::wrmsr(XFD, TILE_DATA), ENABLE[1], ENABLE[2]])?;
    // Takes an exception, so that the stack is mapped.
    vcpu.run(&[does::serve_nm(true), does::wrmsr(XFD, u64::MAX)])?;
    let first = cost(&mut vcpu, &stats, &[does::zero()])?;
    ktap::answer("kvm.exits.first_use_of_a_vcpu", first.exits);
    ensure!(first.exits == 2, "{} exits; {}", first.exits, first.changed);
    let next = cost(
        &mut vcpu,
        &stats,
        &[does::wrmsr(XFD, TILE_DATA), does::zero()],
    )?;
    ensure!(
        next.exits == 2,
        "the next one: {} exits; {}",
        next.exits,
        next.changed
    );
    let served = vcpu.number(layout::NM_COUNT)?;
    ensure!(served == 2, "{served} #NM");
    Ok(())
}
