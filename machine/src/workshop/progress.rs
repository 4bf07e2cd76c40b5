// SPDX-License-Identifier: GPL-2.0
//! Shows the progress of long steps on stderr: spinners on a terminal, otherwise plain lines.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

fn bars() -> Option<&'static MultiProgress> {
    static BARS: OnceLock<Option<MultiProgress>> = OnceLock::new();
    BARS.get_or_init(|| std::io::stderr().is_terminal().then(MultiProgress::new)).as_ref()
}

/// Prints one line without disturbing the spinners.
pub fn note(line: &str) {
    match bars() {
        Some(bars) => bars.suspend(|| eprintln!("{line}")),
        None => eprintln!("{line}"),
    }
}

/// Runs `print`, which writes to stdout, without disturbing the spinners.
pub fn suspended(print: impl FnOnce()) {
    match bars() {
        Some(bars) => bars.suspend(print),
        None => print(),
    }
}

/// A long step in progress.
pub struct Step {
    name: String,
    start: Instant,
    bar: Option<ProgressBar>,
}

impl Step {
    /// Announces a step.
    pub fn start(name: &str, what: &str) -> Step {
        let bar = bars().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            bar.set_style(ProgressStyle::with_template("{spinner} {prefix}: {wide_msg} [{elapsed}]").unwrap());
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let step = Step { name: name.into(), start: Instant::now(), bar };
        step.now(what);
        step
    }

    /// Shows what is being done now.
    pub fn now(&self, what: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(what.to_owned()),
            None => eprintln!("{}: {what}", self.name),
        }
    }

    /// Ends the step, and prints how long it took.
    pub fn done(self) {
        note(&format!("{}: ready after {} s", self.name, self.start.elapsed().as_secs()));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
