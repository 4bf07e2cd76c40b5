// SPDX-License-Identifier: GPL-2.0
//! What is done to a process paused between two instructions of its path. A process on the other CPU does it, at the
//! highest priority there, so that when [`Disturber::disturb`] returns it is done, or waiting for the stopped CPU.

use super::intruder::Intruder;
use super::kind::{Kind, Until};
use super::path::{another_has_a_first_use, Path};
use super::shared::{Shared, TAKEN_ON, WATCHED_FROM};
use super::{trigger, workers};
use crate::idle::{Passes, INTERVAL};
use crate::sys::{self, End};
use crate::{child, cpus, module, rows};
use anyhow::{anyhow, bail, ensure, Context};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::process::{pidfd_open, Pid, PidfdFlags};
use rustix::thread::{sched_setaffinity, CpuSet};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// How often a kind of disturbance occurred, for kinds counted elsewhere.
fn came(kind: Kind) -> anyhow::Result<Option<u64>> {
    let counters: &[&str] = match kind {
        Kind::Nmi => &["nmis"],
        Kind::FpuInIrq => &["fpu_uses", "fpu_unusable"],
        _ => return Ok(None),
    };
    let sum = counters
        .iter()
        .map(|name| count(name))
        .sum::<anyhow::Result<u64>>();
    sum.map(Some)
}

/// One of interrupts.ko's counters.
fn count(name: &str) -> anyhow::Result<u64> {
    let path = format!("/sys/module/interrupts/parameters/{name}");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    text.trim().parse().context(path)
}

/// The interrupts of interrupts.ko, sent by writing to its parameters.
const NMI: &str = "/sys/module/interrupts/parameters/nmi";
const FPU: &str = "/sys/module/interrupts/parameters/fpu";

/// A process that waits for the order to disturb.
pub struct Disturber {
    kind: Kind,
    until: Until,
    pid: i32,
    socket: UnixDatagram,
    outstanding: usize,
    ended: bool,
    /// How often it has disturbed, and the count at the start.
    times: u64,
    came_before: Option<u64>,
    used_before: u64,
    _passes: Option<Passes>,
}

/// After this many interrupts, at least one must have arrived where the FPU may be used.
const MANY: u64 = 100;

/// Orders to the process, each followed by another process's PID.
const DISTURB: u8 = 0;
const END: u8 = 1;

impl Disturber {
    /// Starts a disturber for `path`, on the other CPU.
    ///
    /// # Errors
    ///
    /// The caller is not root, has no permission for tiles, or interrupts.ko is not loaded.
    pub fn new(kind: Kind, path: &Path, shared: &'static Shared) -> anyhow::Result<Self> {
        if matches!(kind, Kind::Nmi | Kind::FpuInIrq) {
            ensure!(fs::exists(NMI)?, "interrupts.ko is not loaded");
        }
        if kind == Kind::Wait {
            // A pass on the stopped CPU would not run.
            workers::allow_only(WATCHED_FROM)?;
        }
        let until = kind.until(path.waits);
        let (socket, orders) = UnixDatagram::pair()?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let pid = child::begin(|| serve(kind, until, shared, &orders))?;
        let mut disturber = Disturber {
            kind,
            until,
            pid,
            socket,
            outstanding: 1,
            ended: false,
            times: 0,
            came_before: came(kind)?,
            used_before: match kind {
                Kind::FpuInIrq => count("fpu_uses")?,
                _ => 0,
            },
            _passes: (kind == Kind::Wait).then(Passes::begin).transpose()?,
        };
        disturber.finish().context("starting the disturber")?;
        Ok(disturber)
    }

    /// The kind of disturbance.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// When the stopped CPU may continue.
    #[must_use]
    pub fn until(&self) -> Until {
        self.until
    }

    /// Starts disturbing a paused process.
    ///
    /// # Errors
    ///
    /// The disturber has exited.
    pub fn disturb(&mut self, pid: i32) -> anyhow::Result<()> {
        self.times += 1;
        self.order(DISTURB, pid)
    }

    fn order(&mut self, what: u8, pid: i32) -> anyhow::Result<()> {
        self.outstanding += 1;
        let [a, b, c, d] = pid.to_le_bytes();
        self.socket.send(&[what, a, b, c, d])?;
        Ok(())
    }

