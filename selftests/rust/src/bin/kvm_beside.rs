// SPDX-License-Identifier: GPL-2.0
//! Guests with tiles: sharing a CPU with threads with tiles, with signals, moved between threads.

use anyhow::ensure;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use xcomp::Feature;
use xfd_selftests::counters::{module_is_loaded, Counters};
use xfd_selftests::kvm::guest as does;
use xfd_selftests::kvm::{self, TILE_DATA, XFD};
use xfd_selftests::kvm::{ioctls, layout};
use xfd_selftests::sys;
use xfd_selftests::tile::{self, content, Tiles};
use xfd_selftests::{cpus, ktap, kvm_tests};

const TESTS: &[ktap::Test] = kvm_tests![
    beside_another_thread,
    arming_while_others_use_the_cpu,
    signals_while_the_guest_runs,
    a_vcpu_that_changes_threads,
    a_vcpu_that_is_waited_for,
];

fn main() -> ExitCode {
    ktap::run(TESTS)
}

/// Uses tiles on this CPU until told to stop, and returns how often.
fn use_tiles(stop: &AtomicBool) -> anyhow::Result<u64> {
    let mut rounds = 0;
    let mut tiles = Tiles::configure();
    while !stop.load(Ordering::Relaxed) || rounds == 0 {
        rounds += 1;
        tiles.load_all(&content(rounds));
        cpus::give_way();
        tile::expect(&tiles.store_all(), rounds)?;
    }
    Ok(rounds)
}

/// Runs `guest` while another thread on the same CPU uses tiles.
fn beside(guest: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    xcomp::request(Feature::TILE_DATA)?;
    let cpu = cpus::allowed()?[0];
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            cpus::pin_to(cpu)?;
            use_tiles(&stop)
        });
        let result = cpus::pin_to(cpu).and_then(|()| guest());
        stop.store(true, Ordering::Relaxed);
        let rounds = other.join().expect("no panic")?;
        ensure!(rounds > 1, "the other thread did not run meanwhile");
        result
    })
}

fn beside_another_thread() -> anyhow::Result<()> {
    beside(|| {
        let (_vm, mut vcpu) = kvm::configured(7)?;
        vcpu.values(&[does::load()])?;
        for _ in 0..200 {
            vcpu.values(&[does::check()])?;
            cpus::give_way();
        }
        ensure!(
            vcpu.number(layout::WRONG)? == 0,
            "the guest found wrong tiles"
        );
        Ok(())
    })
}

/// The guest writes XFD over live tiles without an exit. An interrupt then occurs with the tiles in
/// the registers, XFD set, and the kernel's copy out of date (CVE-2026-23005).
fn arming_while_others_use_the_cpu() -> anyhow::Result<()> {
    beside(|| {
        let (_vm, mut vcpu) = kvm::configured(8)?;
        let list = [
            does::wrmsr(XFD, 0),
            does::load(),
            does::check(),
            does::wrmsr(XFD, TILE_DATA),
            does::cpuid(0, 0),
            does::repeat(5, 20),
        ];
        for _ in 0..100 {
            vcpu.values(&list)?;
            cpus::give_way();
        }
        let (rounds, wrong) = (vcpu.number(layout::ROUNDS)?, vcpu.number(layout::WRONG)?);
        ensure!(
            (rounds, wrong) == (2000, 0),
            "wrong tiles in {wrong} of {rounds} rounds"
        );
        Ok(())
    })
}

static SIGNALS: AtomicU64 = AtomicU64::new(0);

/// Uses tiles itself.
extern "C" fn handler(_: i32) {
    let number = SIGNALS.fetch_add(1, Ordering::Relaxed);
    let mut tiles = Tiles::configure();
    tiles.load_all(&content(number));
    assert!(tiles.store_all() == content(number), "tiles in a handler");
}

/// Sends `count` signals to a thread, each after the previous one was handled and the guest has since completed a
/// round, and then stops the guest. Returns at once if the guest has ended.
fn disturb(vcpu: &Guest, tid: i32, count: u64) -> anyhow::Result<()> {
    let mut seen = 0;
    for sent in 0..count {
        loop {
            let rounds: u64 = vcpu.memory.read_obj(vcpu.rounds)?;
            if vcpu.ended.load(Ordering::Relaxed) {
                return Ok(());
            }
            if rounds > seen && SIGNALS.load(Ordering::Relaxed) == sent {
                seen = rounds;
                break;
            }
            cpus::give_way();
        }
        sys::signal_thread(tid, libc::SIGUSR1);
    }
    Ok(vcpu.memory.write_obj(1_u64, vcpu.stop)?)
}

/// Another thread's view of a running guest.
struct Guest {
    memory: GuestMemoryMmap,
    rounds: GuestAddress,
    stop: GuestAddress,
    ended: AtomicBool,
}

