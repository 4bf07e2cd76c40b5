// SPDX-License-Identifier: GPL-2.0
//! A vCPU saved in one process and restored in another, with the same and with different permissions.

use anyhow::{ensure, Context};
use kvm_bindings::CpuId;
use std::io::{Read, Write};
use std::process::{Command, ExitCode, Stdio};
use xcomp::Feature;
use xfd_selftests::kvm::area::Area;
use xfd_selftests::kvm::guest as does;
use xfd_selftests::kvm::layout;
use xfd_selftests::kvm::moved::{Moved, Part, Refused, AS_QEMU};
use xfd_selftests::kvm::states::{goes_on, into_state};
use xfd_selftests::kvm::vm::Vm;
use xfd_selftests::kvm::{self, with_xcr0, ENABLE, LARGE, SMALL, TILES, TILE_DATA, XFD};
use xfd_selftests::{child, ktap, kvm_tests};

const TESTS: &[ktap::Test] = kvm_tests![
    to_another_process,
    in_any_order,
    there_and_back,
    to_one_without_permission,
    to_one_that_hides_tiles,
    unused_tiles_may_be_hidden,
    from_one_without_permission,
    a_small_area_for_a_large_vcpu,
];

/// As the first argument: act as the target. The others say whether it has permission, whether it hides
/// tiles, and what state it should see.
const TARGET: &str = "--target";

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, TARGET, permission, tiles, state] => match target(permission, tiles, state) {
            Ok(word) => print!("{word}"),
            Err(error) => print!("{error:#}"),
        },
        _ => return ktap::run(TESTS),
    }
    ExitCode::SUCCESS
}

/// A guest in that state, as bytes.
fn source(state: &str) -> anyhow::Result<Moved> {
    let (_vm, mut vcpu) = kvm::with_tiles()?;
    into_state(&mut vcpu, state)?;
    Moved::from(&mut vcpu, LARGE)
}

/// Reads a guest from standard input, and continues it.
fn target(permission: &str, tiles: &str, state: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    let mut moved: Moved = postcard::from_bytes(&bytes)?;
    if permission == "permitted" {
        xcomp::request_guest(Feature::TILE_DATA)?;
    }
    if tiles == "hidden" {
        let cpuid = CpuId::from_entries(&moved.cpuid)?;
        moved.cpuid = with_xcr0(&cpuid, 0, TILES)?.as_slice().to_vec();
    }
    let vm = Vm::new(&kvm::open()?)?;
    let mut vcpu = vm.bare_vcpu(0)?;
    if let Err(Refused(ioctl, errno)) = moved.restore(&mut vcpu, &AS_QEMU)? {
        return Ok(format!("{ioctl} {errno}"));
    }
    goes_on(&mut vcpu, state)?;
    Ok("ok".into())
}

/// Moves a guest to a new process, and returns what that prints.
fn carry(moved: &Moved, permission: &str, tiles: &str, state: &str) -> anyhow::Result<String> {
    let mut process = Command::new(std::env::current_exe()?)
        .args([TARGET, permission, tiles, state])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut pipe = process.stdin.take().context("its standard input")?;
    pipe.write_all(&postcard::to_stdvec(moved)?)?;
    drop(pipe);
    let output = process.wait_with_output()?;
    ensure!(
        output.status.success(),
        "the target ended with {}",
        output.status
    );
    let said = String::from_utf8(output.stdout)?;
    ktap::answer(&format!("kvm.moved.{state}.to_{permission}.{tiles}"), &said);
    Ok(said)
}

fn to_another_process() -> anyhow::Result<()> {
    for state in ["live", "released", "armed", "in_nm", "unused"] {
        let said = carry(&source(state)?, "permitted", "shown", state)?;
        ensure!(said == "ok", "{state}: {said}");
    }
    Ok(())
}

/// XSAVE before or after XCR0, XFD first or last: every order restores the whole state.
fn in_any_order() -> anyhow::Result<()> {
    use Part::{Msrs, Regs, Sregs, Xcrs, Xsave};
    let orders = [
        [Sregs, Regs, Xsave, Xcrs, Msrs],
        [Sregs, Regs, Xsave, Msrs, Xcrs],
        [Sregs, Regs, Xcrs, Xsave, Msrs],
        [Xcrs, Msrs, Xsave, Sregs, Regs],
        [Msrs, Xsave, Xcrs, Regs, Sregs],
        [Msrs, Xcrs, Xsave, Sregs, Regs],
    ];
    for state in ["live", "armed", "in_nm"] {
        let moved = source(state)?;
        for order in orders {
            let vm = Vm::new(&kvm::open()?)?;
            let mut vcpu = vm.bare_vcpu(0)?;
            let restored = moved.restore(&mut vcpu, &order)?;
            ensure!(
                restored.is_ok(),
                "{state} in the order {order:?}: {restored:?}"
            );
            let as_read = Area::of(&vcpu, LARGE)?;
            ensure!(
                as_read.0 == moved.xsave,
                "{state} in the order {order:?}: a different area is read"
            );
            goes_on(&mut vcpu, state).with_context(|| format!("{state} in the order {order:?}"))?;
        }
    }
    Ok(())
}

