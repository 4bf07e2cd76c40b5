// SPDX-License-Identifier: GPL-2.0
//! The tiles of a vCPU whose XFD is armed are neither loaded nor exposed.

use anyhow::ensure;
use std::process::ExitCode;
use xfd_selftests::counters::bugs_are_mended;
use xfd_selftests::ktap::{self, Outcome};
use xfd_selftests::kvm::area::{Area, DATA, XMM0, XSTATE_BV};
use xfd_selftests::kvm::guest as does;
use xfd_selftests::kvm::layout;
use xfd_selftests::kvm::vcpu::Outcome as Ended;
use xfd_selftests::kvm::{self, ENABLE, LARGE, NM, TILES, TILE_CFG, TILE_DATA, XFD, XFD_ERR};
use xfd_selftests::tile::{content, Tile};

const TESTS: &[ktap::Test] = &[
    ("armed_tiles_are_not_given", || {
        kvm::apart(armed_tiles_are_not_given)
    }),
    ("tiles_for_an_armed_guest_are_dropped", || {
        kvm::apart(tiles_for_an_armed_guest_are_dropped)
    }),
    (
        "armed_by_the_host_over_live_tiles",
        armed_by_the_host_over_live_tiles,
    ),
];

fn main() -> ExitCode {
    ktap::run(TESTS)
}

/// The host arms XFD while the guest's live tiles are in memory, where XRSTORS must not see them. The C code clears
/// them only if the calling thread's own registers are in memory (arch/x86/kernel/fpu/core.c:338).
fn armed_by_the_host_over_live_tiles() -> anyhow::Result<Outcome> {
    if !bugs_are_mended() {
        return Ok(Outcome::Skipped(
            "the C code takes #NM in the kernel: WARN, Oops".into(),
        ));
    }
    kvm::apart(|| {
        let (_vm, mut vcpu) = kvm::with_tiles()?;
        vcpu.set_tiles(&content(3))?;
        vcpu.values(&ENABLE)?;
        for round in 0..3 {
            vcpu.values(&[does::wrmsr(XFD, 0), does::load(), does::check()])?;
            ensure!(vcpu.set_msr(XFD, TILE_DATA)?, "XFD was refused");
            let now = Area::of(&vcpu, LARGE)?;
            now.expect_tile_bits(TILE_CFG)?;
            let outcomes = vcpu.run(&[does::zero(), does::wrmsr(XFD_ERR, 0)])?;
            ensure!(
                outcomes[0] == Ended::Exception(NM, 0),
                "round {round}: {outcomes:x?}"
            );
        }
        ensure!(vcpu.number(layout::WRONG)? == 0, "wrong tiles");
        Ok(())
    })
}

/// The guest armed XFD over live tiles: the area marks them as not in use, and contains none of their
/// bytes. Once with an intercepted write, and once with one that is not.
fn armed_tiles_are_not_given() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::with_tiles()?;
    vcpu.set_tiles(&content(1))?;
    vcpu.values(&ENABLE)?;
    for round in 0..3 {
        vcpu.values(&[
            does::wrmsr(XFD, 0),
            does::load(),
            does::wrmsr(XFD, TILE_DATA),
        ])?;
        let area = Area::of(&vcpu, LARGE)?;
        area.expect_tile_bits(TILE_CFG)?;
        ensure!(
            area.0[DATA..].iter().all(|&byte| byte == 0),
            "round {round}: the area holds tile bytes"
        );
    }
    Ok(())
}

/// CVE-2026-23005: tiles set while XFD is armed would raise #NM in the host when loaded.
fn tiles_for_an_armed_guest_are_dropped() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::with_tiles()?;
    vcpu.set_tiles(&content(2))?;
    vcpu.values(&ENABLE)?;
    vcpu.values(&[does::load()])?;
    let live = Area::of(&vcpu, LARGE)?;
    live.expect_tile_bits(TILES)?;
    for round in 0..3 {
        vcpu.values(&[does::wrmsr(XFD, TILE_DATA)])?;
        let given = live.with(XSTATE_BV, TILES | 2).with(XMM0, 0x1234 + round);
        ensure!(given.give(&vcpu)? == 0, "KVM_SET_XSAVE");
        let now = Area::of(&vcpu, LARGE)?;
        let xmm0 = now.word(XMM0);
        ensure!(
            xmm0 == 0x1234 + round,
            "round {round}: XMM0 is {xmm0:#x}, not what was set"
        );
        ktap::answer(
            &format!("kvm.set_xsave.armed.{round}.tile_bits"),
            format!("{:#x}", now.tile_bits()),
        );
        now.expect_tile_bits(TILE_CFG)?;
        let outcomes = vcpu.run(&[does::zero(), does::wrmsr(XFD_ERR, 0)])?;
        ensure!(
            outcomes[0] == Ended::Exception(NM, 0),
            "round {round}: {outcomes:x?}"
        );
        // The guest must see the initial state.
        vcpu.set_tiles(&[Tile::ZERO; 8])?;
        let values = vcpu.values(&[does::wrmsr(XFD, 0), does::xgetbv(1), does::check()])?;
        ensure!(
            values[1] & TILES == TILE_CFG,
            "round {round}: XINUSE {:#x}",
            values[1]
        );
        ensure!(
            values[2] == 0,
            "round {round}: dropped tiles are still there"
        );
    }
    Ok(())
}
