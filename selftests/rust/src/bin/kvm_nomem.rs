// SPDX-License-Identifier: GPL-2.0
//! No memory for a vCPU's larger buffer: KVM_SET_CPUID2 fails, as with the C code, and changes nothing. Once it has
//! succeeded, nothing that the guest or its VMM does fails for lack of memory.

use anyhow::{ensure, Context};
use std::fs;
use std::process::ExitCode;
use xcomp::Feature;
use xfd_selftests::areas;
use xfd_selftests::ktap::{self, Outcome};
use xfd_selftests::kvm::area::{Area, XMM0, XSTATE_BV};
use xfd_selftests::kvm::guest as does;
use xfd_selftests::kvm::vcpu::Vcpu;
use xfd_selftests::kvm::vm::Vm;
use xfd_selftests::kvm::{
    self, layout, with_xcr0, ENABLE, LARGE, SMALL, TILES, TILE_DATA, XCR0_WITH_TILES, XFD,
};
use xfd_selftests::tile::content;

const TESTS: &[ktap::Test] = &[
    ("cpuid_is_refused", || with_knobs(cpuid_is_refused)),
    ("another_cpuid_needs_none", || {
        with_knobs(another_cpuid_needs_none)
    }),
    ("the_guest_needs_none", || with_knobs(the_guest_needs_none)),
    ("its_monitor_needs_none", || {
        with_knobs(its_monitor_needs_none)
    }),
    ("a_restored_one_needs_none", || {
        with_knobs(a_restored_one_needs_none)
    }),
];

const KNOB: &str = "/sys/module/xfd/parameters/fail_allocations";
/// More allocations than any test makes.
const ALL: u32 = 1_000_000;

fn main() -> ExitCode {
    ktap::run(TESTS)
}

fn with_knobs(test: fn() -> anyhow::Result<()>) -> anyhow::Result<Outcome> {
    if let Some(why) = kvm::missing()? {
        return Ok(Outcome::Skipped(why));
    }
    if fs::read(KNOB).is_err() {
        return Ok(Outcome::Skipped(format!(
            "no {KNOB}: xfd.ko without CONFIG_XFD_FAULTS"
        )));
    }
    let result = kvm::apart(test);
    fail(0)?;
    result
}

/// Makes the next `count` allocations fail.
fn fail(count: u32) -> anyhow::Result<()> {
    fs::write(KNOB, format!("{count}\n")).context(KNOB)
}

/// How many have yet to fail; resets that to none.
fn left() -> anyhow::Result<u32> {
    let left = fs::read_to_string(KNOB).context(KNOB)?;
    fail(0)?;
    Ok(left.trim().parse()?)
}

/// Runs `steps` while every allocation would fail, and checks that none was attempted.
fn in_shortage(steps: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    fail(ALL)?;
    let result = steps();
    let tried = ALL - left()?;
    result?;
    ensure!(tried == 0, "{tried} allocations were attempted");
    Ok(())
}

fn bare() -> anyhow::Result<(Vm, Vcpu)> {
    xcomp::request_guest(Feature::TILE_DATA)?;
    let vm = Vm::new(&kvm::open()?)?;
    let vcpu = vm.bare_vcpu(0)?;
    Ok((vm, vcpu))
}

/// The errno from KVM_SET_CPUID2 with everything that KVM supports except these components.
fn set_cpuid(vcpu: &Vcpu, without: u64) -> anyhow::Result<i32> {
    let cpuid = with_xcr0(&kvm::supported_cpuid(&kvm::open()?)?, 0, without)?;
    let result = vcpu.fd.set_cpuid2(&cpuid);
    Ok(result.map_or_else(|error| error.errno(), |()| 0))
}

