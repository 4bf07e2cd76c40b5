// SPDX-License-Identifier: GPL-2.0
//! System calls by which processes and threads come, go, and disturb each other.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void, CString};
use std::io::{Error, Result};
use std::{mem, ptr};

/// How a process ended, from its wait status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By `exit` with this status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// Not at all: it is stopped, by this event and signal of ptrace.
    Stopped(i32),
}

fn checked(result: c_int) -> Result<c_int> {
    if result < 0 {
        Err(Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Forks: 0 in the child. The child has the calling thread alone; glibc keeps its allocator
/// usable there.
///
/// # Errors
///
/// EAGAIN, ENOMEM.
pub fn fork() -> Result<i32> {
    // SAFETY: the child uses memory and glibc as a single thread may after glibc's fork.
    checked(unsafe { libc::fork() })
}

/// Runs `work` in a child that shares this process's memory, while the calling thread waits for
/// its end or exec, as with vfork. The child ends with what `work` returns. Its pid.
///
/// # Errors
///
/// EAGAIN, ENOMEM.
pub fn vfork<W: FnMut() -> i32>(work: W) -> Result<i32> {
    vfork_sharing(0, work)
}

/// The same; `flags` of clone(2) say what else they share.
///
/// # Errors
///
/// EAGAIN, ENOMEM.
pub fn vfork_sharing<W: FnMut() -> i32>(flags: c_int, mut work: W) -> Result<i32> {
    let mut stack = vec![0_u8; STACK];
    let flags = flags | libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack and `work` outlive the child's use of them: CLONE_VFORK.
    checked(unsafe { clone_with(&mut stack, flags, &raw mut work) })
}

/// Runs `work` in a child that shares this process's memory and open files, but no permission: CLONE_VM,
/// CLONE_FILES. It has the calling thread's own data as well, so the two must take turns.
///
/// # Errors
///
/// EAGAIN, ENOMEM.
pub fn process_beside<W: FnMut() -> i32 + 'static>(work: W) -> Result<i32> {
    let stack = Box::leak(vec![0_u8; 2 * STACK].into_boxed_slice());
    let work = Box::leak(Box::new(work));
    let flags = libc::CLONE_VM | libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: neither goes away.
    checked(unsafe { clone_with(stack, flags, &raw mut *work) })
}

const STACK: usize = 128 << 10;

/// # Safety
///
/// `stack` and `work` are the child's alone until it has ended.
unsafe fn clone_with<W: FnMut() -> i32>(stack: &mut [u8], flags: c_int, work: *mut W) -> c_int {
    extern "C" fn start<W: FnMut() -> i32>(work: *mut c_void) -> c_int {
        // SAFETY: the pointer below. All of the child's threads end with it: KVM adds one to whoever runs a vCPU.
        unsafe { libc::_exit((*work.cast::<W>())()) }
    }
    let top = stack.as_mut_ptr_range().end.map_addr(|a| a & !63);
    // SAFETY: the caller's.
    unsafe { libc::clone(start::<W>, top.cast(), flags, work.cast()) }
}

/// Waits for `pid`, or with -1 for any child, and says which it was. `flags` as of waitpid.
///
/// # Errors
///
/// ECHILD: there is none. With WNOHANG: EAGAIN if none has ended.
pub fn wait(pid: i32, flags: i32) -> Result<(i32, End)> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is there to be written.
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

/// Ends the process at once, all its threads with it: exit_group.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: never returns.
    unsafe { libc::_exit(status) }
}

/// Ends the calling thread alone, even if it is the first one of its process.
pub fn exit_thread() -> ! {
    // SAFETY: the thread's memory stays: nobody joins it.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!()
}

/// From here on the calling thread has the CPU until it gives it up: SCHED_FIFO.
///
/// # Errors
///
/// EPERM for all but root.
pub fn run_first() -> Result<()> {
    set_scheduler(0, libc::SCHED_FIFO, 1)
}

/// From here on whoever else wants its CPU has it first: SCHED_IDLE.
///
/// # Errors
///
/// EPERM for one that was under SCHED_FIFO and is not root.
pub fn run_last() -> Result<()> {
    set_scheduler(0, libc::SCHED_IDLE, 0)
}

/// From here on another thread has its CPU even before those of [`run_first`].
///
/// # Errors
///
/// ESRCH if it has gone; EPERM for all but root.
pub fn let_run_before_first(tid: i32) -> Result<()> {
    set_scheduler(tid, libc::SCHED_FIFO, 2)
}

/// From here on the thread, 0 for the caller, has its share of the CPU like any other: SCHED_OTHER.
///
/// # Errors
///
/// ESRCH if it has gone; EPERM for one of somebody else's.
pub fn let_run_as_others(tid: i32) -> Result<()> {
    set_scheduler(tid, libc::SCHED_OTHER, 0)
}

fn set_scheduler(tid: i32, policy: i32, sched_priority: i32) -> Result<()> {
    let priority = libc::sched_param { sched_priority };
    // SAFETY: `priority` is all that is read.
    checked(unsafe { libc::sched_setscheduler(tid, policy, &raw const priority) })?;
    Ok(())
}

/// The calling thread's number.
#[must_use]
pub fn tid() -> i32 {
    // SAFETY: always succeeds.
    unsafe { libc::gettid() }
}

/// The calling process's number.
#[must_use]
pub fn pid() -> i32 {
    // SAFETY: always succeeds.
    unsafe { libc::getpid() }
}

/// Children to come are in a PID namespace of their own, the first of them as number 1.
///
/// # Errors
///
/// EPERM without CAP_SYS_ADMIN.
pub fn new_pid_namespace() -> Result<()> {
    // SAFETY: no memory is touched.
    checked(unsafe { libc::unshare(libc::CLONE_NEWPID) })?;
    Ok(())
}

/// The calling thread is an ordinary user's from here on.
///
/// # Errors
///
/// EPERM without CAP_SETUID.
pub fn become_user(uid: u32) -> Result<()> {
    // SAFETY: no memory is touched.
    checked(unsafe { libc::setresuid(uid, uid, uid) })?;
    Ok(())
}

/// The same, but it may become another one again.
///
/// # Errors
///
/// EPERM without CAP_SETUID.
pub fn become_user_for_now(uid: u32) -> Result<()> {
    // SAFETY: no memory is touched.
    checked(unsafe { libc::seteuid(uid) })?;
    Ok(())
}

/// Sends `signal` to the thread `tid` of this process; false if it has gone.
pub fn signal_thread(tid: i32, signal: i32) -> bool {
    // SAFETY: no memory is touched.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, signal) == 0 }
}

/// Sends `signal` to a process; false if it has gone.
pub fn signal_process(pid: i32, signal: i32) -> bool {
    // SAFETY: no memory is touched.
    unsafe { libc::kill(pid, signal) == 0 }
}

/// Has `handler` run at `signal`, on the thread's own stack; system calls restart.
///
/// # Errors
///
/// EINVAL for a signal that cannot be handled.
pub fn on_signal(signal: i32, handler: extern "C" fn(c_int)) -> Result<()> {
    handle(signal, handler as *const () as usize, libc::SA_RESTART)
}

/// A handler that gets what is known of the signal, and the registers to return to.
pub type WithContext = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// The same for one [`WithContext`].
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
    // SAFETY: `action` is complete, and `handler` is what its flags say.
    checked(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) })?;
    Ok(())
}