    /// Waits until everything that was started is done.
    ///
    /// # Errors
    ///
    /// A disturbance failed: the first error.
    pub fn finish(&mut self) -> anyhow::Result<()> {
        let mut text = [0; 512];
        let mut result = Ok(());
        while self.outstanding > 0 {
            self.outstanding -= 1;
            let size = self
                .socket
                .recv(&mut text)
                .context("the disturber does not answer")?;
            let answer = &text[..size];
            if answer != DONE && result.is_ok() {
                result = Err(anyhow!("{}", String::from_utf8_lossy(answer)));
            }
        }
        result
    }

    /// After a trial, restores whatever the disturbance took away.
    ///
    /// # Errors
    ///
    /// Restoring it fails.
    pub fn put_back(&mut self) -> anyhow::Result<()> {
        match self.kind.unloads() {
            true => module::load(),
            false => Ok(()),
        }
    }

    /// Ends the disturber.
    ///
    /// # Errors
    ///
    /// The preempting process was itself disturbed, or an interrupt did not arrive.
    pub fn end(mut self) -> anyhow::Result<()> {
        if let (Some(before), Some(now)) = (self.came_before, came(self.kind)?) {
            let (came, times) = (now - before, self.times);
            ensure!(came == times, "it occurred {came} times, expected {times}");
            let used = self.kind != Kind::FpuInIrq || count("fpu_uses")? > self.used_before;
            ensure!(used || times < MANY, "no interrupt could use the FPU");
        }
        self.order(END, 0)?;
        self.finish()?;
        self.ended = true;
        match sys::wait(self.pid, 0)? {
            (_, End::Exit(0)) => Ok(()),
            (_, end) => bail!("the disturber ended with {end:?}"),
        }
    }
}

impl Drop for Disturber {
    fn drop(&mut self) {
        if !self.ended {
            sys::signal_process(self.pid, libc::SIGKILL);
            let _ = sys::wait(self.pid, 0);
        }
    }
}

const DONE: &[u8] = b"done";
/// The longest that anything takes to exit when told to.
const PATIENCE: Duration = Duration::from_secs(60);

/// The process: follows orders, and answers `done` or the error.
fn serve(
    kind: Kind,
    until: Until,
    shared: &'static Shared,
    orders: &UnixDatagram,
) -> anyhow::Result<()> {
    let answer = |result: anyhow::Result<()>| -> anyhow::Result<()> {
        let text = result.map_or_else(|error| format!("{error:#}").into_bytes(), |()| DONE.into());
        orders.send(&text[..text.len().min(512)])?;
        Ok(())
    };
    let ready = || -> anyhow::Result<Option<Intruder>> {
        sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64)?;
        cpus::pin_to(WATCHED_FROM)?;
        let intruder = match kind {
            Kind::Preempt | Kind::Migrate => Some(Intruder::start(|| Ok(()))?),
            Kind::UnloadMeanwhile => Some(Intruder::start_to_keep(shared)?),
            _ => None,
        };
        sys::run_first()?;
        Ok(intruder)
    };
    let mut intruder = match ready() {
        Ok(intruder) => intruder,
        Err(error) => return answer(Err(error)),
    };
    answer(Ok(()))?;
    loop {
        let mut order = [0; 5];
        orders.recv(&mut order)?;
        let [what, pid @ ..] = order;
        if what == END {
            return answer(intruder.map_or(Ok(()), Intruder::end));
        }
        let pid = i32::from_le_bytes(pid);
        answer(disturb(kind, until, shared, intruder.as_mut(), pid))?;
    }
}

fn disturb(
    kind: Kind,
    until: Until,
    shared: &Shared,
    intruder: Option<&mut Intruder>,
    pid: i32,
) -> anyhow::Result<()> {
    match kind {
        Kind::Preempt => wake(intruder),
        Kind::Migrate => wake(intruder).and_then(|()| move_away(pid)),
        Kind::Kill => {
            sys::signal_process(pid, libc::SIGKILL);
            match until {
                Until::Done => wait_for_victim(shared, pid),
                _ => Ok(()),
            }
        }
        Kind::Trace => trace(pid),
        Kind::Shrink => fs::write("/proc/sys/vm/drop_caches", "2").context("drop_caches"),
        Kind::FirstUse => another_has_a_first_use(),
        Kind::Nmi => fs::write(NMI, TAKEN_ON.to_string()).context(NMI),
        Kind::FpuInIrq => fs::write(FPU, TAKEN_ON.to_string()).context(FPU),
        // Setting the interval again makes a pass run at the next tick.
        Kind::Wait if module::is_there() => fs::write(INTERVAL, "1").context(INTERVAL),
        Kind::Wait => Ok(()),
        Kind::Wake => {
            shared.wake_victim();
            wait_for_victim(shared, pid)
        }
        Kind::Read if module::is_there() => rows::all().map(drop),
        Kind::Read => Ok(()),
        Kind::Unload => module::remove(),
        Kind::UnloadMeanwhile => unload_meanwhile(intruder),
    }
}

