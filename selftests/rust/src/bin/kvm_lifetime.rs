// SPDX-License-Identifier: GPL-2.0
//! How much memory a vCPU's fpstate takes at each point in its life, and that none is left, however it ends.

use anyhow::{ensure, Context};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};
use xcomp::Feature;
use xfd_selftests::areas;
use xfd_selftests::child;
use xfd_selftests::ktap;
use xfd_selftests::kvm::guest as does;
use xfd_selftests::kvm::layout;
use xfd_selftests::kvm::vcpu::Vcpu;
use xfd_selftests::kvm::vm::Vm;
use xfd_selftests::kvm::{self, with_xcr0, ENABLE, TILES, TILE_DATA, XFD};
use xfd_selftests::sys::{self, End};

const TESTS: &[ktap::Test] = &[
    ("seen_while_it_lives", || kvm::apart(seen_while_it_lives)),
    ("created", || kvm::apart(|| none_is_left("created"))),
    ("with_cpuid", || kvm::apart(|| none_is_left("cpuid"))),
    ("refused_cpuid", || kvm::apart(refused_cpuid)),
    ("cpuid_twice", || kvm::apart(cpuid_twice)),
    ("enabled", || kvm::apart(|| none_is_left("enabled"))),
    ("armed", || kvm::apart(|| none_is_left("armed"))),
    ("live", || kvm::apart(|| none_is_left("live"))),
    ("running", || kvm::apart(|| none_is_left("running"))),
];

/// As an argument: do nothing. For a program that a process executes.
const NOTHING: &str = "--nothing";

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(NOTHING) {
        return ExitCode::SUCCESS;
    }
    ktap::run(TESTS)
}

/// Waits for as long as vfree() may take: a work queue may do it later, without notice.
fn settles_at(expected: u64) -> anyhow::Result<()> {
    let begin = Instant::now();
    loop {
        let now = areas::bytes()?;
        if now == expected {
            return Ok(());
        }
        let lasts = begin.elapsed() > Duration::from_secs(5);
        ensure!(!lasts, "{now} bytes of fpstates, {expected} expected");
        thread::sleep(Duration::from_millis(2));
    }
}

fn bare() -> anyhow::Result<(Vm, Vcpu)> {
    xcomp::request_guest(Feature::TILE_DATA)?;
    let vm = Vm::new(&kvm::open()?)?;
    let vcpu = vm.bare_vcpu(0)?;
    Ok((vm, vcpu))
}

/// One vCPU from its creation on: it grows when its CPUID gains tiles, and only then.
fn seen_while_it_lives() -> anyhow::Result<()> {
    let baseline = areas::bytes()?;
    let now = |name| -> anyhow::Result<u64> {
        let bytes = areas::bytes()?.wrapping_sub(baseline);
        ktap::answer(&format!("kvm.vcpu.bytes.{name}"), bytes);
        Ok(bytes)
    };
    let (vm, mut vcpu) = bare()?;
    let created = now("after_create")?;
    ensure!(created >= 4096, "{created} bytes for a vCPU");
    let shown = kvm::supported_cpuid(&kvm::open()?)?;
    vcpu.fd.set_cpuid2(&with_xcr0(&shown, 0, TILES)?)?;
    let without = now("after_cpuid_without_tiles")?;
    vcpu.fd.set_cpuid2(&shown)?;
    let grown = now("after_cpuid")?;
    ensure!(
        without == created && grown >= 8192 + created,
        "{created} bytes at first, {without} and {grown} after CPUID"
    );
    vcpu.set_up()?;
    vcpu.values(&ENABLE[..1])?;
    let steps = [
        ("after_first_run", vec![]),
        ("after_xcr0", ENABLE.to_vec()),
        ("after_arming", vec![does::wrmsr(XFD, TILE_DATA)]),
        ("after_first_use", vec![does::wrmsr(XFD, 0), does::load()]),
    ];
    for (name, ops) in steps {
        vcpu.values(&ops)?;
        let bytes = now(name)?;
        ensure!(bytes == grown, "{name}: {bytes} bytes, {grown} after CPUID");
    }
    drop((vm, vcpu));
    settles_at(baseline)
}

