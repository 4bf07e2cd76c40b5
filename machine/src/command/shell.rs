// SPDX-License-Identifier: GPL-2.0
//! `machine shell`: an interactive shell in the machine.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::pty::openpty;
use nix::sys::termios::{cfmakeraw, tcgetattr, tcsetattr, SetArg, Termios};
use nix::unistd::ttyname;

use crate::boot::console::Event;
use crate::boot::machine::{check_cpus, How, Machine, Settings};
use crate::boot::verdict;
use crate::piece::module::MODULE;
use crate::piece::project::Project;
use crate::workshop::progress::note;

/// Ctrl-]: switches the machine off.
const ESCAPE: u8 = 0x1d;
/// Ctrl-D: the end of input.
const END: u8 = 0x04;

/// The terminal's settings before raw mode.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Gives the terminal back as it was; may be called at any time.
pub fn restore_terminal() {
    if let Ok(mut before) = BEFORE.try_lock() {
        if let Some(before) = before.take() {
            let _ = tcsetattr(std::io::stdin().as_fd(), SetArg::TCSADRAIN, &before);
        }
    }
}

fn raw_terminal() -> Result<()> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Ok(());
    }
    let before = tcgetattr(stdin.as_fd())?;
    let mut raw = before.clone();
    cfmakeraw(&mut raw);
    *BEFORE.lock().unwrap_or_else(|e| e.into_inner()) = Some(before);
    tcsetattr(stdin.as_fd(), SetArg::TCSADRAIN, &raw).context("cannot set the terminal to raw mode")
}

/// Boots into a shell; its exit status is the shell's.
pub fn shell(project: &Project, cpus: u8, memory_mib: u32, module: bool, cmdline: &str) -> Result<u8> {
    check_cpus(cpus)?;
    let machine = Machine::prepare(project)?;
    let (module, programs) = machine.module_and_programs(module)?;
    let (rows, columns) = console::Term::stdout().size();
    let term = std::env::var("TERM").unwrap_or_else(|_| "linux".into());
    let mut files =
        machine.guest(&Settings::Shell(rows, columns, term), module.as_ref(), module.as_ref().map(|_| MODULE))?;
    for name in programs.for_tests(&[]) {
        programs.install(name, &mut files)?;
    }

    let pty = openpty(None, None).context("cannot open a pseudo-terminal")?;
    let device = ttyname(&pty.slave)?;
    let master = File::from(pty.master);
    let mut input = Some(master.try_clone()?);
    let how = How {
        name: "shell",
        cpus,
        memory_mib,
        cmdline,
        quiet: Duration::MAX,
        total: Duration::MAX,
        show_console: false,
        fast_strings: false,
        with: &[],
        without: &[],
        terminal: Some((device, master)),
    };
    note("booting; the shell ends with exit, Ctrl-] switches the machine off at once");
    let mut status = 0;
    let mut trouble = None;
    let report = machine.boot(&files, &how, |event| match event {
        Event::Begin(_) => {
            if let (Ok(()), Some(input)) = (raw_terminal(), input.take()) {
                std::thread::spawn(move || feed(input));
            }
        }
        Event::Output(bytes) => {
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(&bytes).and_then(|()| out.flush());
        }
        Event::End(_, ended) => {
            restore_terminal();
            status = ended;
        }
        Event::LoadFailed(why) => trouble = Some(why),
        _ => {}
    });
    restore_terminal();
    let report = report?;
    if let Some(why) = trouble {
        note(&format!("machine: the module cannot be loaded: {why}"));
    }
    if let Some(reason) = verdict::reason(&report.end, &report.problems) {
        note(&format!("machine: {reason}; console log: {}", report.log.display()));
    }
    Ok(match verdict::status(&report.end, &report.problems) {
        Some(code) => verdict::RUN_SHIFT + code,
        None => u8::try_from(status).unwrap_or(u8::MAX),
    })
}

/// Carries what is typed to the guest.
fn feed(mut to: File) {
    let stdin = std::io::stdin();
    let terminal = stdin.is_terminal();
    let mut buffer = [0; 256];
    loop {
        let n = match stdin.lock().read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(n) => n,
        };
        if terminal && buffer[..n].contains(&ESCAPE) {
            restore_terminal();
            eprintln!("\nmachine: switched off");
            std::process::exit(i32::from(verdict::INTERRUPTED));
        }
        if to.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
    let _ = to.write_all(&[END]);
}
