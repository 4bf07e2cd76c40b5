// SPDX-License-Identifier: GPL-2.0
//! /proc/xfd: each state of a thread is shown correctly, while other threads come and go.

use anyhow::{ensure, Context};
use rustix::thread::set_name;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, mem, thread};
use xcomp::Feature;
use xfd_selftests::actors::Process;
use xfd_selftests::actors::Role::{Busy, Live, Released, Unused};
use xfd_selftests::counters::{self, module_is_loaded};
use xfd_selftests::idle::Passes;
use xfd_selftests::ktap::{self, Outcome};
use xfd_selftests::rows;
use xfd_selftests::tile::{content, Tiles};
use xfd_selftests::{child, sys, verdict};

const TESTS: &[ktap::Test] = &[
    ("each_state", each_state),
    ("reclaimed_and_back", reclaimed_and_back),
    ("exec_and_exit", exec_and_exit),
    ("who_did_not_ask", who_did_not_ask),
    ("names", names),
    ("cgroup", cgroup),
    ("come_and_go", come_and_go),
    ("counters", the_counters),
];

const PAGE: u64 = 4096;
/// The size of tile data; a buffer is larger.
const TILE_DATA_BYTES: u64 = 8192;

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some("executed") => return verdict::say(executed(false)),
        Some("again") => return verdict::say(executed(true)),
        Some("replaced") => return verdict::say(replaced()),
        _ => (),
    }
    if !module_is_loaded() {
        return ktap::skip_all("the kernel's own code has no /proc/xfd");
    }
    ktap::run(TESTS)
}

fn each_state() -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let _passes = Passes::each(Duration::ZERO)?;
    let process = Process::permitted(&[Unused, Live, Released, Busy])?;
    let [unused, live, released, busy] = process.tids[..] else {
        unreachable!()
    };
    rows::wait_for(unused, "permitted")?;
    rows::wait_for(live, "live")?;
    rows::wait_for(released, "idle")?;
    rows::wait_for(busy, "running")?;
    let asked = Instant::now();
    thread::sleep(Duration::from_millis(20));
    let asked_before = asked.elapsed();
    let rows = rows::all()?;
    let of = |tid: i32| rows.get(&tid).with_context(|| format!("no row for {tid}"));
    let permission = xcomp::supported()?.bits();
    for tid in [process.pid, unused, live, released, busy] {
        let row = of(tid)?;
        ensure!(row.pid == process.pid && row.tid == tid, "{row:?}");
        ensure!(
            row.permitted == permission,
            "permission {permission:#x}: {row:?}"
        );
        ensure!(
            row.guest_permitted & 1 << 18 == 0 && row.guest_bytes == 0,
            "{row:?}"
        );
    }
    let (live, released, busy) = (of(live)?, of(released)?, of(busy)?);
    for row in [live, released, busy] {
        ensure!(
            row.bytes % PAGE == 0 && row.bytes > TILE_DATA_BYTES,
            "{row:?}"
        );
        ensure!(row.bytes == live.bytes, "{row:?} and {live:?}");
    }
    ensure!(of(unused)?.bytes == 0, "{:?}", of(unused)?);
    for row in [live, released] {
        // These come from two different kernel clocks.
        let (least, most) = (
            asked_before.as_millis() as u64 - 1,
            begun.elapsed().as_millis() as u64 + 1,
        );
        ensure!(
            (least..=most).contains(&row.since_ms),
            "{least} to {most}: {row:?}"
        );
    }
    Ok(Outcome::Passed)
}

fn reclaimed_and_back() -> anyhow::Result<Outcome> {
    let passes = Passes::each(Duration::ZERO)?;
    let process = Process::permitted(&[Live, Released])?;
    let [live, released] = process.tids[..] else {
        unreachable!()
    };
    rows::wait_for(live, "live")?;
    rows::wait_for(released, "idle")?;
    let owed = number("owed")?;
    drop(passes);
    let passes = Passes::begin()?;
    let row = rows::wait_for(released, "reclaimed")?;
    ensure!(row.bytes == 0, "{row:?}");
    ensure!(number("owed")? == owed + 1, "owed");
    ensure!(rows::wait_for(live, "live")?.bytes > 0, "the live one");
    drop(passes);
    let _passes = Passes::each(Duration::ZERO)?;
    process.wake(1)?;
    let row = rows::wait_for(released, "idle")?;
    ensure!(row.bytes > 0, "{row:?}");
    ensure!(number("owed")? == owed, "owed again");
    Ok(Outcome::Passed)
}

/// On exec a process loses its buffer and permission, and hence its row.
fn exec_and_exit() -> anyhow::Result<Outcome> {
    let mut program = Command::new("/proc/self/exe")
        .arg("executed")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let tid = i32::try_from(program.id())?;
    let (mut to, from) = (program.stdin.take(), program.stdout.take());
    let mut lines = BufReader::new(from.context("stdout")?).lines();
    lines.next().context("it ended")??;
    let row = rows::wait_for(tid, "live")?;
    ensure!(row.comm == "exe", "{row:?}");
    to.as_mut().context("stdin")?.write_all(b"\n")?;
    ensure!(
        lines.next().context("it ended")?? == "executed",
        "what it says"
    );
    ensure!(!rows::all()?.contains_key(&tid), "a row after exec");
    drop(to);
    ensure!(program.wait()?.success(), "the program");
    Ok(Outcome::Passed)
}

