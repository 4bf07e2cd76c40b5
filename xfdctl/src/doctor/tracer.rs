// SPDX-License-Identifier: GPL-2.0
//! Follows a program's threads from stop to stop, and records what may explain how it ends.

use super::program::{AltStack, End, Ended, Process, Request, SmallStack};
use super::tracee::{
    created_by, fault, has_filter, is_caught, memory_of, name_of, request, status_of, syscall_info, Asked,
};
use anyhow::bail;
use nix::errno::Errno;
use nix::libc::{self, c_int, c_long};
use std::collections::BTreeMap;
use std::io;

const REQ_XCOMP_PERM: u64 = 0x1023;
const REQ_XCOMP_GUEST_PERM: u64 = 0x1025;
const TILE_DATA: u64 = 18;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
/// With `PTRACE_O_TRACESYSGOOD`.
const SYSCALL_STOP: c_int = libc::SIGTRAP | 0x80;

enum Call {
    Ask { for_guests: bool },
    AltStack(Option<AltStack>),
    Filter,
    Create { keeps_stack: bool },
}

/// The tracer of a program.
#[derive(Default)]
pub struct Tracer {
    /// Maps threads to processes.
    threads: BTreeMap<i32, i32>,
    processes: BTreeMap<i32, Process>,
    /// System calls that have not returned, by thread.
    calls: BTreeMap<i32, Call>,
    /// The signal delivered to a thread's handler, and where the thread was at that time.
    delivered: BTreeMap<i32, (c_int, u64)>,
    /// New threads that have stopped before the event of the thread that created them, and their stops. They do not
    /// continue, because only that event says what they inherit.
    unclaimed: BTreeMap<i32, (c_int, c_int)>,
    /// The processes that have ended, in that order.
    pub ended: Vec<Ended>,
    /// Whether the program was executed.
    pub executed: bool,
    /// Whether the kernel does not report system calls (it is older than 5.3).
    pub blind: bool,
}

impl Tracer {
    /// Begins to trace `main`, which stops itself.
    ///
    /// # Errors
    ///
    /// Fails if it did not stop, or may not be traced.
    pub fn seize(&mut self, main: i32) -> anyhow::Result<()> {
        let mut status = 0;
        // SAFETY: the call only writes `status`.
        if unsafe { libc::waitpid(main, &raw mut status, libc::WUNTRACED) } != main || !libc::WIFSTOPPED(status) {
            bail!("it did not begin");
        }
        let options = libc::PTRACE_O_TRACESYSGOOD
            | libc::PTRACE_O_TRACECLONE
            | libc::PTRACE_O_TRACEFORK
            | libc::PTRACE_O_TRACEVFORK
            | libc::PTRACE_O_TRACEEXEC;
        if let Err(error) = request(libc::PTRACE_SEIZE, main, options) {
            match error.raw_os_error() {
                Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => bail!(
                    "{}: /proc/sys/kernel/yama/ptrace_scope may be 3, or a seccomp filter forbids it; \
                     run it where ptrace is allowed",
                    Errno::from_raw(error.raw_os_error().unwrap_or_default())
                ),
                _ => return Err(error.into()),
            }
        }
        self.threads.insert(main, main);
        self.processes.insert(main, Process { filtered: has_filter(main), ..Process::default() });
        // SAFETY: `main` is our child.
        unsafe { libc::kill(main, libc::SIGCONT) };
        Ok(())
    }

