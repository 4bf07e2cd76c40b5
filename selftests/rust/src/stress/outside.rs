// SPDX-License-Identifier: GPL-2.0
//! Disturbance from outside: a process that traces threads at arbitrary points, and one that takes
//! CPUs offline and online.

use super::plan::Choice;
use super::shared::Shared;
use super::{failure, Place};
use crate::sys::{self, End};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const TRACER: Place = Place {
    seed: 0,
    slot: u32::MAX,
    generation: 0,
    thread: 0,
};

/// Attaches to threads of the run wherever they are, writes back their register contents, and
/// detaches, until the run is over.
pub fn trace(shared: &Shared) {
    let place = Place {
        seed: shared.seed.load(Relaxed),
        ..TRACER
    };
    let mut choice = Choice::of(place);
    let program = fs::read_link("/proc/self/exe").unwrap_or_default();
    while !shared.over() {
        let slot = choice.below(shared.processes.load(Relaxed).into()) as usize;
        let tid = shared.tids[slot].load(Relaxed);
        if tid == 0 || sys::ptrace(libc::PTRACE_SEIZE, tid, 0).is_err() {
            continue;
        }
        // The TID may belong to another program by now.
        let ours = fs::read_link(format!("/proc/{tid}/exe")).is_ok_and(|exe| exe == program);
        if let Err(e) = stop_and_go(tid, ours) {
            match e.raw_os_error() {
                Some(libc::ESRCH | libc::ECHILD) => {}
                _ => failure(shared, place, format_args!("tracing {tid}: {e}")),
            }
        } else {
            shared.traces.fetch_add(1, Relaxed);
        }
        let_go();
    }
}

/// Reaps tracees that exited before they stopped, and detaches those whose TID changed on exec.
fn let_go() {
    while let Ok((tid, end)) = sys::wait(-1, libc::__WALL | libc::WNOHANG) {
        if let End::Stopped(why) = end {
            let _ = sys::ptrace(libc::PTRACE_DETACH, tid, signal_of(why));
        }
    }
}

/// The signal that a stop withholds from its thread; 0 for a PTRACE_INTERRUPT stop.
fn signal_of(why: i32) -> usize {
    const PTRACE_EVENT_STOP: i32 = 128;
    if why >> 8 == PTRACE_EVENT_STOP {
        0
    } else {
        (why & 0x7f) as usize
    }
}

fn stop_and_go(tid: i32, ours: bool) -> std::io::Result<()> {
    sys::ptrace(libc::PTRACE_INTERRUPT, tid, 0)?;
    let stopped = loop {
        match sys::wait(tid, libc::__WALL | libc::WNOHANG) {
            Ok((_, End::Stopped(why))) => break why,
            Ok(_) => return Ok(()),
            // Does not block, since a thread that execs changes its TID and is never reported under this one.
            Err(e) if e.raw_os_error() == Some(libc::EAGAIN) => {
                std::thread::sleep(Duration::from_micros(200));
            }
            Err(e) => return Err(e),
        }
    };
    let mut result = Ok(());
    if ours {
        let mut area = vec![0; 16 << 10];
        result =
            sys::get_xstate(tid, &mut area).and_then(|size| sys::set_xstate(tid, &area[..size]));
    }
    // A signal that was about to be delivered is still delivered.
    sys::ptrace(libc::PTRACE_DETACH, tid, signal_of(stopped))?;
    result
}

/// Takes a CPU other than the first offline and online again, every 100 operations, until the run is
/// over. All are online at the end.
pub fn hotplug(shared: &Shared) {
    let place = Place {
        seed: shared.seed.load(Relaxed),
        slot: u32::MAX - 1,
        ..TRACER
    };
    let mut choice = Choice::of(place);
    let cpus: Vec<PathBuf> = (1..64)
        .map(|cpu| PathBuf::from(format!("/sys/devices/system/cpu/cpu{cpu}/online")))
        .take_while(|path| path.exists())
        .collect();
    if cpus.is_empty() {
        failure(shared, place, format_args!("no CPU can be taken offline"));
        return;
    }
    while !shared.over() {
        let cpu = &cpus[choice.below(cpus.len() as u64) as usize];
        for (value, wait) in [("0", 50), ("1", 50)] {
            if let Err(e) = fs::write(cpu, value) {
                failure(
                    shared,
                    place,
                    format_args!("{} to {}: {e}", value, cpu.display()),
                );
            }
            let until = shared.total() + wait;
            while shared.total() < until && !shared.over() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        shared.hotplugs.fetch_add(1, Relaxed);
    }
}
