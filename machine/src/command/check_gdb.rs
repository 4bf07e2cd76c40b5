// SPDX-License-Identifier: GPL-2.0
//! Tests `machine run --gdb` with the host's gdb: breakpoints in the module and in the kernel, and what it shows there.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{ensure, Context, Result};

use crate::boot::machine::Machine;
use crate::piece::project::Project;
use crate::workshop::child;
use crate::workshop::count::Count;
use crate::workshop::progress::Step;

/// The name of this test in `machine check`.
pub const NAME: &str = "gdb";

/// What is typed after gdb has connected: the machine stops once before the program starts.
const COMMANDS: [&str; 13] = [
    "continue",
    "xfd-symbols",
    "break xfd_handle_nm",
    "continue",
    "backtrace",
    "print/x $xfd_err",
    "info symbol $rip",
    "delete",
    "tbreak do_exit",
    "continue",
    "backtrace",
    "info symbol $rip",
    "detach",
];
/// What gdb then says, in this order.
const ANSWERS: [&str; 12] = [
    "SIGTRAP",
    "add symbol table from file",
    "Breakpoint 1 at",
    "Breakpoint 1, ",
    "xfd_handle_nm",
    "xfd_nm_entry",
    "asm_exc_device_not_available",
    "= 0x40000",
    " of ",
    " in do_exit",
    "do_group_exit",
    "do_exit in section",
];

/// The first of [`ANSWERS`] that is missing.
fn missing(said: &str) -> Option<&'static str> {
    let mut rest = said;
    ANSWERS.into_iter().find(|answer| match rest.split_once(answer) {
        Some((_, after)) => {
            rest = after;
            false
        }
        None => true,
    })
}

/// Ends the run, whatever happens.
struct Run(Child);

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn session(project: &Project) -> Result<()> {
    // Builds the emulator with the debugger's socket.
    drop(Machine::prepare(project)?.with_debugger()?);
    let scratch = project.cache.scratch(NAME)?;
    let mut run = Command::new("/proc/self/exe");
    run.current_dir(scratch.path()).env("XFD_CACHE", project.cache.root());
    run.args(["run", "--module", "--gdb", "--console", "--timeout", "600", "amx_demo"]);
    let mut run = Run(run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?);
    let mut lines = BufReader::new(run.0.stderr.take().context("no standard error")?).split(b'\n');
    let mut line_with = |what: &str| -> Result<String> {
        let found = lines.by_ref().map_while(Result::ok).map(|line| String::from_utf8_lossy(&line).into_owned());
        found.into_iter().find(|line| line.contains(what)).with_context(|| format!("the run ended before {what:?}"))
    };
    let line = line_with("gdb -x ")?;
    let (_, script) = line.split_once("gdb -x ").unwrap_or_default();
    // Once the kernel says something, the emulator has its socket.
    line_with("[ ")?;
    let log = project.cache.log(NAME);
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-x", script]).args(COMMANDS.iter().flat_map(|command| ["-ex", command]));
    let to = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    gdb.stdin(Stdio::null()).stdout(to.try_clone()?).stderr(to);
    let mut gdb = child::spawn(&mut gdb)?;
    // The machine waits if nobody reads what its console says.
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| lines.for_each(drop));
        gdb.wait().and_then(|_| run.0.wait())
    })?;
    let said = std::fs::read_to_string(&log)?;
    let missing = missing(&said);
    ensure!(missing.is_none(), "gdb did not say {:?}; log: {}", missing.unwrap_or_default(), log.display());
    ensure!(ended.success(), "the run ended with {ended} after gdb had left; log: {}", log.display());
    Ok(())
}

/// Runs a session with gdb, if there is one.
///
/// # Errors
///
/// None: what fails is in the count.
pub fn check(project: &Project) -> Result<Count> {
    let mut count = Count::default();
    if !child::has("gdb") {
        count.skip("a session with gdb: there is no gdb on this host; apt-get install gdb");
        return Ok(count);
    }
    let step = Step::start(NAME, "debugging the kernel and the module");
    match session(project) {
        Ok(()) => count.pass_of("a session with gdb"),
        Err(why) => count.fail(format!("a session with gdb: {why:#}")),
    }
    step.done();
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_in_order() {
        let whole = ANSWERS.join("\n");
        assert_eq!(missing(&whole), None);
        assert_eq!(missing(&whole.replace("xfd_nm_entry", "??")), Some("xfd_nm_entry"));
        assert_eq!(missing(&whole.replacen("SIGTRAP", "", 1)), Some("SIGTRAP"));
        assert_eq!(missing(""), Some("SIGTRAP"));
    }
}
