// SPDX-License-Identifier: GPL-2.0
//! `machine demo`: boots the machine and shows how the module handles a first use of AMX.

use std::time::Duration;

use anyhow::Result;

use crate::boot::console::Shown;
use crate::boot::machine::{How, Machine, Settings};
use crate::boot::verdict::{self, FAIL, NO_START};
use crate::piece::module::MODULE;
use crate::piece::project::Project;
use crate::workshop::progress::note;

/// The script that init runs in the guest.
const SCRIPT: &str = "demo.sh";
/// The programs that the script runs: ours, and one that uses Debian's oneDNN.
const PROGRAM: &str = "amx_demo";
const SOFTWARE: &str = "onednn_products";

/// Prepares everything, boots with the module and shows the demonstration.
pub fn demo(project: &Project) -> Result<u8> {
    let machine = Machine::prepare(project)?;
    let (module, programs) = machine.module_and_programs(true)?;
    let mut files =
        machine.guest(&Settings::Tests(vec![SCRIPT.into()]), module.as_ref(), module.as_ref().map(|_| MODULE))?;
    programs.install(SCRIPT, &mut files)?;
    programs.install(PROGRAM, &mut files)?;
    programs.install(SOFTWARE, &mut files)?;
    programs.install_software(SOFTWARE, &mut files)?;
    let how = How {
        name: "demo",
        cpus: 1,
        memory_mib: 1024,
        cmdline: "",
        quiet: Duration::from_secs(120),
        total: Duration::from_secs(600),
        show_console: false,
        fast_strings: false,
        with: &[],
        without: &[],
        terminal: None,
    };
    note(&format!("demo: booting the stock kernel {} in the emulated AMX machine", machine.kernel.release()));
    let mut shown = Shown::default();
    let report = machine.boot(&files, &how, |event| shown.take(event))?;
    let Shown { status, trouble, .. } = shown;
    let console = report.log.display();
    if let Some(why) = verdict::reason(&report.end, &report.problems).or(trouble) {
        note(&format!("demo: {why}; console log: {console}"));
        return Ok(verdict::status(&report.end, &report.problems).unwrap_or(NO_START));
    }
    if status != Some(0) {
        note(&format!("demo: the demonstration ended with status {}; console log: {console}", status.unwrap_or(-1)));
        return Ok(FAIL);
    }
    Ok(verdict::PASS)
}
