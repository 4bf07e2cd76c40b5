// SPDX-License-Identifier: GPL-2.0
//! Guests with tiles and a host with tiles, in the same thread.

use anyhow::{ensure, Context};
use std::process::ExitCode;
use xcomp::Feature;
use xfd_selftests::kvm::guest::{self as does, Op};
use xfd_selftests::kvm::layout;
use xfd_selftests::kvm::vcpu::Outcome;
use xfd_selftests::kvm::{self, NM, TILES, TILE_DATA, XFD, XFD_ERR};
use xfd_selftests::sys::{self, End};
use xfd_selftests::tile::{self, content, Tile, Tiles};
use xfd_selftests::{child, cpus, ktap, kvm_tests, machine};

const TESTS: &[ktap::Test] = kvm_tests![
    a_vmms_own_tiles,
    first_use_of_a_vmm,
    a_vmm_without_permission,
    nothing_of_the_guest_stays,
    xfd_err_does_not_stay,
];

fn main() -> ExitCode {
    ktap::run(TESTS)
}

/// The guest's lists: tiles used, XFD armed over live ones, first uses, and nothing.
fn lists() -> [Vec<Op>; 5] {
    [
        vec![does::wrmsr(XFD, 0), does::load(), does::check()],
        vec![
            does::wrmsr(XFD, 0),
            does::load(),
            does::wrmsr(XFD, TILE_DATA),
        ],
        vec![
            does::serve_nm(true),
            does::wrmsr(XFD, TILE_DATA),
            does::load(),
            does::check(),
        ],
        vec![
            does::wrmsr(XFD, TILE_DATA),
            does::wrmsr(XFD, 0),
            does::repeat(2, 50),
        ],
        vec![],
    ]
}

/// A thread with live tiles enters a guest that has its own, and still has its tiles afterwards.
fn a_vmms_own_tiles() -> anyhow::Result<()> {
    xcomp::request(Feature::TILE_DATA)?;
    let (_vm, mut vcpu) = kvm::configured(1)?;
    let mut tiles = Tiles::configure();
    for round in 0..40 {
        let list = &lists()[round % 5];
        tiles.load_all(&content(100 + round as u64));
        vcpu.values(list)
            .with_context(|| format!("round {round}"))?;
        tile::expect(&tiles.store_all(), 100 + round as u64)
            .with_context(|| format!("round {round}"))?;
    }
    ensure!(
        vcpu.number(layout::WRONG)? == 0,
        "the guest found wrong tiles"
    );
    Ok(())
}

/// The thread's first use follows the guest's, in either state of the guest's XFD.
fn first_use_of_a_vmm() -> anyhow::Result<()> {
    xcomp::request(Feature::TILE_DATA)?;
    for list in lists() {
        child::passes(|| {
            let (_vm, mut vcpu) = kvm::configured(2)?;
            vcpu.values(&list)?;
            let mut tiles = Tiles::configure();
            tiles.load_all(&content(3));
            vcpu.values(&list)?;
            tile::expect(&tiles.store_all(), 3)
        })?;
    }
    Ok(())
}

/// The VMM's own first use is still denied, whatever the guest's XFD.
fn a_vmm_without_permission() -> anyhow::Result<()> {
    for list in lists() {
        let pid = child::begin(|| {
            let (_vm, mut vcpu) = kvm::configured(4)?;
            vcpu.values(&list)?;
            Tiles::configure().zero::<0>();
            Ok(())
        })?;
        let (_, end) = sys::wait(pid, 0)?;
        ensure!(end == End::Signal(libc::SIGILL), "{list:x?}: {end:?}");
    }
    Ok(())
}

/// A thread that has not used tiles has none after running a guest with live ones.
fn nothing_of_the_guest_stays() -> anyhow::Result<()> {
    xcomp::request(Feature::TILE_DATA)?;
    let (_vm, mut vcpu) = kvm::configured(5)?;
    for round in 0..3 {
        vcpu.values(&[does::load()])?;
        let in_use = tile::in_use() & TILES;
        ensure!(in_use == 0, "round {round}: in use {in_use:#x}");
        ensure!(
            !tile::configured(),
            "round {round}: the tiles are configured"
        );
        let is = Tiles::configure().store_all();
        ensure!(
            is == [Tile::ZERO; 8],
            "round {round}: the tiles are not zero"
        );
    }
    Ok(())
}

/// arch/x86/kvm/x86.c:11057: the host's next #NM would mistake a guest's XFD_ERR for its own.
fn xfd_err_does_not_stay() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::configured(6)?;
    let cpu = cpus::allowed()?[0];
    cpus::pin_to(cpu)?;
    let outcomes = vcpu.run(&[does::wrmsr(XFD, TILE_DATA), does::zero()])?;
    ensure!(outcomes[1] == Outcome::Exception(NM, 0), "{outcomes:x?}");
    for round in 0..3 {
        let values = vcpu.values(&[does::cpuid(0, 0), does::rdmsr(XFD_ERR)])?;
        ensure!(
            values[1] == TILE_DATA,
            "round {round}: the guest's is {:#x}",
            values[1]
        );
        let here = machine::msr_of(cpu, XFD_ERR)?;
        ensure!(here == 0, "round {round}: the host's is {here:#x}");
    }
    Ok(())
}
