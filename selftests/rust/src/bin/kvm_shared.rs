// SPDX-License-Identifier: GPL-2.0
//! A vCPU used by a process other than its creator. KVM checks only that the memory is the same; the permission
//! is the creator's alone.

use anyhow::{bail, ensure, Context};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use xcomp::Feature;
use xfd_selftests::kvm::area::{errno, Area, CONFIG, DATA, XSTATE_BV};
use xfd_selftests::kvm::guest as does;
use xfd_selftests::kvm::ioctls::{self, Fenced};
use xfd_selftests::kvm::layout;
use xfd_selftests::kvm::vcpu::Vcpu;
use xfd_selftests::kvm::vm::Vm;
use xfd_selftests::kvm::{self, supported_cpuid, ENABLE, LARGE, TILES, TILE_DATA, XFD};
use xfd_selftests::sys::{self, End};
use xfd_selftests::tile::{content, Tiles};
use xfd_selftests::{child, ktap, kvm_tests};

const TESTS: &[ktap::Test] = kvm_tests![
    gives_it_live_tiles,
    enables_its_tiles,
    arms_and_disarms_it,
    runs_it,
    sets_its_cpuid_again,
    sets_its_first_cpuid,
    of_one_that_has_gone,
    of_other_memory,
];

fn main() -> ExitCode {
    ktap::run(TESTS)
}

/// A virtual machine with a vCPU whose creator has permission.
type Machine = (Vm, Vcpu);
/// What the other process does with the machine.
type Work = fn(&mut Machine) -> anyhow::Result<()>;

/// Runs in the other process: checks that it has neither its own nor guest permission, and does `work`.
fn unpermitted(machine: &Mutex<Option<Machine>>, work: Work) -> i32 {
    let result = catch_unwind(AssertUnwindSafe(|| {
        let permitted = [xcomp::permitted()?, xcomp::guest_permitted()?];
        let has = |set: &xcomp::FeatureSet| set.contains(Feature::TILE_DATA);
        ensure!(!permitted.iter().any(has), "it has permission");
        let mut machine = machine.lock().expect("no other thread has it");
        work(machine.as_mut().context("there is no vCPU")?)?;
        denied_as_ever()
    }));
    match result {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            ktap::remark(format!("the other process: {error:#}"));
            1
        }
        Err(_) => 2,
    }
}

/// Whatever the process did with the guest, it still may not use tiles itself.
fn denied_as_ever() -> anyhow::Result<()> {
    let pid = sys::fork()?;
    if pid == 0 {
        Tiles::configure().zero::<0>();
        sys::exit_now(0);
    }
    let (_, end) = sys::wait(pid, 0)?;
    ensure!(end == End::Signal(libc::SIGILL), "TILEZERO: {end:?}");
    Ok(())
}

/// Starts the other process before this one asks for permission and creates the vCPU.
fn beside(make: fn() -> anyhow::Result<Machine>, work: Work) -> anyhow::Result<Machine> {
    let machine = Arc::new(Mutex::new(None));
    let (mut go, mut told) = UnixStream::pair()?;
    let theirs = Arc::clone(&machine);
    let pid = sys::process_beside(move || {
        let mut word = [0];
        match told.read(&mut word) {
            Ok(1) => unpermitted(&theirs, work),
            _ => 3,
        }
    })?;
    *machine.lock().expect("not locked") = Some(make()?);
    go.write_all(b"!")?;
    let (_, end) = sys::wait(pid, 0)?;
    ensure!(end == End::Exit(0), "the other process: {end:?}");
    let machine = machine.lock().expect("not locked").take();
    machine.context("no vCPU")
}

/// A constructed area with live tiles.
fn live(vcpu: &Vcpu, number: u64) -> anyhow::Result<Area> {
    let mut area = Area::of(vcpu, LARGE)?;
    area = area.with(XSTATE_BV, area.word(XSTATE_BV) | TILES);
    let mut config = [0; 64];
    config[0] = 1;
    for tile in 0..8 {
        config[16 + 2 * tile] = 64;
        config[48 + tile] = 16;
    }
    area.0[CONFIG..CONFIG + 64].copy_from_slice(&config);
    for (place, tile) in area.0[DATA..].chunks_exact_mut(1024).zip(&content(number)) {
        place.copy_from_slice(&tile.0);
    }
    Ok(area)
}

