// SPDX-License-Identifier: GPL-2.0
//! `xfdctl doctor` on whatever machine runs the tests.

use nix::libc;
use std::process::Command;
use std::{io, mem, ptr};

#[test]
fn a_program_that_cannot_be_run_hides_nothing() {
    let doctor = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_xfdctl")).arg("doctor").args(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (status, out, err) = doctor(&["--", "/no/such/program"]);
    let is_wrong = out.lines().any(|line| line.starts_with("WRONG"));
    assert_eq!(status, Some(if is_wrong { 1 } else { 3 }), "{out}");
    assert!(err.starts_with("xfdctl: cannot run /no/such/program: ") && err.lines().count() == 1, "{err}");
    if is_wrong {
        assert_eq!(doctor(&[]).0, Some(1));
    }
}

/// Says how the program creates a child.
const CREATES: &str = "XFDCTL_TEST_CREATES";

/// Runs itself again as the program, which dies in a child.
#[test]
fn a_child_dies_of_the_stack_that_it_inherits() {
    if let Ok(how) = std::env::var(CREATES) {
        dies_in_a_child(&how);
    }
    for how in ["fork", "vfork", "clone", "clone3"] {
        let mut doctor = Command::new(env!("CARGO_BIN_EXE_xfdctl"));
        let test = ["a_child_dies_of_the_stack_that_it_inherits", "--exact", "--nocapture"];
        doctor.args(["doctor", "--json", "--"]).arg(std::env::current_exe().unwrap()).args(test).env(CREATES, how);
        let output = String::from_utf8(doctor.output().unwrap().stdout).unwrap();
        let said = output.lines().find(|line| line.starts_with("{\"about\":\"program\",\"state\":\"wrong\""));
        let why = "the frame of SIGUSR1 does not fit on its alternate signal stack of ";
        let is_said = said.is_some_and(|said| said.contains("died of SIGSEGV") && said.contains(why));
        assert!(is_said, "{how}: {output}");
    }
}

/// Sets up an alternate stack, and creates a child that fills it with signal frames.
fn dies_in_a_child(how: &str) -> ! {
    extern "C" fn again(_: libc::c_int) {
        // SAFETY: raise() is async-signal-safe.
        unsafe { libc::raise(libc::SIGUSR1) };
    }
    extern "C" fn dies(_: *mut libc::c_void) -> libc::c_int {
        again(0);
        0
    }
    let mut of_child = vec![0_u8; 64 << 10];
    // SAFETY: it only reads the auxiliary vector.
    let frame = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) };
    let size = usize::try_from(frame).unwrap() + 4096;
    let stack = libc::stack_t { ss_sp: vec![0_u8; size].leak().as_mut_ptr().cast(), ss_flags: 0, ss_size: size };
    // SAFETY: all zeros is a valid sigaction, the handler is async-signal-safe, and the stack is leaked.
    let is_set = unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = again as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_NODEFER;
        libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()) == 0
            && libc::sigaltstack(&raw const stack, ptr::null_mut()) == 0
    };
    assert!(is_set, "{}", io::Error::last_os_error());
    let top = of_child.as_mut_ptr_range().end.map_addr(|end| end & !15).cast();
    // SAFETY: this thread waits for the child, which uses its own stack, or a copy of this one.
    let child = unsafe {
        match how {
            "fork" => libc::fork(),
            "vfork" => libc::clone(dies, top, libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD, ptr::null_mut()),
            "clone" => libc::clone(dies, top, 0, ptr::null_mut()),
            _ => {
                let mut args: libc::clone_args = mem::zeroed();
                args.exit_signal = libc::SIGCHLD as u64;
                let child = libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args));
                libc::pid_t::try_from(child).unwrap_or(-1)
            }
        }
    };
    if child == 0 {
        dies(ptr::null_mut());
    }
    let mut status = 0;
    // SAFETY: waitpid() only writes `status`, and _exit() ends this process.
    unsafe {
        let is_dead = libc::waitpid(child, &raw mut status, libc::__WALL) == child && libc::WIFSIGNALED(status);
        libc::_exit(if is_dead { 1 } else { 99 })
    }
}
