// SPDX-License-Identifier: GPL-2.0
//! Guest permission: what KVM reports and accepts with and without it, and when it can be requested.

use anyhow::{ensure, Context};
use kvm_bindings::KVM_X86_XCOMP_GUEST_SUPP;
use std::process::{Command, ExitCode};
use std::thread;
use xcomp::{Error, Feature};
use xfd_selftests::kvm::ioctls;
use xfd_selftests::kvm::vm::Vm;
use xfd_selftests::kvm::{self, leaf, shown_xcr0, with_xcr0, TILES, TILE_CFG, TILE_DATA};
use xfd_selftests::{child, ktap, kvm_tests};

const TESTS: &[ktap::Test] = kvm_tests![
    attribute_is_what_kvm_can,
    cpuid_without_permission,
    cpuid_with_permission,
    cpuid_of_a_vcpu_is_refused,
    a_refused_vcpu_stays_as_it_was,
    cpuid_of_a_vcpu_is_taken,
    xcr0_is_limited_by_cpuid,
    a_vm_locks_nothing,
    a_bad_vcpu_locks_nothing,
    first_vcpu_locks,
    the_lock_outlives_the_vm,
    the_lock_is_of_all_threads,
    the_lock_is_inherited_by_fork,
    the_lock_ends_with_exec,
    what_is_permitted_stays,
    host_and_guest_are_independent,
];

/// As an argument: a separate program that requests guest permission. Exits with the errno.
const REQUEST: &str = "--request";
const ENXIO: i32 = 6;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(REQUEST) {
        let errno = request().err().map_or(0, Error::errno);
        return ExitCode::from(u8::try_from(errno).unwrap_or(u8::MAX));
    }
    ktap::run(TESTS)
}

fn request() -> Result<(), Error> {
    xcomp::request_guest(Feature::TILE_DATA)
}

/// arch/x86/kvm/x86.c:4588: not what is permitted, but what may be requested.
fn attribute_is_what_kvm_can() -> anyhow::Result<()> {
    let kvm = kvm::open()?;
    let can = ioctls::attribute(&kvm, 0, KVM_X86_XCOMP_GUEST_SUPP.into())?;
    ktap::answer("kvm.guest_supp", format!("{can:#x}"));
    let supported = xcomp::supported()?.bits();
    ensure!(can & TILES == TILES, "{can:#x}, nothing permitted");
    ensure!(
        can & !supported == 0,
        "{can:#x}, the machine has {supported:#x}"
    );
    request()?;
    let after = ioctls::attribute(&kvm, 0, KVM_X86_XCOMP_GUEST_SUPP.into())?;
    ensure!(after == can, "{after:#x}, without permission {can:#x}");
    for (group, attr) in [(0, 1), (99, 0)] {
        let error = ioctls::attribute(&kvm, group, attr).err();
        let errno = error.and_then(|error| error.raw_os_error());
        ensure!(
            errno == Some(ENXIO),
            "group {group}, attribute {attr}: {errno:?}"
        );
    }
    Ok(())
}

/// Prints rows for what KVM reports about AMX, as far as it depends on the permission.
fn answer_cpuid(state: &str) -> anyhow::Result<kvm_bindings::CpuId> {
    let cpuid = kvm::supported_cpuid(&kvm::open()?)?;
    for (function, index) in [
        (0xd, 0),
        (0xd, 1),
        (0xd, 17),
        (0xd, 18),
        (0x1d, 1),
        (0x1e, 0),
    ] {
        let name = format!("kvm.cpuid.{function:x}.{index}.{state}");
        match leaf(&cpuid, function, index) {
            Some(l) => ktap::answer(
                &name,
                format!("{:#x} {:#x} {:#x} {:#x}", l.eax, l.ebx, l.ecx, l.edx),
            ),
            None => ktap::answer(&name, "none"),
        }
    }
    let features = leaf(&cpuid, 7, 0).context("no leaf 7")?.edx & (1 << 22 | 1 << 24 | 1 << 25);
    ktap::answer(
        &format!("kvm.cpuid.7.0.edx.{state}"),
        format!("{features:#x}"),
    );
    Ok(cpuid)
}