/// Checks that the guest sees tiles `number`, even after its own first use.
fn guest_has(vcpu: &mut Vcpu, number: u64) -> anyhow::Result<()> {
    vcpu.set_tiles(&content(number))?;
    ensure!(vcpu.values(&[does::check()])? == [0], "wrong tiles");
    vcpu.set_tiles(&content(number + 1))?;
    let first_use = [does::wrmsr(XFD, TILE_DATA), does::load(), does::check()];
    vcpu.values(&[does::serve_nm(true)])?;
    ensure!(vcpu.values(&first_use)?[2] == 0, "wrong tiles later");
    ensure!(vcpu.number(layout::WRONG)? == 0, "wrong tiles");
    Ok(())
}

/// KVM_SET_XSAVE before the guest has run.
fn gives_it_live_tiles() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = beside(kvm::with_tiles, |(_, vcpu)| {
        let live = live(vcpu, 5)?;
        ensure!(live.give(vcpu)? == 0, "KVM_SET_XSAVE");
        let is = Area::of(vcpu, LARGE)?;
        ensure!(is == live, "the area read differs from the one written");
        Ok(())
    })?;
    vcpu.values(&ENABLE[..2])?;
    guest_has(&mut vcpu, 5)
}

/// KVM_SET_XCRS; the guest runs in both processes.
fn enables_its_tiles() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = beside(kvm::with_tiles, |(_, vcpu)| {
        let set = vcpu.set_xcr0(kvm::XCR0_WITH_TILES);
        ensure!(set == Ok(()), "KVM_SET_XCRS: {set:?}");
        vcpu.set_tiles(&content(6))?;
        vcpu.values(&[ENABLE[0], ENABLE[2], does::load()])?;
        Ok(())
    })?;
    guest_has(&mut vcpu, 6)
}

/// KVM_SET_MSRS, before the guest has enabled tiles and while it has live ones.
fn arms_and_disarms_it() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = beside(
        || kvm::configured(7),
        |(_, vcpu)| {
            for xfd in [TILE_DATA, 0] {
                ensure!(vcpu.set_msr(XFD, xfd)?, "XFD was refused");
            }
            vcpu.values(&[does::load(), does::check(), does::release()])?;
            for xfd in [TILE_DATA, 0] {
                ensure!(vcpu.set_msr(XFD, xfd)?, "XFD was refused");
            }
            vcpu.values(&[does::configure(), does::load()])?;
            Ok(())
        },
    )?;
    guest_has(&mut vcpu, 7)
}

/// KVM_RUN, from the first instruction on.
fn runs_it() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = beside(kvm::with_tiles, |(_, vcpu)| {
        vcpu.set_tiles(&content(8))?;
        vcpu.values(&ENABLE)?;
        vcpu.values(&[does::load(), does::wrmsr(XFD, 0), does::check()])?;
        Ok(())
    })?;
    guest_has(&mut vcpu, 8)
}

fn set_cpuid(vcpu: &Vcpu, cpuid: &kvm_bindings::CpuId) -> i32 {
    vcpu.fd
        .set_cpuid2(cpuid)
        .map_or_else(|error| error.errno(), |()| 0)
}

/// What already has space in the buffer needs no permission (arch/x86/kernel/fpu/core.c:311).
fn sets_its_cpuid_again() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = beside(kvm::with_tiles, |(_, vcpu)| {
        let cpuid = vcpu.fd.get_cpuid2(kvm_bindings::KVM_MAX_CPUID_ENTRIES)?;
        ensure!(set_cpuid(vcpu, &cpuid) == 0, "KVM_SET_CPUID2 again");
        ensure!(live(vcpu, 9)?.give(vcpu)? == 0, "KVM_SET_XSAVE");
        Ok(())
    })?;
    vcpu.values(&ENABLE[..2])?;
    guest_has(&mut vcpu, 9)
}