/// Each signal makes the vCPU exit, and saves the thread's own tiles to a frame and restores them.
fn signals_while_the_guest_runs() -> anyhow::Result<()> {
    const COUNT: u64 = 50;
    xcomp::request(Feature::TILE_DATA)?;
    sys::on_signal(libc::SIGUSR1, handler)?;
    let (_vm, mut vcpu) = kvm::configured(9)?;
    let guest = Guest {
        memory: vcpu.memory(),
        rounds: vcpu.address(layout::ROUNDS),
        stop: vcpu.address(layout::STOP),
        ended: AtomicBool::new(false),
    };
    let list = [
        does::load(),
        does::check(),
        does::wrmsr(XFD, TILE_DATA),
        does::wrmsr(XFD, 0),
        does::until_stopped(4),
    ];
    let tid = sys::tid();
    let mut tiles = Tiles::configure();
    tiles.load_all(&content(10));
    thread::scope(|scope| {
        let other = scope.spawn(|| disturb(&guest, tid, COUNT));
        let result = vcpu.values(&list);
        guest.ended.store(true, Ordering::Relaxed);
        other.join().expect("no panic")?;
        result
    })?;
    tile::expect(&tiles.store_all(), 10)?;
    let wrong = vcpu.number(layout::WRONG)?;
    ensure!(wrong == 0, "the guest found wrong tiles {wrong} times");
    let signals = SIGNALS.load(Ordering::Relaxed);
    ensure!(signals == COUNT, "{signals} signals");
    Ok(())
}

/// A different thread enters it each time, with or without tiles.
fn a_vcpu_that_changes_threads() -> anyhow::Result<()> {
    xcomp::request(Feature::TILE_DATA)?;
    let (_vm, mut vcpu) = kvm::configured(11)?;
    vcpu.values(&[does::load()])?;
    let cpus = cpus::allowed()?;
    for round in 0..20 {
        let cpu = cpus[round % cpus.len()];
        let vcpu = &mut vcpu;
        thread::scope(|scope| {
            let enter = move || -> anyhow::Result<()> {
                cpus::pin_to(cpu)?;
                let mut tiles = (round % 3 == 0).then(Tiles::configure);
                if let Some(tiles) = &mut tiles {
                    tiles.load_all(&content(round as u64));
                }
                ensure!(
                    vcpu.values(&[does::check()])? == [0],
                    "round {round}: wrong tiles"
                );
                tiles.map_or(Ok(()), |mut tiles| {
                    tile::expect(&tiles.store_all(), round as u64)
                })
            };
            scope.spawn(enter).join().expect("no panic")
        })?;
    }
    Ok(())
}

/// Reclaim passes run often until this is dropped; no effect without the module.
struct Shortest(Option<String>);

const INTERVAL: &str = "/sys/module/xfd/parameters/reclaim_ms";

impl Shortest {
    fn begin() -> anyhow::Result<Self> {
        if !module_is_loaded() {
            return Ok(Shortest(None));
        }
        let former = std::fs::read_to_string(INTERVAL)?;
        std::fs::write(INTERVAL, "1")?;
        Ok(Shortest(Some(former)))
    }
}

impl Drop for Shortest {
    fn drop(&mut self) {
        if let Some(former) = &self.0 {
            let _ = std::fs::write(INTERVAL, former.trim());
        }
    }
}

/// A thread sleeps without its buffer until the vCPU is free. Then it enters the guest, and afterwards still has
/// its own tiles without a second first use.
fn a_vcpu_that_is_waited_for() -> anyhow::Result<()> {
    xcomp::request(Feature::TILE_DATA)?;
    let (_vm, mut vcpu) = kvm::configured(12)?;
    vcpu.give(&[does::load(), does::check(), does::until_stopped(2)])?;
    let (memory, rounds, stop) = (
        vcpu.memory(),
        vcpu.address(layout::ROUNDS),
        vcpu.address(layout::STOP),
    );
    let _often = Shortest::begin()?;
    let before = module_is_loaded().then(Counters::now).transpose()?;
    thread::scope(|scope| {
        let (fd, memory) = (&vcpu.fd, &memory);
        let runs = scope.spawn(|| ioctls::run(fd));
        while memory.read_obj::<u64>(rounds)? == 0 {
            cpus::give_way();
        }
        let waits = scope.spawn(|| -> anyhow::Result<()> {
            let mut tiles = Tiles::configure();
            tiles.load_all(&content(13));
            drop(tiles);
            ioctls::run(fd)?;
            let mut tiles = Tiles::configure();
            tiles.load_all(&content(14));
            tile::expect(&tiles.store_all(), 14)
        });
        for _ in 0..300 {
            let now = before.is_some().then(Counters::now).transpose()?;
            if before
                .zip(now)
                .is_some_and(|(before, now)| now.reclaimed > before.reclaimed)
            {
                break;
            }
            thread::sleep(std::time::Duration::from_millis(1));
        }
        memory.write_obj(1_u64, stop)?;
        runs.join().expect("no panic")?;
        waits.join().expect("no panic")
    })?;
    ensure!(
        vcpu.number(layout::WRONG)? == 0,
        "the guest found wrong tiles"
    );
    if let Some(before) = before {
        let now = Counters::now()?;
        let (uses, taken) = (
            now.first_uses - before.first_uses,
            now.reclaimed - before.reclaimed,
        );
        ensure!(
            (uses, taken) == (1, 1),
            "{uses} first uses, {taken} buffers were reclaimed"
        );
    }
    Ok(())
}
