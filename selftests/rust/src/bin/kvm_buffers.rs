// SPDX-License-Identifier: GPL-2.0
//! A vCPU's XSAVE area: its size, its contents in each state, and what is refused.

use anyhow::{ensure, Context};
use kvm_bindings::KVM_CAP_XSAVE2;
use std::process::ExitCode;
use xcomp::Feature;
use xfd_selftests::counters::bugs_are_mended;
use xfd_selftests::ktap;
use xfd_selftests::kvm::area::{
    errno, Area, CONFIG, DATA, MXCSR, RESERVED, XCOMP_BV, XMM0, XSTATE_BV,
};
use xfd_selftests::kvm::ioctls::{self, Fenced};
use xfd_selftests::kvm::vcpu::Vcpu;
use xfd_selftests::kvm::vm::Vm;
use xfd_selftests::kvm::{self, guest, with_xcr0, LARGE, SMALL, TILES, TILE_CFG, TILE_DATA, XFD};
use xfd_selftests::kvm_tests;
use xfd_selftests::tile::{content, Tile};

const TESTS: &[ktap::Test] = kvm_tests![
    capability,
    before_cpuid,
    cpuid_without_tiles,
    cpuid_with_tiles,
    cpuid_given_and_taken_back,
    what_a_new_vcpu_has,
    configured,
    live,
    released,
    written_tiles_are_the_guests,
    written_before_the_guest_runs,
    written_before_cpuid,
    control_word,
];

fn main() -> ExitCode {
    ktap::run(TESTS)
}

/// arch/x86/kvm/x86.c:4552: the size depends on what the process may use, not on what a vCPU has.
fn capability() -> anyhow::Result<()> {
    let size = || -> anyhow::Result<i32> {
        let kvm = kvm::open()?;
        let size = kvm.check_extension_raw(KVM_CAP_XSAVE2.into());
        let of_vm = Vm::new(&kvm)?.fd.check_extension_raw(KVM_CAP_XSAVE2.into());
        ensure!(size == of_vm, "KVM {size}, VM {of_vm}");
        Ok(size)
    };
    let without = size()?;
    xcomp::request_guest(Feature::TILE_DATA)?;
    let with = size()?;
    ktap::answer("kvm.xsave2.without", without);
    ktap::answer("kvm.xsave2.with", with);
    ensure!(
        without == SMALL as i32 && with == LARGE as i32,
        "{without} and {with}"
    );
    Ok(())
}

/// All three ioctls read or write exactly `size` bytes; GET_XSAVE only if that is its own size.
fn has_size(vcpu: &Vcpu, size: usize) -> anyhow::Result<()> {
    let old = errno(ioctls::get_xsave(&vcpu.fd, &mut Fenced::new(&[0; SMALL])?));
    let expected = if size == SMALL { 0 } else { libc::EINVAL };
    ensure!(old == expected, "KVM_GET_XSAVE: errno {old}");
    for (room, expected) in [(size, 0), (size - 1, libc::EFAULT)] {
        let mut place = Fenced::new(&vec![0; room])?;
        let got = errno(ioctls::get_xsave2(&vcpu.fd, &mut place));
        ensure!(
            got == expected,
            "KVM_GET_XSAVE2 into {room} bytes: errno {got}"
        );
        let put = Area(Area::of(vcpu, size)?.0[..room].to_vec()).give(vcpu)?;
        ensure!(
            put == expected,
            "KVM_SET_XSAVE from {room} bytes: errno {put}"
        );
    }
    Ok(())
}

fn before_cpuid() -> anyhow::Result<()> {
    xcomp::request_guest(Feature::TILE_DATA)?;
    let vm = Vm::new(&kvm::open()?)?;
    has_size(&vm.bare_vcpu(0)?, SMALL)
}

fn cpuid_without_tiles() -> anyhow::Result<()> {
    has_size(&kvm::hiding(TILES)?.1, SMALL)
}

fn cpuid_with_tiles() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::hiding(0)?;
    has_size(&vcpu, LARGE)?;
    vcpu.values(&kvm::ENABLE)?;
    has_size(&vcpu, LARGE)?;
    vcpu.values(&[guest::load()])?;
    has_size(&vcpu, LARGE)
}

