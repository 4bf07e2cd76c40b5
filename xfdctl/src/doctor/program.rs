// SPDX-License-Identifier: GPL-2.0
//! Runs a program, and notes what decides whether its threads may use tiles: what they ask for, their alternate
//! signal stacks, and the exceptions that they meet.
//!
//! It is seized, not attached to: a stop by job control stays one, and who is left when it ends goes on untraced.

use super::tracee::{fault, has_filter, memory_of, request, status_of, syscall_info, Fault};
use anyhow::{bail, Context};
use nix::libc::{self, c_int, c_long};
use nix::unistd::{execvp, fork, ForkResult};
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Exited(c_int),
    /// By this signal.
    Killed(c_int),
}

/// `ARCH_REQ_XCOMP_PERM` or `ARCH_REQ_XCOMP_GUEST_PERM` for tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// For virtual CPUs.
    pub for_guests: bool,
    /// 0, or the errno.
    pub errno: c_int,
    /// The process has executed another program since, which ends its permission.
    pub void: bool,
}

/// What was seen of a process.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Its own, and those of who forked it: permission is handed on.
    pub requests: Vec<Request>,
    /// Bytes of the alternate signal stacks of its threads, by thread.
    pub altstacks: BTreeMap<i32, u64>,
    /// It has a seccomp filter.
    pub filtered: bool,
    /// The last exception.
    pub fault: Option<Fault>,
    /// The last one of a kind that may be one of tiles.
    pub illegal: Option<Fault>,
    /// A request for tiles has not returned.
    pub asking: bool,
}

/// A process that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Which.
    pub pid: i32,
    /// How.
    pub end: End,
    /// What was seen of it.
    pub process: Process,
}

/// A program's run.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Its name.
    pub program: String,
    /// The program itself.
    pub main: Ended,
    /// Who it started, and ended before it.
    pub others: Vec<Ended>,
    /// The kernel does not say what system calls are made (it is older than 5.3).
    pub blind: bool,
}

const REQ_XCOMP_PERM: u64 = 0x1023;
const REQ_XCOMP_GUEST_PERM: u64 = 0x1025;
const TILE_DATA: u64 = 18;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
/// With `PTRACE_O_TRACESYSGOOD`.
const SYSCALL_STOP: c_int = libc::SIGTRAP | 0x80;

enum Call {
    Ask { for_guests: bool },
    AltStack { bytes: Option<u64> },
    Filter,
}

#[derive(Default)]
struct Tracer {
    /// Thread to process.
    threads: BTreeMap<i32, i32>,
    processes: BTreeMap<i32, Process>,
    /// Calls that have begun.
    calls: BTreeMap<i32, Call>,
    ended: Vec<Ended>,
    executed: bool,
    blind: bool,
}

/// Runs it to its end; its output goes to ours, or with `quiet` to where our errors go. Its threads and processes are stopped
/// at each system call.
///
/// # Errors
///
/// It cannot be executed, or not be traced.
pub fn run(program: &OsStr, args: &[OsString], quiet: bool) -> anyhow::Result<Trace> {
    let name = program.to_string_lossy().into_owned();
    let words = std::iter::once(program).chain(args.iter().map(OsString::as_os_str));
    let words: Vec<CString> = words.map(|word| CString::new(word.as_bytes())).collect::<Result<_, _>>()?;
    // SAFETY: this program has one thread.
    let main = match unsafe { fork() }? {
        ForkResult::Parent { child } => child.as_raw(),
        ForkResult::Child => become_it(&words, quiet),
    };
    // Whoever runs it wants to know how it ends, also if that is by Ctrl-C.
    let _signals = [libc::SIGINT, libc::SIGQUIT].map(Ignored::now);
    let mut tracer = Tracer::default();
    let followed = tracer.seize(main).and_then(|()| tracer.follow(main));
    if let Err(error) = followed {
        // SAFETY: a child that was not waited for.
        unsafe { libc::kill(main, libc::SIGKILL) };
        return Err(error).with_context(|| format!("cannot trace {name}"));
    }
    let Some(main) = tracer.ended.pop() else { bail!("{name} has no end") };
    if let (End::Exited(errno), false) = (main.end, tracer.executed) {
        bail!("cannot run {name}: {}", io::Error::from_raw_os_error(errno));
    }
    Ok(Trace { program: name, main, others: tracer.ended, blind: tracer.blind })
}

