// SPDX-License-Identifier: GPL-2.0
//! System calls by which processes and threads are created, exit, and disturb each other.
#![expect(unsafe_code, reason = "system calls")]

use std::ffi::{c_int, c_void, CString};
use std::io::{Error, Result};
use std::{mem, ptr};

/// How a process ended, from its wait status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `exit` with this status.
    Exit(i32),
    /// This signal.
    Signal(i32),
    /// It did not end: it is stopped, with this ptrace event and signal.
    Stopped(i32),
}

fn checked(result: c_int) -> Result<c_int> {
    if result < 0 {
        Err(Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Forks, and returns 0 in the child. The child has only the calling thread; glibc keeps its allocator
/// usable there.
///
/// # Errors
///
/// EAGAIN, ENOMEM.
pub fn fork() -> Result<i32> {
    // SAFETY: the child uses memory and glibc only as a single thread may after glibc's fork.
    checked(unsafe { libc::fork() })
}

/// Runs `work` in a child that shares this process's memory, while the calling thread waits until it
/// exits or execs, as with vfork. The child exits with the value of `work`. Returns its PID.
///
/// # Errors
///
/// EAGAIN, ENOMEM.
pub fn vfork<W: FnMut() -> i32>(work: W) -> Result<i32> {
    vfork_sharing(0, work)
}

/// The same; `flags`, as for clone(2), say what else they share.
///
/// # Errors
///
/// EAGAIN, ENOMEM.
pub fn vfork_sharing<W: FnMut() -> i32>(flags: c_int, mut work: W) -> Result<i32> {
    let mut stack = vec![0_u8; STACK];
    let flags = flags | libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: with CLONE_VFORK the stack and `work` outlive the child's use of them.
    checked(unsafe { clone_with(&mut stack, flags, &raw mut work) })
}

/// Runs `work` in a child that shares this process's memory and open files, but not its permission (CLONE_VM,
/// CLONE_FILES). It also shares the calling thread's thread-local data, so the two must take turns.
///
/// # Errors
///
/// EAGAIN, ENOMEM.
pub fn process_beside<W: FnMut() -> i32 + 'static>(work: W) -> Result<i32> {
    let stack = Box::leak(vec![0_u8; 2 * STACK].into_boxed_slice());
    let work = Box::leak(Box::new(work));
    let flags = libc::CLONE_VM | libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: both the stack and `work` are leaked, so the child can use them as long as it lives.
    checked(unsafe { clone_with(stack, flags, &raw mut *work) })
}

const STACK: usize = 128 << 10;

/// # Safety
///
/// Only the child may use `stack` and `work` until it has exited.
unsafe fn clone_with<W: FnMut() -> i32>(stack: &mut [u8], flags: c_int, work: *mut W) -> c_int {
    extern "C" fn start<W: FnMut() -> i32>(work: *mut c_void) -> c_int {
        // SAFETY: `work` is the pointer passed to clone() below. exit_group ends all threads of the child: KVM adds one
        // to a process that runs a vCPU.
        unsafe { libc::_exit((*work.cast::<W>())()) }
    }
    let top = stack.as_mut_ptr_range().end.map_addr(|a| a & !63);
    // SAFETY: the caller guarantees that `stack` and `work` belong to the child until it exits.
    unsafe { libc::clone(start::<W>, top.cast(), flags, work.cast()) }
}

/// Waits for `pid`, or for any child if -1, and returns which one it was. `flags` are those of waitpid.
///
/// # Errors
///
/// ECHILD: there is no child. With WNOHANG: EAGAIN if none has ended.
pub fn wait(pid: i32, flags: i32) -> Result<(i32, End)> {
    let mut status = 0;
    loop {
        // SAFETY: waitpid only writes `status`.
        match checked(unsafe { libc::waitpid(pid, &raw mut status, flags) }) {
            Ok(0) => return Err(Error::from_raw_os_error(libc::EAGAIN)),
            Ok(pid) if libc::WIFEXITED(status) => {
                return Ok((pid, End::Exit(libc::WEXITSTATUS(status))))
            }
            Ok(pid) if libc::WIFSIGNALED(status) => {
                return Ok((pid, End::Signal(libc::WTERMSIG(status))))
            }
            Ok(pid) => return Ok((pid, End::Stopped(status >> 8))),
            Err(e) if e.raw_os_error() == Some(libc::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Ends the process at once with all its threads (exit_group).
pub fn exit_now(status: i32) -> ! {
    // SAFETY: it never returns, and runs no code of this process.
    unsafe { libc::_exit(status) }
}

/// Ends only the calling thread, even if it is its process's first.
pub fn exit_thread() -> ! {
    // SAFETY: no one joins the thread, so its memory stays.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!()
}

/// From now on the calling thread keeps the CPU until it gives it up: SCHED_FIFO.
///
/// # Errors
///
/// EPERM unless root.
pub fn run_first() -> Result<()> {
    set_scheduler(0, libc::SCHED_FIFO, 1)
}

/// From now on every other thread that wants this thread's CPU goes first: SCHED_IDLE.
///
/// # Errors
///
/// EPERM for a thread that was under SCHED_FIFO and is not root's.
pub fn run_last() -> Result<()> {
    set_scheduler(0, libc::SCHED_IDLE, 0)
}

/// From now on another thread gets its CPU even before those of [`run_first`].
///
/// # Errors
///
/// ESRCH if it is gone; EPERM unless root.
pub fn let_run_before_first(tid: i32) -> Result<()> {
    set_scheduler(tid, libc::SCHED_FIFO, 2)
}

/// From now on the thread (0: the caller) shares the CPU like any other: SCHED_OTHER.
///
/// # Errors
///
/// ESRCH if it is gone; EPERM for another user's thread.
pub fn let_run_as_others(tid: i32) -> Result<()> {
    set_scheduler(tid, libc::SCHED_OTHER, 0)
}

fn set_scheduler(tid: i32, policy: i32, sched_priority: i32) -> Result<()> {
    let priority = libc::sched_param { sched_priority };
    // SAFETY: the call reads only `priority`.
    checked(unsafe { libc::sched_setscheduler(tid, policy, &raw const priority) })?;
    Ok(())
}

/// The calling thread's TID.
#[must_use]
pub fn tid() -> i32 {
    // SAFETY: takes no arguments and always succeeds.
    unsafe { libc::gettid() }
}

/// The calling process's PID.
#[must_use]
pub fn pid() -> i32 {
    // SAFETY: takes no arguments and always succeeds.
    unsafe { libc::getpid() }
}

/// Future children are in a new PID namespace, the first of them as PID 1.
///
/// # Errors
///
/// EPERM without CAP_SYS_ADMIN.
pub fn new_pid_namespace() -> Result<()> {
    // SAFETY: the call accesses no memory.
    checked(unsafe { libc::unshare(libc::CLONE_NEWPID) })?;
    Ok(())
}

/// From now on the calling thread runs as an ordinary user.
///
/// # Errors
///
/// EPERM without CAP_SETUID.
pub fn become_user(uid: u32) -> Result<()> {
    // SAFETY: the call accesses no memory.
    checked(unsafe { libc::setresuid(uid, uid, uid) })?;
    Ok(())
}

/// The same, but it can switch back.
///
/// # Errors
///
/// EPERM without CAP_SETUID.
pub fn become_user_for_now(uid: u32) -> Result<()> {
    // SAFETY: the call accesses no memory.
    checked(unsafe { libc::seteuid(uid) })?;
    Ok(())
}

/// Sends `signal` to thread `tid` in this process; false if it is gone.
pub fn signal_thread(tid: i32, signal: i32) -> bool {
    // SAFETY: the call accesses no memory.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, signal) == 0 }
}

/// Sends `signal` to a process; false if it is gone.
pub fn signal_process(pid: i32, signal: i32) -> bool {
    // SAFETY: the call accesses no memory.
    unsafe { libc::kill(pid, signal) == 0 }
}

/// Installs `handler` for `signal`, on the thread's own stack; system calls restart.
///
/// # Errors
///
/// EINVAL for a signal that cannot be handled.
pub fn on_signal(signal: i32, handler: extern "C" fn(c_int)) -> Result<()> {
    handle(signal, handler as *const () as usize, libc::SA_RESTART)
}

/// A handler that gets the signal's information and the registers to return to.
pub type WithContext = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// The same for a [`WithContext`].
///
/// # Errors
///
/// EINVAL for a signal that cannot be handled.
pub fn on_signal_with_context(signal: i32, handler: WithContext) -> Result<()> {
    let flags = libc::SA_RESTART | libc::SA_SIGINFO;
    handle(signal, handler as *const () as usize, flags)
}

fn handle(signal: i32, handler: usize, flags: c_int) -> Result<()> {
    // SAFETY: all zeros is a valid sigaction.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: `action` is complete, and `handler` has the signature that its flags announce.
    checked(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) })?;
    Ok(())
}

/// A command line, prepared so that [`Exec::run`] need not allocate.
pub struct Exec {
    arguments: Vec<CString>,
}

impl Exec {
    /// This same program with other arguments.
    ///
    /// # Panics
    ///
    /// An argument contains a zero byte.
    #[must_use]
    pub fn this_program(arguments: &[&str]) -> Self {
        let all = ["amx_stress"].iter().chain(arguments);
        let arguments = all.map(|a| CString::new(*a).expect("no zero byte"));
        Exec {
            arguments: arguments.collect(),
        }
    }

    /// Executes it. Returns only on failure.
    #[must_use]
    pub fn run(&self) -> Error {
        let mut pointers = [ptr::null(); 16];
        for (pointer, argument) in pointers[..15].iter_mut().zip(&self.arguments) {
            *pointer = argument.as_ptr();
        }
        // A signal still pending would find the new image without a handler, and kill it.
        for signal in [libc::SIGUSR1, libc::SIGUSR2] {
            // SAFETY: the Rust runtime does not use these two signals.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
        // SAFETY: a list of C strings that ends with a null pointer; the environment is the
        // program's own, which no thread changes.
        unsafe { libc::execv(c"/proc/self/exe".as_ptr(), pointers.as_ptr()) };
        Error::last_os_error()
    }
}

/// prctl with one argument.
///
/// # Errors
///
/// Errors from prctl.
pub fn prctl(option: i32, argument: u64) -> Result<()> {
    // SAFETY: only for options whose argument is a number, so no memory is accessed.
    checked(unsafe { libc::prctl(option, argument, 0, 0, 0) })?;
    Ok(())
}

/// Writes `text` to standard output at once, bypassing this process's buffers and locks.
pub fn print_now(text: &str) {
    // SAFETY: reads only `text`.
    unsafe { libc::write(1, text.as_ptr().cast(), text.len()) };
}

/// A ptrace request without data.
///
/// # Errors
///
/// ESRCH, EPERM: the thread is gone, is not stopped, or may not be traced.
pub fn ptrace(request: u32, tid: i32, data: usize) -> Result<()> {
    // SAFETY: only for requests whose data is a number, so no memory is accessed.
    let result = unsafe { libc::ptrace(request, tid, 0, data) };
    checked(result as c_int)?;
    Ok(())
}

/// Reads the XSAVE area of a stopped thread into `area`, and returns its size in bytes.
///
/// # Errors
///
/// ESRCH.
pub fn get_xstate(tid: i32, area: &mut [u8]) -> Result<usize> {
    let mut place = libc::iovec {
        iov_base: area.as_mut_ptr().cast(),
        iov_len: area.len(),
    };
    // SAFETY: the kernel writes only what `place` describes: `area`, which is borrowed mutably.
    let result =
        unsafe { libc::ptrace(libc::PTRACE_GETREGSET, tid, NT_X86_XSTATE, &raw mut place) };
    checked(result as c_int)?;
    Ok(place.iov_len)
}

/// Writes the XSAVE area of a stopped thread.
///
/// # Errors
///
/// ESRCH; EFAULT for a size other than the machine's; EINVAL for an invalid header.
pub fn set_xstate(tid: i32, area: &[u8]) -> Result<()> {
    let mut place = libc::iovec {
        iov_base: area.as_ptr().cast_mut().cast(),
        iov_len: area.len(),
    };
    // SAFETY: the kernel only reads what `place` describes.
    let result =
        unsafe { libc::ptrace(libc::PTRACE_SETREGSET, tid, NT_X86_XSTATE, &raw mut place) };
    checked(result as c_int)?;
    Ok(())
}

/// The location of component `xfeature` in such an area (CPUID leaf 0DH).
#[must_use]
#[allow(unused_unsafe, reason = "newer compilers have a safe __cpuid_count()")]
pub fn xstate_range(xfeature: u32) -> std::ops::Range<usize> {
    // SAFETY: every x86-64 processor has CPUID.
    let leaf = unsafe { std::arch::x86_64::__cpuid_count(0xd, xfeature) };
    leaf.ebx as usize..(leaf.ebx + leaf.eax) as usize
}

/// The offset of component `xfeature`.
#[must_use]
pub fn xstate_offset(xfeature: u32) -> usize {
    xstate_range(xfeature).start
}

const NT_X86_XSTATE: usize = 0x202;

/// XGETBV: extended control register `number` (SDM vol. 2, XGETBV).
///
/// # Safety
///
/// The CPU must have that register.
#[must_use]
pub unsafe fn xgetbv(number: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads a register that the caller vouches for, and no memory.
    unsafe {
        std::arch::asm!("xgetbv", in("ecx") number, out("eax") low, out("edx") high,
                        options(nomem, nostack));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Keeps the CPU for a moment. If the CPU has TPAUSE, it executes nothing meanwhile, at no cost to the emulator. The
/// kernel limits how long TPAUSE may take (umwait_control: at most 100,000 ticks of the time-stamp counter).
pub fn keep_cpu() {
    // SDM volume 2, CPUID: leaf 7, ECX bit 5, WAITPKG.
    if std::arch::x86_64::__cpuid_count(7, 0).ecx & 1 << 5 == 0 {
        return std::hint::spin_loop();
    }
    // SAFETY: the CPU has TPAUSE, which changes only flags; the deadline in EDX:EAX is far away.
    unsafe {
        std::arch::asm!("tpause ecx", in("ecx") 1, in("eax") u32::MAX, in("edx") i32::MAX, options(nomem, nostack));
    }
}