/// arch/x86/kernel/fpu/xstate.c:1780. The vCPU keeps what it had, and the next attempt succeeds.
fn cpuid_is_refused() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = bare()?;
    ensure!(
        set_cpuid(&vcpu, TILES)? == 0,
        "KVM_SET_CPUID2 without tiles"
    );
    let leaves = vcpu.fd.get_cpuid2(kvm_bindings::KVM_MAX_CPUID_ENTRIES)?;
    let state = Area::of(&vcpu, SMALL)?
        .with(XSTATE_BV, 2)
        .with(XMM0, 0x1234);
    ensure!(state.give(&vcpu)? == 0, "KVM_SET_XSAVE");
    let bytes = areas::bytes()?;
    for round in 0..3 {
        fail(1)?;
        let errno = set_cpuid(&vcpu, 0)?;
        ensure!(left()? == 0, "no allocation was attempted");
        ktap::answer("kvm.nomem.set_cpuid2", errno);
        ensure!(errno == libc::EFAULT, "round {round}: errno {errno}");
        let now = vcpu.fd.get_cpuid2(kvm_bindings::KVM_MAX_CPUID_ENTRIES)?;
        ensure!(now == leaves, "round {round}: the leaves have changed");
        ensure!(
            Area::of(&vcpu, SMALL)?.word(XMM0) == 0x1234 && areas::bytes()? == bytes,
            "round {round}: the state has changed, or memory is left"
        );
        ensure!(
            vcpu.set_xcr0(XCR0_WITH_TILES) == Err(libc::EINVAL),
            "round {round}: XCR0 with tiles was accepted"
        );
    }
    ensure!(set_cpuid(&vcpu, 0)? == 0, "KVM_SET_CPUID2 with memory");
    ensure!(
        Area::of(&vcpu, LARGE)?.word(XMM0) == 0x1234,
        "a different state"
    );
    vcpu.set_up()?;
    vcpu.set_tiles(&content(1))?;
    vcpu.values(&ENABLE)?;
    vcpu.values(&[does::load(), does::check()])?;
    ensure!(vcpu.number(layout::WRONG)? == 0, "wrong tiles");
    Ok(())
}

/// A CPUID without tiles needs no memory, nor does one whose components already have space.
fn another_cpuid_needs_none() -> anyhow::Result<()> {
    let (_vm, vcpu) = bare()?;
    in_shortage(|| {
        ensure!(set_cpuid(&vcpu, TILES)? == 0, "without tiles");
        Ok(())
    })?;
    ensure!(set_cpuid(&vcpu, 0)? == 0, "with tiles");
    in_shortage(|| {
        for without in [TILES, 0, TILES, 0] {
            ensure!(
                set_cpuid(&vcpu, without)? == 0,
                "again, without {without:#x}"
            );
        }
        Ok(())
    })
}

/// In either order of XCR0 and XFD, earlier registers keep their contents, and first uses are served.
fn the_guest_needs_none() -> anyhow::Result<()> {
    let arm = does::wrmsr(XFD, TILE_DATA);
    let [cr4, xsetbv, configure] = ENABLE;
    for order in [[cr4, xsetbv, arm, configure], [cr4, arm, xsetbv, configure]] {
        let (_vm, mut vcpu) = kvm::with_tiles()?;
        vcpu.set_tiles(&content(2))?;
        vcpu.values(&[does::load_xmm()])?;
        in_shortage(|| {
            vcpu.values(&order)?;
            vcpu.values(&[does::check_xmm(), does::serve_nm(true)])?;
            for _ in 0..3 {
                vcpu.values(&[arm, does::load(), does::check(), does::release(), configure])?;
            }
            Ok(())
        })?;
        let served = vcpu.number(layout::NM_COUNT)?;
        ensure!(served == 3, "{served} first uses");
        ensure!(vcpu.number(layout::WRONG)? == 0, "other registers");
    }
    Ok(())
}

/// KVM_SET_XCRS, KVM_SET_MSRS, KVM_SET_XSAVE, KVM_GET_XSAVE2.
fn its_monitor_needs_none() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::configured(3)?;
    vcpu.values(&[does::load()])?;
    in_shortage(|| {
        let live = Area::of(&vcpu, LARGE)?;
        for xcr0 in [7, XCR0_WITH_TILES] {
            ensure!(vcpu.set_xcr0(xcr0) == Ok(()), "KVM_SET_XCRS {xcr0:#x}");
        }
        for xfd in [TILE_DATA, 0] {
            ensure!(vcpu.set_msr(XFD, xfd)?, "KVM_SET_MSRS {xfd:#x}");
        }
        ensure!(live.give(&vcpu)? == 0, "KVM_SET_XSAVE");
        ensure!(Area::of(&vcpu, LARGE)? == live, "a different area");
        Ok(())
    })?;
    ensure!(vcpu.values(&[does::check()])? == [0], "wrong tiles");
    Ok(())
}

/// A vCPU that gets live tiles before it has run.
fn a_restored_one_needs_none() -> anyhow::Result<()> {
    let (vm, mut source) = kvm::configured(4)?;
    source.values(&[does::load()])?;
    let live = Area::of(&source, LARGE)?;
    let mut vcpu = vm.vcpu(1, &kvm::supported_cpuid(&kvm::open()?)?)?;
    vcpu.set_tiles(&content(4))?;
    in_shortage(|| {
        ensure!(live.give(&vcpu)? == 0, "KVM_SET_XSAVE");
        ensure!(Area::of(&vcpu, LARGE)? == live, "a different area is read");
        vcpu.values(&ENABLE[..2])?;
        ensure!(vcpu.values(&[does::check()])? == [0], "wrong tiles");
        Ok(())
    })
}
