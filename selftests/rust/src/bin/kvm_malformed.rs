// SPDX-License-Identifier: GPL-2.0
//! XSAVE areas that KVM must refuse to load into a vCPU.

use anyhow::ensure;
use std::process::ExitCode;
use xfd_selftests::kvm::area::{Area, MXCSR, RESERVED, XCOMP_BV, XSTATE_BV};
use xfd_selftests::kvm::vcpu::Vcpu;
use xfd_selftests::kvm::{self, guest, LARGE, SMALL, TILES, TILE_DATA};
use xfd_selftests::tile::content;
use xfd_selftests::{ktap, kvm_tests};

const TESTS: &[ktap::Test] = kvm_tests![malformed_with_tiles, malformed_without_tiles,];

fn main() -> ExitCode {
    ktap::run(TESTS)
}

/// Each gets -EINVAL and changes nothing: arch/x86/kernel/fpu/core.c:450, xstate.c:1334.
fn malformed(vcpu: &Vcpu, size: usize) -> anyhow::Result<()> {
    let good = Area::of(vcpu, size)?;
    let bv = good.word(XSTATE_BV) | 3;
    let change = |at: usize, word: u64| good.with(XSTATE_BV, bv).with(at, word);
    let mut bad = vec![
        ("component_11", change(XSTATE_BV, bv | 1 << 11)),
        ("component_16", change(XSTATE_BV, bv | 1 << 16)),
        ("component_62", change(XSTATE_BV, bv | 1 << 62)),
        ("compacted", change(XCOMP_BV, 1 << 63 | bv)),
        ("xcomp_bv", change(XCOMP_BV, 1)),
        ("first_reserved_word", change(RESERVED.start, 1)),
        ("last_reserved_word", change(RESERVED.end - 8, 1 << 63)),
        ("mxcsr", change(MXCSR, 0xffff_0000_1f80 | 1 << 16)),
    ];
    if size == SMALL {
        bad.push(("component_18", change(XSTATE_BV, bv | TILE_DATA)));
    }
    for (name, bad) in bad {
        let errno = bad.give(vcpu)?;
        ensure!(errno == libc::EINVAL, "{name}: errno {errno}");
        ensure!(
            Area::of(vcpu, size)? == good,
            "{name}: the state has changed"
        );
    }
    // MXCSR is checked only if a component that it belongs to is loaded.
    let unused = change(MXCSR, 1 << 16).with(XSTATE_BV, 0);
    ensure!(unused.give(vcpu)? == 0, "MXCSR of no component");
    Ok(())
}

fn malformed_with_tiles() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::hiding(0)?;
    vcpu.set_tiles(&content(7))?;
    vcpu.values(&kvm::ENABLE)?;
    vcpu.values(&[guest::load()])?;
    malformed(&vcpu, LARGE)
}

fn malformed_without_tiles() -> anyhow::Result<()> {
    malformed(&kvm::hiding(TILES)?.1, SMALL)
}
