// SPDX-License-Identifier: GPL-2.0
//! `machine shell`: runs an interactive shell in the machine.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::pty::openpty;
use nix::sys::termios::{cfmakeraw, tcgetattr, tcsetattr, SetArg, Termios};
use nix::unistd::ttyname;
use signal_hook::consts::SIGWINCH;

use crate::boot::console::Event;
use crate::boot::machine::{check_cpus, How, Machine, Settings};
use crate::boot::verdict;
use crate::command::with;
use crate::piece::module::MODULE;
use crate::piece::project::Project;
use crate::workshop::progress::note;

/// Ctrl-] switches the machine off.
const ESCAPE: u8 = 0x1d;
/// Ctrl-D ends the input.
const END: u8 = 0x04;

/// The terminal's settings before raw mode.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Restores the terminal's settings; may be called at any time.
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

/// The options of `shell`.
pub struct Options {
    pub cpus: u8,
    pub memory_mib: u32,
    /// Load the module before the shell starts.
    pub module: bool,
    pub cmdline: String,
    pub debugger: bool,
    /// `SRC[:DEST]`
    pub with: Vec<String>,
}

/// Boots into a shell, and returns the shell's exit status.
pub fn shell(project: &Project, options: &Options) -> Result<u8> {
    check_cpus(options.cpus)?;
    let mut machine = Machine::prepare(project)?;
    if options.debugger {
        machine = machine.with_debugger()?;
    }
    let (module, programs) = machine.module_and_programs(true)?;
    let size = console::Term::stdout().size();
    let term = std::env::var("TERM").unwrap_or_else(|_| "linux".into());
    let settings = Settings::Shell(size.0, size.1, term);
    let mut files = machine.guest(&settings, module.as_ref(), options.module.then_some(MODULE))?;
    for name in programs.for_tests(&[]) {
        programs.install(name, &mut files)?;
    }
    for with in &options.with {
        with::add(&mut files, with, "root", options.memory_mib)?;
    }
    files.content("job/banner", 0o644, banner(machine.kernel.release(), options));

    let pty = openpty(None, None).context("cannot open a pseudo-terminal")?;
    let device = ttyname(&pty.slave)?;
    let master = File::from(pty.master);
    let mut input = Some(master.try_clone()?);
    // The third serial port tells the guest the terminal's size.
    let sizes = openpty(None, None).context("cannot open a pseudo-terminal")?;
    machine.config = format!("com3: enabled=1, mode=term, dev={}\n", ttyname(&sizes.slave)?.display());
    let mut sizes_to = Some(File::from(sizes.master));
    let how = How {
        name: "shell",
        cpus: options.cpus,
        memory_mib: options.memory_mib,
        cmdline: &options.cmdline,
        quiet: Duration::MAX,
        total: Duration::MAX,
        show_console: false,
        fast_strings: false,
        with: &[],
        without: &[],
        terminal: Some((device, master)),
    };
    note("booting (about 20 s); Ctrl-] switches the machine off at any time");
    let mut status = 0;
    let mut trouble = None;
    let report = machine.boot(&files, &how, |event| match event {
        Event::Begin(_) => {
            if let (Ok(()), Some(input), Some(sizes)) = (raw_terminal(), input.take(), sizes_to.take()) {
                std::thread::spawn(move || feed(input));
                std::thread::spawn(move || follow_size(sizes, size));
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

/// The first screen: what machine this is, and what to type.
fn banner(release: &str, options: &Options) -> String {
    let Options { cpus, memory_mib, module, .. } = options;
    let cpus = if *cpus == 1 { "1 CPU".into() } else { format!("{cpus} CPUs") };
    let module = if *module { "loaded" } else { "not loaded: the kernel's C code handles AMX" };
    format!(
        "\nLinux {release} on an emulated Sapphire Rapids, {cpus}, {memory_mib} MiB\n\
         Module xfd: {module}\n\n  \
         load          load the module (load FILE: another one from /lib)\n  \
         unload        unload it, or say what is using it\n  \
         ls /tests     test programs, all in PATH: amx_demo, amx_matmul, xcomp_api...\n  \
         xfdctl top    show who uses AMX; xfdctl status: the module's counters\n  \
         dmesg         show the kernel's log\n  \
         exit          leave and unload the module; Ctrl-] switches the machine off\n\n\
         --with files are in /root. Nothing is kept when the machine is switched off.\n\n"
    )
}

/// Tells the guest the terminal's size whenever it changes.
fn follow_size(mut to: File, mut told: (u16, u16)) {
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGWINCH]) else { return };
    loop {
        let size = console::Term::stdout().size();
        if size != told {
            told = size;
            if writeln!(to, "{} {}", size.0, size.1).is_err() {
                return;
            }
        }
        if signals.forever().next().is_none() {
            return;
        }
    }
}

/// Forwards what is typed to the guest.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_fits_on_a_small_screen_and_says_how_to_leave() {
        let options = |module| Options {
            cpus: 4,
            memory_mib: 1024,
            module,
            cmdline: String::new(),
            debugger: false,
            with: Vec::new(),
        };
        for module in [true, false] {
            let text = banner("7.3.4+deb13-cloud-amd64", &options(module));
            assert!(text.lines().count() <= 20 && text.lines().all(|line| line.len() <= 80), "{text}");
            for word in ["7.3.4+deb13-cloud-amd64", "/tests", "unload", "exit", "Ctrl-]", "4 CPUs"] {
                assert!(text.contains(word), "{word}");
            }
            assert_eq!(text.contains("xfd: loaded"), module);
        }
    }
}
