// SPDX-License-Identifier: GPL-2.0
//! Runs a program, and notes what decides whether its threads may use tiles: what they ask for, their alternate
//! signal stacks, and the exception that ends it.

use anyhow::Context;
use nix::libc::{self, c_long};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{c_void, OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Exited(i32),
    /// By this signal.
    Killed(Signal),
}

/// `ARCH_REQ_XCOMP_PERM` or `ARCH_REQ_XCOMP_GUEST_PERM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asked.
    pub tid: i32,
    /// For virtual CPUs.
    pub for_guests: bool,
    /// 0, or the errno.
    pub errno: i32,
    /// The process has executed another program since, which ends its permission.
    pub void: bool,
}

/// A thread's alternate signal stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AltStack {
    /// Whose.
    pub tid: i32,
    /// Its bytes.
    pub bytes: u64,
}

/// The exception that ended a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The process.
    pub pid: i32,
    /// The thread that met it.
    pub tid: i32,
    /// That thread's name.
    pub thread: String,
    /// What it became.
    pub signal: Signal,
    /// `si_code`.
    pub code: i32,
    /// `si_addr`.
    pub address: u64,
    /// The instruction.
    pub ip: u64,
    /// Its bytes, and what follows; fewer than 16 at the end of a mapping.
    pub bytes: Vec<u8>,
}

/// A thread's end by a signal; all threads of its process end so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// Which.
    pub signal: Signal,
    /// The last exception that it met, if that was it.
    pub fault: Option<Fault>,
}

/// What was seen of a program and all that it started.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Its name.
    pub program: String,
    /// How it ended.
    pub end: End,
    /// In their order.
    pub requests: Vec<Request>,
    /// Those that are there.
    pub altstacks: Vec<AltStack>,
    /// It has a seccomp filter, or installed one.
    pub filtered: bool,
    /// In their order; the program's own is one of them.
    pub deaths: Vec<Death>,
}

const REQ_XCOMP_PERM: u64 = 0x1023;
const REQ_XCOMP_GUEST_PERM: u64 = 0x1025;
const TILE_DATA: u64 = 18;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

#[derive(Default)]
struct Tracer {
    /// Whose first stop was seen.
    known: BTreeSet<i32>,
    /// Threads and processes that others have made.
    made: BTreeSet<i32>,
    /// System calls that have begun.
    calls: BTreeMap<i32, (u64, [u64; 6])>,
    requests: Vec<Request>,
    altstacks: BTreeMap<i32, u64>,
    filtered: bool,
    /// By thread.
    faults: BTreeMap<i32, Fault>,
    deaths: Vec<Death>,
}

/// Runs it to its end. Its threads and processes are stopped at each system call.
///
/// # Errors
///
/// It cannot be executed, or not be traced.
pub fn run(program: &OsStr, args: &[OsString]) -> anyhow::Result<Trace> {
    let name = program.to_string_lossy().into_owned();
    let mut command = Command::new(program);
    // SAFETY: one system call.
    unsafe { command.args(args).pre_exec(|| Ok(ptrace::traceme()?)) };
    let child = command.spawn().with_context(|| format!("cannot run {name}"))?;
    let main = Pid::from_raw(child.id().try_into()?);
    let not_traced = || format!("cannot trace {name}");
    waitpid(main, None).with_context(not_traced)?;
    let follow = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC;
    ptrace::setoptions(main, follow).with_context(not_traced)?;
    ptrace::syscall(main, None).with_context(not_traced)?;
    let mut tracer = Tracer { filtered: has_filter(main), ..Tracer::default() };
    tracer.known.insert(main.as_raw());
    let end = tracer.follow(main)?;
    Ok(Trace {
        program: name,
        end,
        requests: tracer.requests,
        altstacks: tracer.altstacks.into_iter().map(|(tid, bytes)| AltStack { tid, bytes }).collect(),
        filtered: tracer.filtered,
        deaths: tracer.deaths,
    })
}