/// The C code never shrinks the buffer again (arch/x86/kernel/fpu/core.c:311).
fn cpuid_given_and_taken_back() -> anyhow::Result<()> {
    let (_vm, vcpu) = kvm::hiding(0)?;
    let cpuid = with_xcr0(&kvm::supported_cpuid(&kvm::open()?)?, 0, TILES)?;
    vcpu.fd
        .set_cpuid2(&cpuid)
        .context("KVM_SET_CPUID2 without tiles")?;
    has_size(&vcpu, LARGE)?;
    ensure!(!vcpu.set_msr(XFD, TILE_DATA)?, "XFD[18] was accepted");
    ensure!(
        vcpu.set_xcr0(kvm::XCR0_WITH_TILES) == Err(libc::EINVAL),
        "XCR0 was accepted"
    );
    let live = Area::of(&vcpu, LARGE)?.with(XSTATE_BV, TILES);
    let taken = live.give(&vcpu)?;
    ktap::answer("kvm.set_xsave.cpuid_taken_back", taken);
    let kept = Area::of(&vcpu, LARGE)?.tile_bits();
    ktap::answer(
        "kvm.get_xsave2.cpuid_taken_back.tile_bits",
        format!("{kept:#x}"),
    );
    Ok(())
}

fn what_a_new_vcpu_has() -> anyhow::Result<()> {
    let (_vm, vcpu) = kvm::hiding(0)?;
    let area = Area::of(&vcpu, LARGE)?;
    ktap::answer(
        "kvm.get_xsave2.new.xstate_bv",
        format!("{:#x}", area.word(XSTATE_BV)),
    );
    ktap::answer(
        "kvm.get_xsave2.new.mxcsr",
        format!("{:#x}", area.word(MXCSR) & 0xffff_ffff),
    );
    expect(&area, 0, None)
}

/// Checks which of the two components are present, and their bytes, which are zero if absent.
fn expect(area: &Area, components: u64, tiles: Option<&[Tile; 8]>) -> anyhow::Result<()> {
    area.expect_tile_bits(components)?;
    let xcomp_bv = area.word(XCOMP_BV);
    ensure!(xcomp_bv == 0, "XCOMP_BV {xcomp_bv:#x}");
    let area = &area.0;
    let reserved = &area[RESERVED];
    ensure!(reserved.iter().all(|&byte| byte == 0), "reserved bytes");
    let palette = u8::from(components & TILE_CFG != 0);
    ensure!(area[CONFIG] == palette, "palette {}", area[CONFIG]);
    let expected = tiles.map_or_else(
        || vec![0; LARGE - DATA],
        |t| t.iter().flat_map(|t| t.0).collect(),
    );
    ensure!(area[DATA..] == expected, "wrong tiles");
    Ok(())
}

fn configured() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::hiding(0)?;
    vcpu.values(&kvm::ENABLE)?;
    expect(&Area::of(&vcpu, LARGE)?, TILE_CFG, None)
}

fn live() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::hiding(0)?;
    let tiles = content(3);
    vcpu.set_tiles(&tiles)?;
    vcpu.values(&kvm::ENABLE)?;
    vcpu.values(&[guest::load()])?;
    expect(&Area::of(&vcpu, LARGE)?, TILES, Some(&tiles))
}

fn released() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::hiding(0)?;
    vcpu.values(&kvm::ENABLE)?;
    vcpu.values(&[guest::load(), guest::release()])?;
    expect(&Area::of(&vcpu, LARGE)?, 0, None)
}

/// Writes different tiles over the guest's, and then none.
fn written_tiles_are_the_guests() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::hiding(0)?;
    vcpu.set_tiles(&content(4))?;
    vcpu.values(&kvm::ENABLE)?;
    vcpu.values(&[guest::load()])?;
    let mut written = Area::of(&vcpu, LARGE)?;
    for (place, tile) in written.0[DATA..].chunks_exact_mut(1024).zip(&content(5)) {
        place.copy_from_slice(&tile.0);
    }
    ensure!(written.give(&vcpu)? == 0, "KVM_SET_XSAVE");
    vcpu.set_tiles(&content(5))?;
    ensure!(
        vcpu.values(&[guest::check()])? == [0],
        "the guest has wrong tiles"
    );
    let bv = written.word(XSTATE_BV);
    written = written.with(XSTATE_BV, bv & !TILE_DATA);
    ensure!(written.give(&vcpu)? == 0, "KVM_SET_XSAVE without tile data");
    vcpu.set_tiles(&[Tile::ZERO; 8])?;
    let values = vcpu.values(&[guest::xgetbv(1), guest::check()])?;
    ensure!(values[0] & TILES == TILE_CFG, "XINUSE {:#x}", values[0]);
    ensure!(values[1] == 0, "tiles that were not written are not zero");
    Ok(())
}