/// Waits until the victim has done its part: until it says so or, if it is a process, exits.
fn wait_for_victim(shared: &Shared, pid: i32) -> anyhow::Result<()> {
    let pid = Pid::from_raw(pid).context("no victim")?;
    // A thread has no pidfd.
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok();
    let (begin, moment) = (Instant::now(), Timespec::try_from(MOMENT)?);
    loop {
        let finished = match &pidfd {
            None => shared.wait_for_victim(),
            Some(pidfd) => {
                let ended = poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&moment))?;
                ended == 1 || shared.has_victim_finished()
            }
        };
        if finished {
            return Ok(());
        }
        ensure!(begin.elapsed() < LONG, "the victim does not finish");
    }
}

/// Short compared with a pause.
const MOMENT: Duration = Duration::from_micros(100);
/// The longest that a victim takes to finish.
const LONG: Duration = Duration::from_secs(20);

fn wake(intruder: Option<&mut Intruder>) -> anyhow::Result<()> {
    intruder.context("no intruder")?.wake()
}

/// The intruder keeps the CPU from the victim, which gets it back once the module is gone, or could not be unloaded
/// in time. Fails if the victim left in the meantime.
fn unload_meanwhile(intruder: Option<&mut Intruder>) -> anyhow::Result<()> {
    let there = |result: std::io::Result<()>| match result {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => Err(error),
        _ => Ok(()),
    };
    let intruder = intruder.context("no intruder")?;
    // Before anything else: the stopped CPU does not wait for what follows.
    intruder.wake()?;
    trigger::let_go(TAKEN_ON);
    // Unloading needs these workers.
    let workers = bound_workers(TAKEN_ON)?;
    for worker in &workers {
        there(sys::let_run_before_first(*worker)).context("SCHED_FIFO")?;
    }
    let removed = module::remove();
    for worker in workers {
        there(sys::let_run_as_others(worker)).context("SCHED_OTHER")?;
    }
    removed.and(intruder.wait_until_done())
}

/// The kernel's worker threads bound to a CPU.
fn bound_workers(cpu: usize) -> anyhow::Result<Vec<i32>> {
    let name = format!("kworker/{cpu}:");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if comm.starts_with(&name) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Waits until the process has moved; one that is gone cannot.
fn move_away(pid: i32) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(WATCHED_FROM);
    match sched_setaffinity(Pid::from_raw(pid), &set) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).context("sched_setaffinity"),
    }
}

/// Stops the process, reads and writes back its registers, and lets it continue untraced.
fn trace(pid: i32) -> anyhow::Result<()> {
    match sys::ptrace(libc::PTRACE_SEIZE, pid, 0) {
        Ok(()) => {}
        // It has exited: exit_state is set.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::ESRCH)) => {
            return Ok(())
        }
        Err(error) => return Err(error).context("PTRACE_SEIZE"),
    }
    // If it exits first, waitpid reports that.
    let _ = sys::ptrace(libc::PTRACE_INTERRUPT, pid, 0);
    let (_, stop) = sys::wait(pid, 0).context("waitpid")?;
    let End::Stopped(why) = stop else {
        return Ok(());
    };
    let mut area = vec![0; 16 << 10];
    let same = sys::get_xstate(pid, &mut area)
        .and_then(|size| sys::set_xstate(pid, &area[..size]))
        .context("PTRACE_GETREGSET, PTRACE_SETREGSET");
    // A pending signal is delivered; the requested stop has none.
    let signal = if why >> 8 == 0 { why & 0x7f } else { 0 };
    let detached = sys::ptrace(libc::PTRACE_DETACH, pid, signal as usize);
    same.and(detached.context("PTRACE_DETACH"))
}