/// The child: it waits until it is traced.
fn become_it(words: &[CString], quiet: bool) -> ! {
    // SAFETY: single system calls, in a process of one thread. Rust ignores SIGPIPE; programs do not expect that.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::raise(libc::SIGSTOP);
    }
    if quiet {
        // SAFETY: standard output is nobody's in this process.
        unsafe { libc::dup2(libc::STDERR_FILENO, libc::STDOUT_FILENO) };
    }
    let Err(error) = execvp(&words[0], words);
    // SAFETY: ends this process at once.
    unsafe { libc::_exit(error as c_int) }
}

/// A signal that is ignored for a while.
struct Ignored {
    signal: c_int,
    before: libc::sighandler_t,
}

impl Ignored {
    fn now(signal: c_int) -> Self {
        // SAFETY: ignoring runs no code.
        Self { signal, before: unsafe { libc::signal(signal, libc::SIG_IGN) } }
    }
}

impl Drop for Ignored {
    fn drop(&mut self) {
        // SAFETY: what was there before.
        unsafe { libc::signal(self.signal, self.before) };
    }
}

impl Tracer {
    fn seize(&mut self, main: i32) -> anyhow::Result<()> {
        let mut status = 0;
        // SAFETY: `status` is there.
        if unsafe { libc::waitpid(main, &raw mut status, libc::WUNTRACED) } != main || !libc::WIFSTOPPED(status) {
            bail!("it did not begin");
        }
        let options = libc::PTRACE_O_TRACESYSGOOD
            | libc::PTRACE_O_TRACECLONE
            | libc::PTRACE_O_TRACEFORK
            | libc::PTRACE_O_TRACEVFORK
            | libc::PTRACE_O_TRACEEXEC;
        request(libc::PTRACE_SEIZE, main, options)?;
        self.threads.insert(main, main);
        self.processes.insert(main, Process { filtered: has_filter(main), ..Process::default() });
        // SAFETY: our child.
        unsafe { libc::kill(main, libc::SIGCONT) };
        Ok(())
    }

