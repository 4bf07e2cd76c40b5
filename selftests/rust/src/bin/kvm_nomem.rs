// SPDX-License-Identifier: GPL-2.0
//! No memory for a vCPU's fpstate, small or large: whoever asked is told, and the next try is served.
//!
//! Where the large one is made is the module's matter: each step is tried with an allocation that fails,
//! and the one that needs it must fail, alone.

use anyhow::{bail, ensure, Context};
use std::fs;
use std::process::ExitCode;
use vmm_sys_util::errno;
use xcomp::Feature;
use xfd_selftests::ktap::{self, Outcome};
use xfd_selftests::kvm::area::Area;
use xfd_selftests::kvm::guest::{self as does, Op};
use xfd_selftests::kvm::vcpu::{Outcome as Ended, Vcpu};
use xfd_selftests::kvm::vm::Vm;
use xfd_selftests::kvm::{self, areas, ENABLE, GP, LARGE, TILE_DATA, XFD};
use xfd_selftests::tile::content;

const TESTS: &[ktap::Test] = &[
    ("creating_a_vcpu", || with_knobs(creating_a_vcpu)),
    ("growing", || with_knobs(growing)),
    ("growing_for_a_restored_state", || with_knobs(restoring)),
];

const KNOB: &str = "/sys/kernel/debug/xfd/faults/fail_allocations";

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

/// The next `count` allocations fail.
fn fail(count: u32) -> anyhow::Result<()> {
    fs::write(KNOB, format!("{count}\n")).context(KNOB)
}

/// Whether one has failed since [`fail`] of one; no other will.
fn has_failed() -> anyhow::Result<bool> {
    let left = fs::read_to_string(KNOB).context(KNOB)?;
    fail(0)?;
    Ok(left.trim() == "0")
}

fn creating_a_vcpu() -> anyhow::Result<()> {
    let vm = Vm::new(&kvm::open()?)?;
    let before = areas::bytes()?;
    fail(1)?;
    let errno = vm.fd.create_vcpu(0).err().map(|error| error.errno());
    ensure!(has_failed()?, "no allocation was tried");
    ensure!(errno == Some(libc::ENOMEM), "KVM_CREATE_VCPU: {errno:?}");
    ensure!(areas::bytes()? == before, "something is left");
    // Nothing was made, so nothing is settled.
    xcomp::request_guest(Feature::TILE_DATA)?;
    vm.bare_vcpu(0)?;
    Ok(())
}

/// Tries `step` without memory for one allocation. If that needed one, it is to fail in one of these
/// ways, and to succeed when it is done again.
fn try_twice(
    name: &str,
    step: &mut dyn FnMut() -> anyhow::Result<Option<String>>,
) -> anyhow::Result<bool> {
    fail(1)?;
    let failure = step().with_context(|| format!("{name} without memory"))?;
    if !has_failed()? {
        ensure!(
            failure.is_none(),
            "{name}: {failure:?}, and nothing was allocated"
        );
        return Ok(false);
    }
    let failure = failure.with_context(|| format!("{name} succeeded without its memory"))?;
    ktap::answer(&format!("kvm.nomem.{name}"), failure);
    let again = step()?;
    ensure!(again.is_none(), "{name} again: {again:?}");
    Ok(true)
}

/// What may become of an ioctl without memory.
fn of_ioctl(errno: i32) -> anyhow::Result<Option<String>> {
    match errno {
        0 => Ok(None),
        libc::ENOMEM | libc::EFAULT => Ok(Some(format!("errno {errno}"))),
        _ => bail!("errno {errno}"),
    }
}

/// What may become of an operation of the guest: #GP, or KVM_RUN fails and the operation is not done yet.
fn of_guest(vcpu: &mut Vcpu, op: Op) -> anyhow::Result<Option<String>> {
    match vcpu.run(&[op]) {
        Ok(outcomes) => match outcomes[0] {
            Ended::Value(_) => Ok(None),
            Ended::Exception(GP, 0) => Ok(Some("#GP".into())),
            other => bail!("{other:x?}"),
        },
        Err(error) => {
            let errno = error
                .downcast_ref::<errno::Error>()
                .map(|error| error.errno());
            ensure!(errno == Some(libc::ENOMEM), "{error:#}");
            Ok(Some("KVM_RUN: ENOMEM".into()))
        }
    }
}

/// Takes a new vCPU through what makes tiles usable, in that order; one step needs memory.
fn grow_at(order: &str, steps: &[(&str, Op)]) -> anyhow::Result<()> {
    xcomp::request_guest(Feature::TILE_DATA)?;
    let kvm = kvm::open()?;
    let vm = Vm::new(&kvm)?;
    let mut vcpu = vm.bare_vcpu(0)?;
    let cpuid = kvm::supported_cpuid(&kvm)?;
    let set = || {
        of_ioctl(
            vcpu.fd
                .set_cpuid2(&cpuid)
                .map_or_else(|error| error.errno(), |()| 0),
        )
    };
    let mut failed = u32::from(try_twice(&format!("{order}.set_cpuid2"), &mut || set())?);
    vcpu.set_up()?;
    vcpu.set_tiles(&content(1))?;
    vcpu.values(&[ENABLE[0], does::load_xmm()])?;
    for (name, op) in steps {
        let name = format!("{order}.{name}");
        failed += u32::from(try_twice(&name, &mut || of_guest(&mut vcpu, *op))?);
        ensure!(
            vcpu.values(&[does::check_xmm()])? == [0],
            "{name}: other XMM registers"
        );
    }
    ensure!(failed == 1, "{order}: {failed} steps needed memory");
    let values = vcpu.values(&[does::wrmsr(XFD, 0), does::load(), does::check()])?;
    ensure!(values[2] == 0, "{order}: other tiles");
    Ok(())
}

/// XCR0 first, as Linux does, and XFD first.
fn growing() -> anyhow::Result<()> {
    let (xsetbv, ldtilecfg, load) = (ENABLE[1], ENABLE[2], does::load());
    let (arm, disarm) = (does::wrmsr(XFD, TILE_DATA), does::wrmsr(XFD, 0));
    let named = [
        ("xsetbv", xsetbv),
        ("arm", arm),
        ("ldtilecfg", ldtilecfg),
        ("disarm", disarm),
        ("tileload", load),
    ];
    grow_at("xcr0_first", &named)?;
    let [xsetbv, arm, ldtilecfg, disarm, load] = named;
    grow_at("xfd_first", &[arm, xsetbv, ldtilecfg, disarm, load])
}

/// A vCPU that gets live tiles before it has run.
fn restoring() -> anyhow::Result<()> {
    let (vm, mut source) = kvm::with_tiles()?;
    source.values(&ENABLE)?;
    source.values(&[does::load()])?;
    let live = Area::of(&source, LARGE)?;
    let vcpu = vm.bare_vcpu(1)?;
    let cpuid = kvm::supported_cpuid(&kvm::open()?)?;
    let set = || {
        of_ioctl(
            vcpu.fd
                .set_cpuid2(&cpuid)
                .map_or_else(|error| error.errno(), |()| 0),
        )
    };
    let failed = u32::from(try_twice("restored.set_cpuid2", &mut || set())?)
        + u32::from(try_twice("restored.set_xsave", &mut || {
            of_ioctl(live.give(&vcpu)?)
        })?);
    ensure!(failed == 1, "{failed} steps needed memory");
    ensure!(
        Area::of(&vcpu, LARGE)? == live,
        "another area is read than was written"
    );
    Ok(())
}