/// As after a live migration: XCR0 is still 1 when the tiles are written.
fn written_before_the_guest_runs() -> anyhow::Result<()> {
    let (vm, mut source) = kvm::hiding(0)?;
    source.set_tiles(&content(6))?;
    source.values(&kvm::ENABLE)?;
    source.values(&[guest::load()])?;
    let written = Area::of(&source, LARGE)?;
    let mut vcpu = vm.vcpu(1, &kvm::supported_cpuid(&kvm::open()?)?)?;
    ensure!(written.give(&vcpu)? == 0, "KVM_SET_XSAVE");
    ensure!(
        Area::of(&vcpu, LARGE)? == written,
        "the area read differs from the one written"
    );
    vcpu.set_tiles(&content(6))?;
    let values = vcpu.values(&[
        kvm::ENABLE[0],
        kvm::ENABLE[1],
        guest::xgetbv(1),
        guest::check(),
    ])?;
    ensure!(values[2] & TILES == TILES, "XINUSE {:#x}", values[2]);
    ensure!(values[3] == 0, "the guest has wrong tiles");
    Ok(())
}

/// KVM_SET_CPUID2 allocates the larger buffer. The C code copies nothing into it (arch/x86/kernel/fpu/xstate.c:1587);
/// the module does, so what was written earlier is not lost.
fn written_before_cpuid() -> anyhow::Result<()> {
    const XMM: std::ops::Range<usize> = XMM0..XMM0 + 256;
    xcomp::request_guest(Feature::TILE_DATA)?;
    let kvm = kvm::open()?;
    let vm = Vm::new(&kvm)?;
    let vcpu = vm.bare_vcpu(0)?;
    let mut written = Area::of(&vcpu, SMALL)?.with(XSTATE_BV, 2);
    written.0[XMM].copy_from_slice(&content(8)[0].0[..XMM.len()]);
    ensure!(written.give(&vcpu)? == 0, "KVM_SET_XSAVE");
    vcpu.fd.set_cpuid2(&kvm::supported_cpuid(&kvm)?)?;
    let read = Area::of(&vcpu, LARGE)?;
    let kept = read.0[XMM] == written.0[XMM];
    ktap::answer(
        "kvm.written_before_cpuid",
        if kept { "kept" } else { "lost" },
    );
    let initial = read.0[XMM].iter().all(|&byte| byte == 0);
    if bugs_are_mended() {
        ensure!(kept, "what was written was lost");
    }
    ensure!(
        kept || initial,
        "neither what was written nor the initial state"
    );
    Ok(())
}

/// KVM_GET_FPU copies from the buffer without looking at XSTATE_BV: in the C code's larger buffer all of it is zero, in
/// the module's it is what it was when the vCPU was created.
fn control_word() -> anyhow::Result<()> {
    xcomp::request_guest(Feature::TILE_DATA)?;
    let kvm = kvm::open()?;
    let vm = Vm::new(&kvm)?;
    let vcpu = vm.bare_vcpu(0)?;
    let fcw = || vcpu.fd.get_fpu().context("KVM_GET_FPU").map(|fpu| fpu.fcw);
    let created = fcw()?;
    ensure!(created == 0x37f, "FCW {created:#x} when created");
    vcpu.fd.set_cpuid2(&kvm::supported_cpuid(&kvm)?)?;
    let enlarged = fcw()?;
    ktap::answer("kvm.control_word", format!("{enlarged:#x}"));
    ensure!(
        enlarged == created || !bugs_are_mended() && enlarged == 0,
        "FCW {enlarged:#x} after KVM_SET_CPUID2"
    );
    Ok(())
}