    /// Until `main` has ended, which is the last of those that have then.
    fn follow(&mut self, main: i32) -> anyhow::Result<()> {
        loop {
            let mut status = 0;
            // SAFETY: `status` is there.
            let tid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) };
            if tid < 0 {
                match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => continue,
                    error => return Err(error.into()),
                }
            }
            if libc::WIFSTOPPED(status) {
                self.stopped(tid, libc::WSTOPSIG(status), status >> 16)?;
                continue;
            }
            let end = if libc::WIFSIGNALED(status) {
                End::Killed(libc::WTERMSIG(status))
            } else {
                End::Exited(libc::WEXITSTATUS(status))
            };
            self.gone(tid, end);
            if tid == main {
                return Ok(());
            }
        }
    }

    /// A thread has ended; the first of a process is the last that does.
    fn gone(&mut self, tid: i32, end: End) {
        self.threads.remove(&tid);
        self.calls.remove(&tid);
        if let Some(process) = self.processes.remove(&tid) {
            self.ended.push(Ended { pid: tid, end, process });
        } else {
            for process in self.processes.values_mut() {
                process.altstacks.remove(&tid);
            }
        }
    }

    /// A thread has stopped; it goes on, unless it is to stay stopped.
    fn stopped(&mut self, tid: i32, signal: c_int, event: c_int) -> anyhow::Result<()> {
        let process = self.process_of(tid);
        let mut deliver = 0;
        match (event, signal) {
            (libc::PTRACE_EVENT_STOP, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) => {
                return request(libc::PTRACE_LISTEN, tid, 0);
            }
            (libc::PTRACE_EVENT_EXEC, _) => self.executes(tid),
            (0, SYSCALL_STOP) => self.system_call(tid, process),
            (0, signal) => {
                deliver = signal;
                self.met(tid, process, signal);
            }
            _ => {}
        }
        request(libc::PTRACE_SYSCALL, tid, deliver)
    }

    /// Of which process `tid` is; a new one has what its parent had.
    fn process_of(&mut self, tid: i32) -> i32 {
        if let Some(&process) = self.threads.get(&tid) {
            return process;
        }
        let process = status_of(tid, "Tgid").unwrap_or(tid);
        self.threads.insert(tid, process);
        if !self.processes.contains_key(&process) {
            let parent = status_of(process, "PPid").and_then(|parent| self.processes.get(&parent));
            let mut new = parent.cloned().unwrap_or_default();
            (new.fault, new.illegal, new.asking) = (None, None, false);
            new.altstacks.clear();
            self.processes.insert(process, new);
        }
        process
    }

    /// Permission and alternate stacks end with the old program, and all other threads.
    fn executes(&mut self, pid: i32) {
        self.executed = true;
        self.threads.retain(|tid, process| *process != pid || *tid == pid);
        let process = self.processes.entry(pid).or_default();
        process.altstacks.clear();
        (process.fault, process.illegal, process.asking) = (None, None, false);
        process.requests.iter_mut().for_each(|request| request.void = true);
    }

    fn met(&mut self, tid: i32, process: i32, signal: c_int) {
        let Some(fault) = fault(tid, signal) else { return };
        let process = self.processes.entry(process).or_default();
        if signal == libc::SIGILL {
            process.illegal = Some(fault.clone());
        }
        process.fault = Some(fault);
    }

    fn system_call(&mut self, tid: i32, process: i32) {
        let Some(info) = syscall_info(tid) else {
            self.blind = true;
            return;
        };
        if info.arch != AUDIT_ARCH_X86_64 {
            return;
        }
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => {
                // SAFETY: the kernel says that this is what it wrote.
                let entry = unsafe { info.u.entry };
                let call = call(tid, c_long::try_from(entry.nr).unwrap_or(-1), entry.args);
                let process = self.processes.entry(process).or_default();
                process.asking |= matches!(call, Some(Call::Ask { .. }));
                match call {
                    Some(call) => self.calls.insert(tid, call),
                    None => self.calls.remove(&tid),
                };
            }
            libc::PTRACE_SYSCALL_INFO_EXIT => {
                let Some(call) = self.calls.remove(&tid) else { return };
                // SAFETY: as above.
                let result = unsafe { info.u.exit.sval };
                let process = self.processes.entry(process).or_default();
                match call {
                    // Its number: a filter kills for it, and nobody answers.
                    Call::Ask { .. } if result > 0 => {}
                    Call::Ask { for_guests } => {
                        process.asking = false;
                        let errno = c_int::try_from(-result).unwrap_or_default();
                        process.requests.push(Request { for_guests, errno, void: false });
                    }
                    Call::AltStack { bytes: Some(bytes) } if result == 0 => {
                        process.altstacks.insert(tid, bytes);
                    }
                    Call::AltStack { bytes: None } if result == 0 => {
                        process.altstacks.remove(&tid);
                    }
                    Call::Filter if result == 0 => process.filtered |= has_filter(tid),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// A system call that matters.
fn call(tid: i32, number: c_long, args: [u64; 6]) -> Option<Call> {
    match number {
        libc::SYS_arch_prctl if args[1] == TILE_DATA => match args[0] {
            REQ_XCOMP_PERM => Some(Call::Ask { for_guests: false }),
            REQ_XCOMP_GUEST_PERM => Some(Call::Ask { for_guests: true }),
            _ => None,
        },
        libc::SYS_sigaltstack if args[0] != 0 => {
            // struct stack_t: an address, flags, and bytes, 8 each.
            let stack = memory_of(tid, args[0], 24);
            let word = |at: usize| Some(u64::from_ne_bytes(stack.get(at..at + 8)?.try_into().ok()?));
            let disabled = word(8)? & u64::from(libc::SS_DISABLE.unsigned_abs()) != 0;
            Some(Call::AltStack { bytes: if disabled { None } else { word(16) } })
        }
        libc::SYS_seccomp | libc::SYS_prctl => Some(Call::Filter),
        _ => None,
    }
}