/// What [`exec_and_exit`] executes: uses tiles and, on a line of input, executes a program that waits for the end of
/// standard input.
fn executed(again: bool) -> anyhow::Result<()> {
    if again {
        println!("executed");
        io::stdin().read_to_end(&mut Vec::new())?;
        return Ok(());
    }
    xcomp::request(Feature::TILE_DATA)?;
    mem::forget({
        let mut tiles = Tiles::configure();
        tiles.load_all(&content(1));
        tiles
    });
    println!("has tiles");
    io::stdin().read_line(&mut String::new())?;
    let error = Command::new("/proc/self/exe").arg("again").exec();
    Err(error).context("exec")
}

fn who_did_not_ask() -> anyhow::Result<Outcome> {
    let process = Process::begin(&[Unused], || Ok(()))?;
    let rows = rows::all()?;
    ensure!(
        !rows.contains_key(&process.pid) && !rows.contains_key(&process.tids[0]),
        "a row"
    );
    Ok(Outcome::Passed)
}

fn names() -> anyhow::Result<Outcome> {
    let process = Process::begin(&[], || {
        set_name(c"a b\\\n\x1b\xc3\xa9")?;
        xcomp::request(Feature::TILE_DATA)?;
        loop {
            thread::park();
        }
    })?;
    let row = rows::wait_for(process.pid, "permitted")?;
    ensure!(row.comm == r"a b\134\012\033\303\251", "{row:?}");
    Ok(Outcome::Passed)
}

/// The number is the inode of the cgroup's folder.
fn cgroup() -> anyhow::Result<Outcome> {
    let folder = Path::new("/tmp/xfd_rows_cgroup");
    fs::create_dir_all(folder)?;
    let mounted = Command::new("mount")
        .args(["-t", "cgroup2", "none"])
        .arg(folder)
        .status()?;
    ensure!(mounted.success(), "mount");
    let group = folder.join("xfd_rows");
    let result = (|| {
        fs::create_dir_all(&group)?;
        let process = Process::permitted(&[Live])?;
        fs::write(group.join("cgroup.procs"), process.pid.to_string())?;
        let row = rows::wait_for(process.tids[0], "live")?;
        let inode = fs::metadata(&group)?.ino();
        ensure!(row.cgroup == inode, "{inode}: {row:?}");
        Ok(())
    })();
    // The cgroup is empty once its process's zombie is gone.
    let _ = fs::remove_dir(&group);
    let _ = Command::new("umount").arg(folder).status();
    result.map(|()| Outcome::Passed)
}

/// What [`come_and_go`] executes: the second thread executes it again, and then has the first one's TID.
fn replaced() -> anyhow::Result<()> {
    xcomp::request(Feature::TILE_DATA)?;
    thread::spawn(|| Command::new("/proc/self/exe").arg("replaced").exec());
    loop {
        thread::park();
    }
}

/// Threads that stay are shown once in each reading, whichever others come and go, and however the file is read.
fn come_and_go() -> anyhow::Result<Outcome> {
    let _passes = Passes::begin()?;
    let stay = Process::permitted(&[Unused, Live, Released, Live, Released, Busy])?;
    let others = child::begin(|| {
        xcomp::request(Feature::TILE_DATA)?;
        loop {
            thread::scope(|scope| {
                for number in 0..40 {
                    scope.spawn(move || Tiles::configure().load_all(&content(number)));
                }
            });
            child::passes(|| {
                Tiles::configure().load_all(&content(7));
                Ok(())
            })?;
        }
    })?;
    let mut program = Command::new("/proc/self/exe").arg("replaced").spawn()?;
    let mut seen = BTreeSet::new();
    let result = (0..200).try_for_each(|round: usize| {
        let rows = rows::in_pieces(
            File::open(rows::PATH)?,
            [1, 7, 64, 4096, 1 << 20][round % 5],
        )?;
        for tid in &stay.tids {
            ensure!(
                rows.contains_key(tid),
                "round {round}: {tid} is missing: {rows:?}"
            );
        }
        seen.extend(rows.into_keys());
        Ok(())
    });
    sys::signal_process(others, libc::SIGKILL);
    let _ = sys::wait(others, 0)?;
    let _ = program.kill();
    let _ = program.wait()?;
    result?;
    let passers_by = seen.len() - stay.tids.len();
    ktap::remark(format!("{passers_by} threads came and went"));
    ensure!(passers_by > 20, "no threads came and went");
    Ok(Outcome::Passed)
}

fn number(name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/xfd/counters")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.with_context(|| format!("no {name} in {text:?}"))?
        .parse()
        .context("a number")
}

/// The same values as in debugfs.
fn the_counters() -> anyhow::Result<Outcome> {
    let before = number("first_uses")?;
    drop(Process::permitted(&[Live, Live])?);
    ensure!(number("first_uses")? == before + 2, "first uses");
    for name in [
        "first_uses",
        "recycled",
        "reclaimed",
        "denied",
        "failed_allocations",
        "repeated",
        "ordinary_nm",
    ] {
        ensure!(number(name)? == counters::read(name)?, "{name}");
    }
    ensure!(
        number("repeated")? == 0 && number("in_flight")? == 0,
        "repeated, in flight"
    );
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = (now.tv_sec * 1000 + now.tv_nsec / 1_000_000) as u64;
    let since = number("in_charge_since_ms")?;
    ensure!(0 < since && since < now, "{since} is not before {now}");
    Ok(Outcome::Passed)
}