/// -EPERM, for each of many vCPUs.
fn refused_cpuid() -> anyhow::Result<()> {
    let baseline = areas::bytes()?;
    child::passes(|| {
        let kvm = kvm::open()?;
        let vm = Vm::new(&kvm)?;
        let bad = with_xcr0(&kvm::supported_cpuid(&kvm)?, TILES, 0)?;
        for number in 0..8 {
            ensure!(vm.bare_vcpu(number)?.fd.set_cpuid2(&bad).is_err(), "taken");
        }
        Ok(())
    })?;
    settles_at(baseline)
}

/// The buffer is allocated once.
fn cpuid_twice() -> anyhow::Result<()> {
    let baseline = areas::bytes()?;
    child::passes(|| {
        let (_vm, vcpu) = bare()?;
        let shown = kvm::supported_cpuid(&kvm::open()?)?;
        vcpu.fd.set_cpuid2(&shown)?;
        let once = areas::bytes()?;
        for clear in [TILES, 0, TILES, 0] {
            vcpu.fd.set_cpuid2(&with_xcr0(&shown, 0, clear)?)?;
        }
        settles_at(once)
    })?;
    settles_at(baseline)
}

/// A vCPU that has reached this point.
fn at(point: &str) -> anyhow::Result<(Vm, Vcpu)> {
    let (vm, mut vcpu) = bare()?;
    if point == "created" {
        return Ok((vm, vcpu));
    }
    vcpu.fd.set_cpuid2(&kvm::supported_cpuid(&kvm::open()?)?)?;
    if point == "cpuid" {
        return Ok((vm, vcpu));
    }
    vcpu.set_up()?;
    vcpu.values(&ENABLE)?;
    match point {
        "armed" => vcpu.values(&[does::load(), does::wrmsr(XFD, TILE_DATA)]),
        "live" => vcpu.values(&[does::load()]),
        "running" => vcpu.values(&[does::serve_nm(true)]),
        _ => Ok(vec![]),
    }?;
    Ok((vm, vcpu))
}

/// Enters the guest in another thread, where it stays, and returns once it is running there with first uses and live
/// tiles.
fn keep_running(mut vcpu: Vcpu) -> anyhow::Result<()> {
    use vm_memory::Bytes;
    let (memory, rounds) = (vcpu.memory(), vcpu.address(layout::ROUNDS));
    thread::spawn(move || {
        vcpu.values(&[
            does::wrmsr(XFD, TILE_DATA),
            does::load(),
            does::until_stopped(2),
        ])
    });
    while memory.read_obj::<u64>(rounds)? < 3 {
        thread::yield_now();
    }
    Ok(())
}

/// How it ends: the process is killed, exits, execs, or closes everything in either order.
const WAYS: [&str; 5] = ["kill", "exit", "exec", "vcpu_first", "vm_first"];

/// In a separate process: brings a vCPU to `point`, reports it, and ends it in this way.
fn end(point: &str, way: &str, mut says: File) -> anyhow::Result<()> {
    let (vm, vcpu) = at(point)?;
    let vcpu = if point == "running" {
        keep_running(vcpu)?;
        None
    } else {
        Some(vcpu)
    };
    says.write_all(b"!")?;
    match way {
        "kill" => loop {
            thread::park();
        },
        "exit" => sys::exit_now(0),
        "exec" => {
            use std::os::unix::process::CommandExt;
            return Err(Command::new(std::env::current_exe()?)
                .arg(NOTHING)
                .exec()
                .into());
        }
        "vcpu_first" => {
            drop(vcpu);
            drop(vm);
        }
        _ => {
            drop(vm);
            drop(vcpu);
        }
    }
    Ok(())
}

/// Ends it three times in each way, after which no bytes are left.
fn none_is_left(point: &str) -> anyhow::Result<()> {
    let baseline = areas::bytes()?;
    for way in WAYS {
        for _ in 0..3 {
            let (reads, says) = rustix::pipe::pipe().context("pipe")?;
            let says = File::from(says);
            let pid = child::begin(|| end(point, way, says.try_clone()?))?;
            drop(says);
            let mut word = [0];
            let said = File::from(reads).read(&mut word)?;
            if way == "kill" {
                sys::signal_process(pid, libc::SIGKILL);
            }
            let (_, is) = sys::wait(pid, 0)?;
            let expected = if way == "kill" {
                End::Signal(libc::SIGKILL)
            } else {
                End::Exit(0)
            };
            ensure!(said == 1 && is == expected, "{way}: {is:?}");
        }
        settles_at(baseline).with_context(|| format!("at {point}, by {way}"))?;
    }
    Ok(())
}