fn bare() -> anyhow::Result<Machine> {
    xcomp::request_guest(Feature::TILE_DATA)?;
    let vm = Vm::new(&kvm::open()?)?;
    let vcpu = vm.bare_vcpu(0)?;
    Ok((vm, vcpu))
}

/// Growing the buffer needs permission, and the caller's is what counts (xstate.c:1778).
fn sets_its_first_cpuid() -> anyhow::Result<()> {
    let (_vm, mut vcpu) = beside(bare, |(_, vcpu)| {
        let own = supported_cpuid(&kvm::open()?)?;
        let with_tiles = kvm::with_xcr0(&own, TILES, 0)?;
        let errno = set_cpuid(vcpu, &with_tiles);
        ktap::answer("kvm.shared.first_cpuid", errno);
        ensure!(errno == libc::EPERM, "KVM_SET_CPUID2: errno {errno}");
        Ok(())
    })?;
    ensure!(
        set_cpuid(&vcpu, &supported_cpuid(&kvm::open()?)?) == 0,
        "KVM_SET_CPUID2 by its creator"
    );
    vcpu.set_up()?;
    ensure!(live(&vcpu, 10)?.give(&vcpu)? == 0, "KVM_SET_XSAVE");
    vcpu.values(&ENABLE[..2])?;
    guest_has(&mut vcpu, 10)
}

/// The creator was a child that shared memory and files and has exited; this process continues with its vCPU.
fn of_one_that_has_gone() -> anyhow::Result<()> {
    let machine = Mutex::new(None);
    let pid = sys::vfork_sharing(libc::CLONE_FILES, || match kvm::with_tiles() {
        Ok(made) => {
            *machine.lock().expect("not locked") = Some(made);
            0
        }
        Err(error) => {
            ktap::remark(format!("the creator: {error:#}"));
            1
        }
    })?;
    let (_, end) = sys::wait(pid, 0)?;
    ensure!(end == End::Exit(0), "the creator: {end:?}");
    let status = unpermitted(&machine, |(_, vcpu)| {
        ensure!(live(vcpu, 11)?.give(vcpu)? == 0, "KVM_SET_XSAVE");
        vcpu.values(&ENABLE[..2])?;
        guest_has(vcpu, 11)?;
        let armed = vcpu.set_msr(XFD, TILE_DATA)? && vcpu.set_msr(XFD, 0)?;
        ensure!(armed, "XFD was refused");
        Ok(())
    });
    ensure!(status == 0, "see above");
    Ok(())
}

/// Passed on to a process with different memory, by fork or through a socket: EIO, and nothing changes.
fn of_other_memory() -> anyhow::Result<()> {
    use vmm_sys_util::sock_ctrl_msg::ScmSocket;
    let (ours, theirs) = UnixStream::pair()?;
    let refused = |fd: i32| -> anyhow::Result<()> {
        for (name, number) in ioctls::OF_A_VCPU {
            let is = errno(ioctls::bare(fd, number, &mut Fenced::new(&[0; 4096])?));
            ensure!(is == libc::EIO, "{name}: errno {is}");
        }
        Ok(())
    };
    let stranger = child::begin(|| {
        let (_, file) = theirs.recv_with_fd(&mut [0; 1])?;
        let Some(file) = file else {
            bail!("nothing was passed on")
        };
        refused(std::os::fd::AsRawFd::as_raw_fd(&file))
    })?;
    let (_vm, mut vcpu) = kvm::configured(12)?;
    vcpu.values(&[does::load()])?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&vcpu.fd);
    ours.send_with_fd(&b"!"[..], fd)?;
    let (_, end) = sys::wait(stranger, 0)?;
    ensure!(end == End::Exit(0), "a stranger: {end:?}");
    child::passes(|| refused(fd))?;
    guest_has(&mut vcpu, 12)
}