    /// Follows all threads until `main` has ended, which is then the last one in `ended`.
    ///
    /// # Errors
    ///
    /// Fails if a system call fails.
    pub fn follow(&mut self, main: i32) -> anyhow::Result<()> {
        loop {
            self.release()?;
            let mut status = 0;
            // SAFETY: the call only writes `status`.
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

    /// A thread has ended. The kernel reports the main thread of a process after all others.
    fn gone(&mut self, tid: i32, end: End) {
        self.threads.remove(&tid);
        self.calls.remove(&tid);
        self.delivered.remove(&tid);
        self.unclaimed.remove(&tid);
        if let Some(process) = self.processes.remove(&tid) {
            self.ended.push(Ended { pid: tid, end, process });
        } else {
            for process in self.processes.values_mut() {
                process.altstacks.remove(&tid);
            }
        }
    }

    /// A thread has stopped. It continues, unless job control stopped it.
    fn stopped(&mut self, tid: i32, signal: c_int, event: c_int) -> anyhow::Result<()> {
        let is_new = !self.threads.contains_key(&tid);
        let process = self.process_of(tid);
        if is_new && self.is_creating() {
            self.unclaimed.insert(tid, (signal, event));
            return Ok(());
        }
        let mut deliver = 0;
        match (event, signal) {
            (libc::PTRACE_EVENT_STOP, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) => {
                return Ok(request(libc::PTRACE_LISTEN, tid, 0)?);
            }
            (libc::PTRACE_EVENT_EXEC, _) => self.executes(tid),
            (libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE, _) => {
                // A new thread that cannot be found is dead, and was reported before.
                match created_by(tid).filter(|&new| status_of(new, "Tgid").is_some()) {
                    Some(new) => self.creates(tid, new)?,
                    None => drop(self.calls.remove(&tid)),
                }
            }
            (0, SYSCALL_STOP) => self.system_call(tid, process),
            (0, signal) => {
                deliver = signal;
                self.met(tid, process, signal);
            }
            _ => {}
        }
        Ok(request(libc::PTRACE_SYSCALL, tid, deliver)?)
    }

    /// The process of `tid`. A new process inherits from its parent.
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

    /// `creator` has created the thread `new`, which may have stopped already.
    fn creates(&mut self, creator: i32, new: i32) -> anyhow::Result<()> {
        let process = self.process_of(new);
        if let Some(Call::Create { keeps_stack: true }) = self.calls.remove(&creator) {
            let of_creator = self.threads.get(&creator).and_then(|process| self.processes.get(process));
            let stack = of_creator.and_then(|process| process.altstacks.get(&creator)).copied();
            self.processes.entry(process).or_default().altstacks.extend(stack.map(|stack| (new, stack)));
        }
        match self.unclaimed.remove(&new) {
            Some((signal, event)) => self.stopped(new, signal, event),
            None => Ok(()),
        }
    }

    /// Whether a thread is creating another one, and its event is still to come.
    fn is_creating(&self) -> bool {
        self.calls.values().any(|call| matches!(call, Call::Create { .. }))
    }

    /// Continues the new threads that nobody will claim: the one that created them was killed before its event.
    fn release(&mut self) -> anyhow::Result<()> {
        while !self.is_creating() {
            let Some((tid, (signal, event))) = self.unclaimed.pop_first() else { break };
            self.stopped(tid, signal, event)?;
        }
        Ok(())
    }

    /// Exec revokes permissions and alternate stacks, and ends all other threads.
    fn executes(&mut self, pid: i32) {
        self.executed = true;
        self.threads.retain(|tid, process| *process != pid || *tid == pid);
        let process = self.processes.entry(pid).or_default();
        process.altstacks.clear();
        (process.fault, process.illegal, process.asking) = (None, None, false);
        process.requests.iter_mut().for_each(|request| request.void = true);
    }

    fn met(&mut self, tid: i32, process: i32, signal: c_int) {
        let before = self.delivered.remove(&tid);
        let Some((ip, fault)) = fault(tid, signal) else { return };
        if is_caught(tid, signal) {
            self.delivered.insert(tid, (signal, ip));
        }
        let Some(mut fault) = fault else { return };
        let process = self.processes.entry(process).or_default();
        // Nothing has run since the signal was delivered: the thread is still there, or at a system call (2 bytes) that
        // is being restarted.
        let here = |at: u64| ip == at || ip + 2 == at;
        let earlier = process.fault.as_ref().filter(|earlier| earlier.tid == tid && here(earlier.ip));
        // The SIGSEGV for a frame that does not fit may itself have a handler whose frame does not fit.
        let first = || earlier.and_then(|earlier| earlier.frame_of);
        fault.frame_of = before.filter(|&(_, at)| here(at)).map(|(signal, _)| first().unwrap_or(signal));
        if signal == libc::SIGILL {
            process.illegal = Some(fault.clone());
        }
        process.fault = Some(fault);
    }

    fn system_call(&mut self, tid: i32, process: i32) {
        self.delivered.remove(&tid);
        let info = match syscall_info(tid) {
            Asked::Info(info) => info,
            Asked::Gone => return,
            Asked::Unknown => {
                self.blind = true;
                return;
            }
        };
        if info.arch != AUDIT_ARCH_X86_64 {
            return;
        }
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => {
                // SAFETY: `op` says that the kernel wrote this member.
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
                    // The result is the system call's number: a filter is killing the process for it.
                    Call::Ask { .. } if result > 0 => {}
                    Call::Ask { for_guests } => {
                        process.asking = false;
                        let errno = c_int::try_from(-result).unwrap_or_default();
                        let stack = (errno == libc::ENOSPC).then(|| smallest(&process.altstacks)).flatten();
                        process.requests.push(Request { for_guests, errno, void: false, stack });
                    }
                    Call::AltStack(Some(stack)) if result == 0 => {
                        process.altstacks.insert(tid, stack);
                    }
                    Call::AltStack(None) if result == 0 => {
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

/// The thread with the smallest alternate stack.
fn smallest(stacks: &BTreeMap<i32, AltStack>) -> Option<SmallStack> {
    let (&tid, stack) = stacks.iter().min_by_key(|(_, stack)| stack.bytes)?;
    Some(SmallStack { tid, thread: name_of(tid), bytes: stack.bytes })
}

/// A system call to be recorded.
fn call(tid: i32, number: c_long, args: [u64; 6]) -> Option<Call> {
    match number {
        libc::SYS_arch_prctl if args[1] == TILE_DATA => match args[0] {
            REQ_XCOMP_PERM => Some(Call::Ask { for_guests: false }),
            REQ_XCOMP_GUEST_PERM => Some(Call::Ask { for_guests: true }),
            _ => None,
        },
        libc::SYS_sigaltstack if args[0] != 0 => {
            // stack_t: address, flags and size, 8 bytes each.
            let stack = memory_of(tid, args[0], 24);
            let word = |at: usize| Some(u64::from_ne_bytes(stack.get(at..at + 8)?.try_into().ok()?));
            let disabled = word(8)? & u64::from(libc::SS_DISABLE.unsigned_abs()) != 0;
            let start = word(0)?;
            Some(Call::AltStack(if disabled { None } else { word(16).map(|bytes| AltStack { start, bytes }) }))
        }
        libc::SYS_seccomp | libc::SYS_prctl => Some(Call::Filter),
        libc::SYS_fork | libc::SYS_vfork => Some(Call::Create { keeps_stack: true }),
        libc::SYS_clone => Some(Call::Create { keeps_stack: keeps_stack(args[0]) }),
        libc::SYS_clone3 => {
            // struct clone_args begins with the flags.
            let flags = memory_of(tid, args[0], 8).try_into().map(u64::from_ne_bytes).ok()?;
            Some(Call::Create { keeps_stack: keeps_stack(flags) })
        }
        _ => None,
    }
}

/// Whether a new thread has its creator's alternate stack (kernel/fork.c): not if both would use it.
fn keeps_stack(clone_flags: u64) -> bool {
    let [vm, vfork] = [libc::CLONE_VM, libc::CLONE_VFORK].map(|flag| u64::from(flag.unsigned_abs()));
    clone_flags & (vm | vfork) != vm
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No kernel has threads with these IDs.
    const PARENT: i32 = 1 << 30;
    const CHILD: i32 = PARENT + 1;
    const STACK: AltStack = AltStack { start: 0x1000, bytes: 4096 };

    /// The parent has an alternate stack, and is creating the child.
    fn creating(keeps_stack: bool) -> Tracer {
        let mut tracer = Tracer::default();
        tracer.threads.insert(PARENT, PARENT);
        let parent = Process { altstacks: [(PARENT, STACK)].into(), ..Process::default() };
        tracer.processes.insert(PARENT, parent);
        tracer.calls.insert(PARENT, Call::Create { keeps_stack });
        tracer
    }

    fn first_stop(tracer: &mut Tracer) {
        tracer.stopped(CHILD, libc::SIGTRAP, libc::PTRACE_EVENT_STOP).unwrap();
    }

    fn stack_of_child(tracer: &Tracer) -> Option<AltStack> {
        tracer.processes[&CHILD].altstacks.get(&CHILD).copied()
    }

    #[test]
    fn a_child_has_its_parents_stack_whoever_is_reported_first() {
        for (keeps_stack, expected) in [(true, Some(STACK)), (false, None)] {
            let mut tracer = creating(keeps_stack);
            tracer.creates(PARENT, CHILD).unwrap();
            first_stop(&mut tracer);
            assert_eq!((stack_of_child(&tracer), tracer.unclaimed.len()), (expected, 0));
            let mut tracer = creating(keeps_stack);
            first_stop(&mut tracer);
            tracer.release().unwrap();
            assert!(tracer.unclaimed.contains_key(&CHILD), "it would continue before it is known what it inherits");
            tracer.creates(PARENT, CHILD).unwrap();
            assert_eq!((stack_of_child(&tracer), tracer.unclaimed.len()), (expected, 0));
        }
    }

    #[test]
    fn a_child_does_not_wait_for_the_dead() {
        let mut tracer = creating(true);
        first_stop(&mut tracer);
        tracer.gone(PARENT, End::Killed(libc::SIGKILL));
        tracer.release().unwrap();
        assert_eq!((stack_of_child(&tracer), tracer.unclaimed.len()), (None, 0));
        let mut tracer = creating(true);
        first_stop(&mut tracer);
        tracer.gone(CHILD, End::Killed(libc::SIGKILL));
        assert_eq!((tracer.ended[0].pid, tracer.unclaimed.len()), (CHILD, 0));
    }

    #[test]
    fn who_keeps_a_stack() {
        let keeps = |flags: c_int| keeps_stack(u64::from(flags.unsigned_abs()));
        assert!(keeps(libc::SIGCHLD) && keeps(0) && keeps(libc::CLONE_PARENT));
        assert!(keeps(libc::CLONE_VFORK) && keeps(libc::CLONE_VFORK | libc::CLONE_VM | libc::SIGCHLD));
        assert!(!keeps(libc::CLONE_VM | libc::SIGCHLD));
        assert!(!keeps(libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD));
    }
}