/// 55cd57b596e8: component 17 is useless without 18, so it is not reported either.
fn cpuid_without_permission() -> anyhow::Result<()> {
    let cpuid = answer_cpuid("without")?;
    let shown = shown_xcr0(&cpuid);
    ensure!(shown & TILES == 0, "XCR0 {shown:#x}");
    for component in [17, 18] {
        let leaf = leaf(&cpuid, 0xd, component);
        ensure!(
            leaf.is_none_or(|leaf| leaf.eax == 0),
            "component {component}: {leaf:x?}"
        );
    }
    Ok(())
}

fn cpuid_with_permission() -> anyhow::Result<()> {
    request()?;
    let cpuid = answer_cpuid("with")?;
    let shown = shown_xcr0(&cpuid);
    ensure!(shown & TILES == TILES, "XCR0 {shown:#x}");
    for (component, size, offset, flags) in [(17, 64, 2752, 2), (18, 8192, 2816, 6)] {
        let leaf = leaf(&cpuid, 0xd, component).context("no such leaf")?;
        let is = (leaf.eax, leaf.ebx, leaf.ecx);
        ensure!(is == (size, offset, flags), "component {component}: {is:?}");
    }
    Ok(())
}

/// arch/x86/kvm/cpuid.c:169, arch/x86/kernel/fpu/xstate.c:1778. Component 17 alone needs no permission.
fn cpuid_of_a_vcpu_is_refused() -> anyhow::Result<()> {
    let kvm = kvm::open()?;
    let vm = Vm::new(&kvm)?;
    let shown = kvm::supported_cpuid(&kvm)?;
    let errno = |number, components| -> anyhow::Result<i32> {
        let vcpu = vm.bare_vcpu(number)?;
        let result = vcpu.fd.set_cpuid2(&with_xcr0(&shown, components, 0)?);
        Ok(result.err().map_or(0, |error| error.errno()))
    };
    for (i, (components, name)) in [(TILES, "17_18"), (TILE_DATA, "18"), (TILE_CFG, "17")]
        .iter()
        .enumerate()
    {
        let errno = errno(i as u64, *components)?;
        ktap::answer(&format!("kvm.set_cpuid.unpermitted.{name}"), errno);
        let expected = if components & TILE_DATA != 0 {
            libc::EPERM
        } else {
            0
        };
        ensure!(
            errno == expected,
            "components {components:#x}: errno {errno}"
        );
    }
    Ok(())
}

fn a_refused_vcpu_stays_as_it_was() -> anyhow::Result<()> {
    let kvm = kvm::open()?;
    let vm = Vm::new(&kvm)?;
    let shown = kvm::supported_cpuid(&kvm)?;
    let mut vcpu = vm.vcpu(0, &shown)?;
    let before = vcpu.fd.get_cpuid2(kvm_bindings::KVM_MAX_CPUID_ENTRIES)?;
    ensure!(
        vcpu.fd.set_cpuid2(&with_xcr0(&shown, TILES, 0)?).is_err(),
        "taken"
    );
    let after = vcpu.fd.get_cpuid2(kvm_bindings::KVM_MAX_CPUID_ENTRIES)?;
    ensure!(before == after, "the leaves have changed");
    vcpu.values(&[kvm::guest::set_cr4(1 << 18), kvm::guest::xsetbv(7)])?;
    ensure!(
        vcpu.set_xcr0(kvm::XCR0_WITH_TILES) == Err(libc::EINVAL),
        "XCR0 with tiles was accepted"
    );
    Ok(())
}

fn cpuid_of_a_vcpu_is_taken() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = kvm::with_tiles()?;
    let is = vcpu.values(&[kvm::ENABLE[0], kvm::ENABLE[1], kvm::guest::xgetbv(0)])?[2];
    ensure!(is == kvm::XCR0_WITH_TILES, "XCR0 {is:#x}");
    Ok(())
}