impl Tracer {
    /// Until `main` has ended; who still runs then, goes on untraced.
    fn follow(&mut self, main: Pid) -> anyhow::Result<End> {
        loop {
            let status = waitpid(None, Some(WaitPidFlag::__WALL))?;
            let end = match status {
                WaitStatus::Exited(pid, code) => Some((pid, End::Exited(code))),
                WaitStatus::Signaled(pid, signal, _) => {
                    self.died(pid, signal);
                    Some((pid, End::Killed(signal)))
                }
                _ => None,
            };
            match end {
                Some((pid, end)) if pid == main => {
                    self.let_go();
                    return Ok(end);
                }
                Some(_) => continue,
                None => {}
            }
            let Some(pid) = status.pid() else { continue };
            let deliver = self.stopped(pid, status);
            match ptrace::syscall(pid, deliver) {
                // Killed meanwhile: its end comes.
                Ok(()) | Err(nix::Error::ESRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Who was made and has not begun yet would stay stopped, untraced.
    fn let_go(&self) {
        for &pid in self.made.difference(&self.known) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
        }
    }

    /// A stop; the signal to go on with.
    fn stopped(&mut self, pid: Pid, status: WaitStatus) -> Option<Signal> {
        match status {
            WaitStatus::PtraceSyscall(_) => {
                self.system_call(pid);
                None
            }
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) => {
                // Threads of a process that execute become its first.
                let of_process = self
                    .requests
                    .iter_mut()
                    .filter(|request| process_of(request.tid) == Some(pid.as_raw()) || request.tid == pid.as_raw());
                of_process.for_each(|request| request.void = true);
                self.altstacks.remove(&pid.as_raw());
                None
            }
            WaitStatus::PtraceEvent(
                _,
                _,
                libc::PTRACE_EVENT_CLONE | libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK,
            ) => {
                let made = ptrace::getevent(pid).ok().and_then(|pid| i32::try_from(pid).ok());
                self.made.extend(made);
                None
            }
            // A new thread or process begins with it.
            WaitStatus::Stopped(_, Signal::SIGSTOP) if self.known.insert(pid.as_raw()) => None,
            WaitStatus::Stopped(_, signal) => {
                if let Some(fault) = fault(pid, signal) {
                    self.faults.insert(pid.as_raw(), fault);
                }
                Some(signal)
            }
            _ => None,
        }
    }

    fn system_call(&mut self, pid: Pid) {
        let tid = pid.as_raw();
        let Some(info) = syscall_info(pid) else { return };
        if info.arch != AUDIT_ARCH_X86_64 {
            return;
        }
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => {
                // SAFETY: the kernel says that this is what it wrote.
                let entry = unsafe { info.u.entry };
                self.calls.insert(tid, (entry.nr, entry.args));
            }
            libc::PTRACE_SYSCALL_INFO_EXIT => {
                // SAFETY: as above.
                let result = unsafe { info.u.exit.sval };
                if let Some((number, args)) = self.calls.remove(&tid) {
                    self.returned(pid, c_long::try_from(number).unwrap_or(-1), args, result);
                }
            }
            _ => {}
        }
    }

    fn returned(&mut self, pid: Pid, number: c_long, args: [u64; 6], result: i64) {
        let tid = pid.as_raw();
        match number {
            libc::SYS_arch_prctl
                if args[1] == TILE_DATA && matches!(args[0], REQ_XCOMP_PERM | REQ_XCOMP_GUEST_PERM) =>
            {
                let errno = i32::try_from(-result).unwrap_or_default();
                let for_guests = args[0] == REQ_XCOMP_GUEST_PERM;
                self.requests.push(Request { tid, for_guests, errno, void: false });
            }
            libc::SYS_sigaltstack if result == 0 && args[0] != 0 => {
                // struct stack_t: an address, flags, and bytes, 8 each.
                let word = |at: u64| read_word(pid, args[0] + at).unwrap_or_default();
                if word(8) & u64::from(libc::SS_DISABLE.unsigned_abs()) != 0 {
                    self.altstacks.remove(&tid);
                } else {
                    self.altstacks.insert(tid, word(16));
                }
            }
            libc::SYS_seccomp | libc::SYS_prctl if result == 0 => self.filtered |= has_filter(pid),
            _ => {}
        }
    }

    fn died(&mut self, pid: Pid, signal: Signal) {
        let fault = self.faults.remove(&pid.as_raw()).filter(|fault| fault.signal == signal);
        self.deaths.push(Death { signal, fault });
    }
}

/// What `pid`, which stops for `signal`, has met, if it is an exception.
fn fault(pid: Pid, signal: Signal) -> Option<Fault> {
    if !matches!(signal, Signal::SIGILL | Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGFPE | Signal::SIGTRAP) {
        return None;
    }
    let info = ptrace::getsiginfo(pid).ok()?;
    let ip = ptrace::getregs(pid).ok()?.rip;
    let bytes: Vec<u8> = (0..2).map_while(|i| read_word(pid, ip + 8 * i)).flat_map(u64::to_le_bytes).collect();
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(Fault {
        pid: process_of(pid.as_raw()).unwrap_or(pid.as_raw()),
        tid: pid.as_raw(),
        thread: name.trim().to_owned(),
        signal,
        code: info.si_code,
        // SAFETY: these signals have an address.
        address: unsafe { info.si_addr() } as u64,
        ip,
        bytes,
    })
}

/// nix's function of that name (0.30) says that there is no room for the answer, and returns none.
fn syscall_info(pid: Pid) -> Option<libc::ptrace_syscall_info> {
    let mut info = MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
    let size = size_of_val(&info);
    // SAFETY: the kernel writes no more than `size` bytes there, and zeros are valid.
    unsafe {
        let written = libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid.as_raw(), size, info.as_mut_ptr());
        (written > 0).then(|| info.assume_init())
    }
}

fn read_word(pid: Pid, address: u64) -> Option<u64> {
    let word = ptrace::read(pid, address as *mut c_void).ok()?;
    Some(u64::from_ne_bytes(word.to_ne_bytes()))
}

fn status_of(tid: i32, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim_start_matches(':').trim().to_owned()))
}

fn process_of(tid: i32) -> Option<i32> {
    status_of(tid, "Tgid")?.parse().ok()
}

fn has_filter(pid: Pid) -> bool {
    status_of(pid.as_raw(), "Seccomp").is_some_and(|mode| mode != "0")
}
