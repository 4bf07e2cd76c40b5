// SPDX-License-Identifier: GPL-2.0
//! /proc/xfd/tasks: who sees whose threads, and under what numbers.

use anyhow::{ensure, Context};
use std::fs::{self, File};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};
use xcomp::Feature;
use xfd_selftests::actors::Process;
use xfd_selftests::actors::Role::Live;
use xfd_selftests::counters::module_is_loaded;
use xfd_selftests::ktap::{self, Outcome};
use xfd_selftests::{child, rows, sys};

const TESTS: &[ktap::Test] = &[
    ("to_whom", to_whom),
    ("as_the_opener", as_the_opener),
    ("in_a_pid_namespace", in_a_pid_namespace),
    ("of_the_openers_namespace", of_the_openers_namespace),
    ("namespaces_go", namespaces_go),
];

const NOBODY: u32 = 65534;

fn main() -> ExitCode {
    if !module_is_loaded() {
        return ktap::skip_all("the kernel's own code has no /proc/xfd");
    }
    ktap::run(TESTS)
}

/// An ordinary user sees only their own threads.
fn to_whom() -> anyhow::Result<Outcome> {
    let roots = Process::permitted(&[Live])?;
    let theirs = Process::begin(&[Live], || {
        sys::become_user(NOBODY)?;
        // After changing user, only root can read a process until it execs, or makes itself dumpable.
        sys::prctl(libc::PR_SET_DUMPABLE, 1)?;
        Ok(xcomp::request(Feature::TILE_DATA)?)
    })?;
    let (mine, other) = (roots.tids[0], theirs.tids[0]);
    rows::wait_for(mine, "live")?;
    rows::wait_for(other, "live")?;
    child::passes(|| {
        sys::become_user(NOBODY)?;
        let rows = rows::all()?;
        ensure!(!rows.contains_key(&mine), "another user's thread is shown");
        ensure!(rows.contains_key(&other), "the user's own");
        Ok(())
    })?;
    Ok(Outcome::Passed)
}

/// Whichever task reads, the opener is the one that must be allowed to.
fn as_the_opener() -> anyhow::Result<Outcome> {
    let process = Process::permitted(&[Live])?;
    let tid = process.tids[0];
    rows::wait_for(tid, "live")?;
    let file = File::open(rows::PATH)?;
    child::passes(|| {
        sys::become_user(NOBODY)?;
        ensure!(
            rows::in_pieces(file, 4096)?.contains_key(&tid),
            "root opened it, but the thread is not shown"
        );
        Ok(())
    })?;
    // The reverse: an ordinary user opens it, and a child that is root again reads it.
    child::passes(|| {
        sys::become_user_for_now(NOBODY)?;
        let file = File::open(rows::PATH)?;
        sys::become_user_for_now(0)?;
        ensure!(rows::all()?.contains_key(&tid), "root does not see it");
        ensure!(
            !rows::in_pieces(file, 4096)?.contains_key(&tid),
            "an ordinary user opened it, but root's thread is shown"
        );
        Ok(())
    })?;
    Ok(Outcome::Passed)
}

/// In a PID namespace the numbers are that namespace's, and tasks outside it have none.
fn in_a_pid_namespace() -> anyhow::Result<Outcome> {
    let outside = Process::permitted(&[Live])?;
    let tid = outside.tids[0];
    rows::wait_for(tid, "live")?;
    child::passes(|| {
        sys::new_pid_namespace()?;
        child::passes(|| {
            ensure!(sys::pid() == 1, "number {}", sys::pid());
            xcomp::request(Feature::TILE_DATA)?;
            let rows = rows::all()?;
            ensure!(rows.keys().eq([&1]) && rows[&1].pid == 1, "{rows:?}");
            Ok(())
        })
    })?;
    Ok(Outcome::Passed)
}

/// Whichever task reads, the numbers are from the namespace in which the file was opened.
fn of_the_openers_namespace() -> anyhow::Result<Outcome> {
    let process = Process::permitted(&[Live])?;
    let tid = process.tids[0];
    rows::wait_for(tid, "live")?;
    let file = File::open(rows::PATH)?;
    child::passes(|| {
        sys::new_pid_namespace()?;
        child::passes(|| {
            ensure!(!rows::all()?.contains_key(&tid), "its number in here");
            let rows = rows::in_pieces(file, 4096)?;
            let row = rows.get(&tid).context("opened outside")?;
            ensure!(row.pid == process.pid, "{row:?}");
            Ok(())
        })
    })?;
    Ok(Outcome::Passed)
}

/// A namespace in which the file was read is destroyed with its last process, so new ones can be created.
fn namespaces_go() -> anyhow::Result<Outcome> {
    const MOST: &str = "/proc/sys/user/max_pid_namespaces";
    let before = fs::read_to_string(MOST)?;
    fs::write(MOST, "4")?;
    let result = (0..12).try_for_each(|round| {
        let begun = Instant::now();
        child::passes(|| {
            // The previous one is gone after an RCU grace period.
            while let Err(error) = sys::new_pid_namespace() {
                ensure!(
                    begun.elapsed() < Duration::from_secs(10),
                    "round {round}: {error}"
                );
                thread::sleep(Duration::from_millis(1));
            }
            child::passes(|| rows::all().map(drop))
        })
    });
    fs::write(MOST, before)?;
    result.map(|()| Outcome::Passed)
}