/// arch/x86/kvm/x86.c:1092: permitted, but not in this vCPU's CPUID.
fn xcr0_is_limited_by_cpuid() -> anyhow::Result<()> {
    request()?;
    let kvm = kvm::open()?;
    let vm = Vm::new(&kvm)?;
    let vcpu = vm.vcpu(0, &with_xcr0(&kvm::supported_cpuid(&kvm)?, 0, TILES)?)?;
    for (xcr0, expected) in [(kvm::XCR0_WITH_TILES, Err(libc::EINVAL)), (7, Ok(()))] {
        let is = vcpu.set_xcr0(xcr0);
        ensure!(is == expected, "XCR0 {xcr0:#x}: {is:?}");
    }
    Ok(())
}

fn a_vm_locks_nothing() -> anyhow::Result<()> {
    let _vm = Vm::new(&kvm::open()?)?;
    Ok(request()?)
}

/// virt/kvm/kvm_main.c refuses the number before the FPU part is created.
fn a_bad_vcpu_locks_nothing() -> anyhow::Result<()> {
    let kvm = kvm::open()?;
    let vm = Vm::new(&kvm)?;
    let number = kvm.get_max_vcpu_id() as u64;
    let error = vm.fd.create_vcpu(number).err().map(|error| error.errno());
    ensure!(error == Some(libc::EINVAL), "vCPU {number}: {error:?}");
    Ok(request()?)
}

/// A virtual machine with a vCPU in a process that has requested nothing, so it is now too late.
fn too_late() -> anyhow::Result<(Vm, kvm::vcpu::Vcpu)> {
    let vm = Vm::new(&kvm::open()?)?;
    let vcpu = vm.bare_vcpu(0)?;
    Ok((vm, vcpu))
}

fn expect_locked() -> anyhow::Result<()> {
    let is = request();
    ensure!(is == Err(Error::VcpuExists), "{is:?}");
    Ok(())
}

fn first_vcpu_locks() -> anyhow::Result<()> {
    let before = xcomp::guest_permitted()?;
    let _machine = too_late()?;
    expect_locked()?;
    let after = xcomp::guest_permitted()?;
    ensure!(after == before, "permitted {after}, before {before}");
    let shown = shown_xcr0(&kvm::supported_cpuid(&kvm::open()?)?);
    ensure!(shown & TILES == 0, "XCR0 {shown:#x}");
    Ok(())
}

fn the_lock_outlives_the_vm() -> anyhow::Result<()> {
    drop(too_late()?);
    expect_locked()
}

fn the_lock_is_of_all_threads() -> anyhow::Result<()> {
    let other = thread::spawn(|| -> anyhow::Result<()> { too_late().map(drop) });
    other.join().expect("no panic")?;
    expect_locked()?;
    thread::spawn(expect_locked).join().expect("no panic")
}

fn the_lock_is_inherited_by_fork() -> anyhow::Result<()> {
    drop(too_late()?);
    child::passes(expect_locked)
}

fn the_lock_ends_with_exec() -> anyhow::Result<()> {
    drop(too_late()?);
    let status = Command::new(std::env::current_exe()?)
        .arg(REQUEST)
        .status()?;
    ensure!(status.success(), "a new program's request: {status}");
    Ok(())
}

/// A request for what is already permitted succeeds before the lock is checked.
fn what_is_permitted_stays() -> anyhow::Result<()> {
    request()?;
    let _machine = too_late()?;
    request()?;
    let permitted = xcomp::guest_permitted()?;
    ensure!(permitted.contains(Feature::TILE_DATA), "{permitted}");
    ensure!(
        permitted.bits() >> 63 == 0,
        "{permitted}: the lock is visible"
    );
    child::passes(|| Ok(request()?))
}

fn host_and_guest_are_independent() -> anyhow::Result<()> {
    let [host, guest] = [xcomp::permitted()?, xcomp::guest_permitted()?];
    request()?;
    ensure!(
        xcomp::permitted()? == host,
        "host {}, before {host}",
        xcomp::permitted()?
    );
    child::passes(|| {
        let _machine = too_late()?;
        Ok(xcomp::request(Feature::TILE_DATA)?)
    })?;
    let both = xcomp::guest_permitted()?;
    ensure!(
        both == guest.with(Feature::TILE_DATA),
        "guest {both}, before {guest}"
    );
    Ok(())
}