/// Moves the same vCPU to new virtual machines repeatedly, losing nothing on the way.
fn there_and_back() -> anyhow::Result<()> {
    let mut moved = source("live")?;
    for round in 0..10 {
        let vm = Vm::new(&kvm::open()?)?;
        let mut vcpu = vm.bare_vcpu(0)?;
        let restored = moved.restore(&mut vcpu, &AS_QEMU)?;
        ensure!(restored.is_ok(), "round {round}: {restored:?}");
        vcpu.values(&[
            does::check(),
            does::wrmsr(XFD, TILE_DATA),
            does::wrmsr(XFD, 0),
            does::load(),
        ])?;
        ensure!(
            vcpu.number(layout::WRONG)? == 0,
            "round {round}: wrong tiles"
        );
        moved = Moved::from(&mut vcpu, LARGE)?;
    }
    Ok(())
}

/// KVM_SET_CPUID2 fails with -EPERM before anything is restored, whatever state the vCPU was saved in.
fn to_one_without_permission() -> anyhow::Result<()> {
    for state in ["live", "released", "armed", "unused"] {
        let said = carry(&source(state)?, "unpermitted", "shown", state)?;
        ensure!(
            said == format!("KVM_SET_CPUID2 {}", libc::EPERM),
            "{state}: {said}"
        );
    }
    Ok(())
}

/// The target's CPUID has no tiles, so live ones, or an XCR0 that includes them, are refused.
fn to_one_that_hides_tiles() -> anyhow::Result<()> {
    for permission in ["unpermitted", "permitted"] {
        for (state, ioctl) in [("live", "KVM_SET_XSAVE"), ("released", "KVM_SET_XCRS")] {
            let said = carry(&source(state)?, permission, "hidden", state)?;
            ensure!(
                said == format!("{ioctl} {}", libc::EINVAL),
                "{state}: {said}"
            );
        }
    }
    Ok(())
}

/// The guest had tiles, but never enabled them.
fn unused_tiles_may_be_hidden() -> anyhow::Result<()> {
    for permission in ["unpermitted", "permitted"] {
        let said = carry(&source("unused")?, permission, "hidden", "unused")?;
        ensure!(said == "ok", "{said}");
    }
    Ok(())
}

/// The guest never had tiles, so the target need not hide them.
fn from_one_without_permission() -> anyhow::Result<()> {
    let kvm = kvm::open()?;
    let vm = Vm::new(&kvm)?;
    let mut vcpu = vm.vcpu(0, &kvm::supported_cpuid(&kvm)?)?;
    into_state(&mut vcpu, "unused")?;
    let moved = Moved::from(&mut vcpu, SMALL)?;
    for permission in ["unpermitted", "permitted"] {
        let said = carry(&moved, permission, "shown", "unknown")?;
        ensure!(said == "ok", "{permission}: {said}");
    }
    Ok(())
}

/// A target that gives tiles to a guest that arrives without: 4,096 bytes are too few, but enough
/// with zeros appended.
fn a_small_area_for_a_large_vcpu() -> anyhow::Result<()> {
    let (vm, _unused) = kvm::with_tiles()?;
    let kvm = kvm::open()?;
    let shown = kvm::supported_cpuid(&kvm)?;
    let mut small = vm.vcpu(1, &with_xcr0(&shown, 0, TILES)?)?;
    into_state(&mut small, "unused")?;
    let mut moved = Moved::from(&mut small, SMALL)?;
    moved.cpuid = shown.as_slice().to_vec();
    child::passes(|| {
        let vm = Vm::new(&kvm::open()?)?;
        let mut vcpu = vm.bare_vcpu(1)?;
        let restored = moved.restore(&mut vcpu, &AS_QEMU)?;
        let refused = Err(Refused("KVM_SET_XSAVE", libc::EFAULT));
        ensure!(restored == refused, "{restored:?}");
        moved.xsave.resize(LARGE, 0);
        let restored = moved.restore(&mut vcpu, &AS_QEMU)?;
        ensure!(restored.is_ok(), "with zeros appended: {restored:?}");
        vcpu.values(&ENABLE)?;
        goes_on(&mut vcpu, "released")
    })
}