/// A command line, ready for [`Exec::run`] where nothing can be allocated.
pub struct Exec {
    arguments: Vec<CString>,
}

impl Exec {
    /// This very program with other arguments.
    ///
    /// # Panics
    ///
    /// An argument has a zero byte.
    #[must_use]
    pub fn this_program(arguments: &[&str]) -> Self {
        let all = ["amx_stress"].iter().chain(arguments);
        let arguments = all.map(|a| CString::new(*a).expect("no zero byte"));
        Exec {
            arguments: arguments.collect(),
        }
    }

    /// Becomes it. Returns only on failure.
    #[must_use]
    pub fn run(&self) -> Error {
        let mut pointers = [ptr::null(); 16];
        for (pointer, argument) in pointers[..15].iter_mut().zip(&self.arguments) {
            *pointer = argument.as_ptr();
        }
        // One that is on its way would find the new image without a handler, and kill it.
        for signal in [libc::SIGUSR1, libc::SIGUSR2] {
            // SAFETY: nothing of Rust's depends on these two.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
        // SAFETY: a list of C strings with a null pointer at its end; the environment is that of
        // the program, which no thread changes.
        unsafe { libc::execv(c"/proc/self/exe".as_ptr(), pointers.as_ptr()) };
        Error::last_os_error()
    }
}

/// prctl with one argument.
///
/// # Errors
///
/// What prctl says.
pub fn prctl(option: i32, argument: u64) -> Result<()> {
    // SAFETY: for options with a number as argument only: no memory is touched.
    checked(unsafe { libc::prctl(option, argument, 0, 0, 0) })?;
    Ok(())
}

/// Writes `text` to standard output at once, whatever state this process's own output is in.
pub fn print_now(text: &str) {
    // SAFETY: reads `text` alone.
    unsafe { libc::write(1, text.as_ptr().cast(), text.len()) };
}

/// A ptrace request without data.
///
/// # Errors
///
/// ESRCH, EPERM: it has gone, is not stopped, or may not be traced.
pub fn ptrace(request: u32, tid: i32, data: usize) -> Result<()> {
    // SAFETY: for requests with a number as data only: no memory is touched.
    let result = unsafe { libc::ptrace(request, tid, 0, data) };
    checked(result as c_int)?;
    Ok(())
}

/// Reads the XSAVE area of a stopped thread into `area`; how many bytes it has.
///
/// # Errors
///
/// ESRCH.
pub fn get_xstate(tid: i32, area: &mut [u8]) -> Result<usize> {
    let mut place = libc::iovec {
        iov_base: area.as_mut_ptr().cast(),
        iov_len: area.len(),
    };
    // SAFETY: `place` describes `area`, borrowed for it.
    let result =
        unsafe { libc::ptrace(libc::PTRACE_GETREGSET, tid, NT_X86_XSTATE, &raw mut place) };
    checked(result as c_int)?;
    Ok(place.iov_len)
}

/// Writes the XSAVE area of a stopped thread.
///
/// # Errors
///
/// ESRCH; EFAULT for another size than the machine's; EINVAL for a header that is not valid.
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

/// Where component `xfeature` is in such an area (CPUID leaf 0DH).
#[must_use]
#[allow(unused_unsafe)]
pub fn xstate_range(xfeature: u32) -> std::ops::Range<usize> {
    // SAFETY: every x86-64 processor has CPUID.
    let leaf = unsafe { std::arch::x86_64::__cpuid_count(0xd, xfeature) };
    leaf.ebx as usize..(leaf.ebx + leaf.eax) as usize
}

/// Where component `xfeature` begins.
#[must_use]
pub fn xstate_offset(xfeature: u32) -> usize {
    xstate_range(xfeature).start
}

const NT_X86_XSTATE: usize = 0x202;

/// XGETBV: extended control register `number` (SDM vol. 2, XGETBV).
///
/// # Safety
///
/// The CPU has that register.
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

/// Keeps the CPU for a moment, and executes nothing there if the CPU can wait: that costs the emulator nothing. The
/// kernel says how long TPAUSE may take (umwait_control, 100,000 ticks of the time-stamp counter at most).
pub fn keep_cpu() {
    // SDM volume 2, CPUID: leaf 7, ECX bit 5, WAITPKG.
    if std::arch::x86_64::__cpuid_count(7, 0).ecx & 1 << 5 == 0 {
        return std::hint::spin_loop();
    }
    // SAFETY: it is there, and changes flags only; the deadline in EDX:EAX is far.
    unsafe {
        std::arch::asm!("tpause ecx", in("ecx") 1, in("eax") u32::MAX, in("edx") i32::MAX, options(nomem, nostack));
    }
}
