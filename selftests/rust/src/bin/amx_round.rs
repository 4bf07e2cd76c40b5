// SPDX-License-Identifier: GPL-2.0
//! One round through everything that the module is involved in, in a few processes: permission, first use, a
//! signal with live tiles, a tracer that writes them, exec, exit. Repeats with `--until-line`.

use anyhow::{bail, ensure, Context};
use clap::Parser;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;
use xcomp::Feature;
use xfd_selftests::sys::{self, End, Exec};
use xfd_selftests::worker::checked_tiles;

/// Uses tiles in many ways, each once.
#[derive(Parser)]
struct Arguments {
    /// Repeats until standard input has a line or ends, resting in between.
    #[arg(long)]
    until_line: bool,

    /// Execs only from processes without tiles, since the kernel's own exec leaks enlarged buffers.
    #[arg(long)]
    small_exec: bool,

    /// What exec starts: asks for permission, uses tiles, and exits.
    #[arg(long, hide = true)]
    after_exec: bool,
}

static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.after_exec {
        return first_use(3);
    }
    if arguments.until_line {
        thread::spawn(|| {
            let _ = io::stdin().read_line(&mut String::new());
            STOP.store(true, Relaxed);
        });
    }
    let mut rounds = 0;
    loop {
        traced().with_context(|| format!("traced, after {rounds} rounds"))?;
        execs(arguments.small_exec).with_context(|| format!("exec, after {rounds} rounds"))?;
        rounds += 1;
        if !arguments.until_line || STOP.load(Relaxed) {
            println!("right: {rounds} rounds");
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn first_use(number: u64) -> anyhow::Result<()> {
    xcomp::request(Feature::TILE_DATA).context("permission")?;
    ensure!(
        xcomp::permitted()?.contains(Feature::TILE_DATA),
        "permitted, but not reported as such"
    );
    checked_tiles(number, || Ok(()))
}

extern "C" fn nothing(_: i32) {}

/// A child whose tiles are interrupted by a signal and written by a tracer.
fn traced() -> anyhow::Result<()> {
    let child = sys::fork()?;
    if child == 0 {
        let result = xcomp::request(Feature::TILE_DATA)
            .context("permission")
            .and_then(|()| checked_tiles(1, stops));
        end(result);
    }
    let (_, stopped) = sys::wait(child, 0)?;
    if !matches!(stopped, End::Stopped(_)) {
        bail!("the child: {stopped:?} where it should have stopped");
    }
    let mut area = vec![0; 16 << 10];
    let size = sys::get_xstate(child, &mut area).context("reading its registers")?;
    sys::set_xstate(child, &area[..size]).context("writing its registers")?;
    sys::ptrace(libc::PTRACE_CONT, child, 0)?;
    ended(child)
}

fn stops() -> anyhow::Result<()> {
    sys::on_signal(libc::SIGUSR1, nothing)?;
    ensure!(
        sys::signal_thread(sys::tid(), libc::SIGUSR1),
        "cannot signal itself"
    );
    sys::ptrace(libc::PTRACE_TRACEME, 0, 0)?;
    ensure!(sys::signal_thread(sys::tid(), libc::SIGSTOP), "no stop");
    Ok(())
}

/// A child that executes another program, with tiles or before it has any.
fn execs(small: bool) -> anyhow::Result<()> {
    let after = Exec::this_program(&["--after-exec"]);
    let child = sys::fork()?;
    if child == 0 {
        let result = if small { Ok(()) } else { first_use(2) };
        end(result.and_then(|()| Err(after.run()).context("exec")));
    }
    ended(child)
}

fn end(result: anyhow::Result<()>) -> ! {
    if let Err(error) = &result {
        eprintln!("amx_round: {error:#}");
    }
    sys::exit_now(i32::from(result.is_err()))
}

fn ended(child: i32) -> anyhow::Result<()> {
    let (_, end) = sys::wait(child, 0)?;
    ensure!(end == End::Exit(0), "the child: {end:?}");
    Ok(())
}
