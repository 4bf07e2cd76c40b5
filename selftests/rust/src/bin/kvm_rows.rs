// SPDX-License-Identifier: GPL-2.0
//! /proc/xfd/tasks for threads that run a vCPU, with the guest's registers loaded instead of their own.

use anyhow::{ensure, Context};
use std::process::ExitCode;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::time::{Duration, Instant};
use std::{mem, thread};
use vm_memory::Bytes;
use xcomp::Feature;
use xfd_selftests::counters::module_is_loaded;
use xfd_selftests::idle::Passes;
use xfd_selftests::kvm::guest as does;
use xfd_selftests::kvm::{self, ioctls, layout};
use xfd_selftests::rows::{self, Row};
use xfd_selftests::tile::{content, Tiles};
use xfd_selftests::{cpus, ktap, kvm_tests, sys};

const TESTS: &[ktap::Test] = kvm_tests![running, tiles_of_both, tiles_of_the_guest];
/// The size of tile data; a buffer is larger.
const TILE_DATA_BYTES: u64 = 8192;

fn main() -> ExitCode {
    if !module_is_loaded() {
        return ktap::skip_all("the kernel's own code has no /proc/xfd");
    }
    ktap::run(TESTS)
}

/// The row, once it has `state`, of a thread that runs a guest with tiles and was preempted by the reader; `before`
/// is what the thread does first.
fn off_its_cpu(state: &str, before: impl FnOnce() + Send) -> anyhow::Result<Row> {
    let _passes = Passes::each(Duration::ZERO)?;
    cpus::pin_to(cpus::allowed()?[0])?;
    let (_vm, mut vcpu) = kvm::configured(2)?;
    vcpu.give(&[does::load(), does::check(), does::until_stopped(2)])?;
    let (memory, rounds, stop) = (
        vcpu.memory(),
        vcpu.address(layout::ROUNDS),
        vcpu.address(layout::STOP),
    );
    let tid = &AtomicI32::new(0);
    let row = thread::scope(|scope| {
        let fd = &vcpu.fd;
        let runs = scope.spawn(move || {
            before();
            tid.store(sys::tid(), SeqCst);
            ioctls::run(fd)
        });
        while memory.read_obj::<u64>(rounds)? == 0 && !runs.is_finished() {
            cpus::give_way();
        }
        let row = rows::wait_for(tid.load(SeqCst), state);
        memory.write_obj(1_u64, stop)?;
        runs.join().expect("no panic")?;
        row
    })?;
    ensure!(vcpu.number(layout::WRONG)? == 0, "the guest's tiles");
    ensure!(
        row.guest_bytes > TILE_DATA_BYTES && row.guest_permitted & kvm::TILE_DATA != 0,
        "{row:?}"
    );
    Ok(row)
}

fn tiles_of_both() -> anyhow::Result<()> {
    xcomp::request(Feature::TILE_DATA)?;
    let load = || {
        let mut tiles = Tiles::configure();
        tiles.load_all(&content(1));
        tiles
    };
    for (state, before) in [("live", true), ("idle", false)] {
        let row = off_its_cpu(state, || match before {
            true => mem::forget(load()),
            false => drop(load()),
        })?;
        ensure!(row.bytes > TILE_DATA_BYTES, "{row:?}");
    }
    Ok(())
}

/// The guest's live tiles do not count as the thread's.
fn tiles_of_the_guest() -> anyhow::Result<()> {
    let row = off_its_cpu("none", || ())?;
    ensure!(
        row.bytes == 0 && row.permitted & kvm::TILE_DATA == 0,
        "{row:?}"
    );
    Ok(())
}

/// A thread that enters the guest and stays there is shown with the vCPU's memory; before that it is not, nor is
/// any other thread.
fn running() -> anyhow::Result<()> {
    let mine = || -> anyhow::Result<Vec<_>> {
        let all = rows::all()?.into_values();
        Ok(all.filter(|row| row.pid == sys::pid()).collect())
    };
    let (_vm, mut vcpu) = kvm::configured(2)?;
    let before = mine()?;
    ensure!(
        matches!(before.as_slice(), [row] if row.guest_bytes == 0 && row.tid == sys::tid()),
        "{before:?}"
    );
    vcpu.give(&[does::load(), does::check(), does::until_stopped(2)])?;
    let (memory, rounds, stop) = (
        vcpu.memory(),
        vcpu.address(layout::ROUNDS),
        vcpu.address(layout::STOP),
    );
    let row = thread::scope(|scope| {
        let fd = &vcpu.fd;
        let runs = scope.spawn(move || ioctls::run(fd));
        while memory.read_obj::<u64>(rounds)? == 0 && !runs.is_finished() {
            cpus::give_way();
        }
        let begin = Instant::now();
        let row = loop {
            let rows = mine()?;
            let inside: Vec<_> = rows.iter().filter(|row| row.guest_bytes > 0).collect();
            match inside.as_slice() {
                [row] => break (*row).clone(),
                _ if begin.elapsed() < Duration::from_secs(20) => (),
                _ => break rows.first().cloned().context("no row")?,
            }
        };
        memory.write_obj(1_u64, stop)?;
        runs.join().expect("no panic")?;
        anyhow::Ok(row)
    })?;
    ensure!(
        row.tid != sys::tid() && row.state == "none" && row.bytes == 0,
        "{row:?}"
    );
    ensure!(
        row.guest_bytes > TILE_DATA_BYTES && row.guest_bytes % 4096 == 0,
        "{row:?}"
    );
    ensure!(
        row.guest_permitted & kvm::TILE_DATA != 0 && row.permitted & kvm::TILE_DATA == 0,
        "{row:?}"
    );
    Ok(())
}
