// SPDX-License-Identifier: GPL-2.0
//! /proc/xfd/tasks of threads that run a vCPU: the guest's registers are in the place of their own.

use anyhow::{ensure, Context};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};
use std::time::Duration;
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

const TESTS: &[ktap::Test] = kvm_tests![in_and_out, tiles_of_both, tiles_of_the_guest];
/// Bytes of tile data, of which a buffer has more than these.
const TILE_DATA_BYTES: u64 = 8192;
const READS: usize = 4000;

fn main() -> ExitCode {
    if !module_is_loaded() {
        return ktap::skip_all("the kernel's own code has no /proc/xfd");
    }
    ktap::run(TESTS)
}

/// A thread that exchanges its registers with a guest's all the time: those are never taken for its own, of which it
/// has none with tiles.
fn in_and_out() -> anyhow::Result<()> {
    let cpus = cpus::allowed()?;
    let (its_cpu, ours) = (cpus[0], cpus[1]);
    let (_vm, mut vcpu) = kvm::configured(1)?;
    vcpu.fd.set_kvm_immediate_exit(1);
    let (stop, tid) = (&AtomicBool::new(false), &AtomicI32::new(0));
    let (mut inside, mut outside) = (0, 0);
    thread::scope(|scope| {
        let runs = scope.spawn(move || -> anyhow::Result<()> {
            cpus::pin_to(its_cpu)?;
            // The first time KVM waits for a grace period of RCU: the vCPU has changed threads.
            while !stop.load(SeqCst) {
                ensure!(vcpu.fd.run().is_err(), "it did not exit at once");
                tid.store(sys::tid(), SeqCst);
            }
            Ok(())
        });
        let result = cpus::pin_to(ours).and_then(|()| {
            while tid.load(SeqCst) == 0 && !runs.is_finished() {
                cpus::give_way();
            }
            let mut bytes = None;
            for read in 0..READS {
                let row = rows::all()?.remove(&tid.load(SeqCst));
                let row = row.with_context(|| format!("read {read}: no row"))?;
                ensure!(
                    row.state == "none" && row.bytes == 0,
                    "read {read}: {row:?}"
                );
                match row.guest_bytes {
                    0 => outside += 1,
                    _ => inside += 1,
                }
                let guests = row.guest_bytes;
                ensure!(
                    guests == 0 || *bytes.get_or_insert(guests) == guests,
                    "read {read}: {row:?}"
                );
            }
            Ok(())
        });
        stop.store(true, SeqCst);
        runs.join().expect("no panic")?;
        result
    })?;
    ktap::remark(format!("{inside} times inside, {outside} times outside"));
    ensure!(inside > 0 && outside > 0, "always on one side");
    Ok(())
}

/// What is shown, when it has `state`, of a thread that runs a guest with tiles, and was put off its CPU by the one
/// that looks; `before` is what the thread does first.
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

/// Live tiles of the guest's are none of the thread's.
fn tiles_of_the_guest() -> anyhow::Result<()> {
    let row = off_its_cpu("none", || ())?;
    ensure!(
        row.bytes == 0 && row.permitted & kvm::TILE_DATA == 0,
        "{row:?}"
    );
    Ok(())
}
