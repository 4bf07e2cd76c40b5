// SPDX-License-Identifier: GPL-2.0
//! Sections of kernel code that own the FPU registers: the sample module begins and ends one on
//! behalf of the task writing to its file. Reading the file shows the last begin's and end's ticks.

use super::clock::{Clock, Values};
use super::report;
use super::tasks::{less, typical};
use crate::tile::{self, Tiles};
use anyhow::Context;
use std::fs;
use std::fs::File;
use std::io::Write;
use std::thread;

const SAMPLE: &str = "/proc/xfd_kernel_tiles";

/// What to write for a section, which code provides it, and its group of rows.
const SECTIONS: [(&str, &str, &str); 2] = [
    ("fpu", "stock", "kernel_fpu"),
    ("tiles", "module", "kernel_tiles"),
];

/// The cost of a section, from its begin until the thread has its registers again: `plain` in the context of
/// a thread without tiles, `amx` of one with eight live tiles; `begin` and `end` are parts of the former.
/// `kernel_tiles` is the module's section, `kernel_fpu` the kernel's own, without tiles.
///
/// # Errors
///
/// The sample is not loaded.
pub fn sections(clock: &Clock, count: usize) -> anyhow::Result<()> {
    for (section, path, group) in SECTIONS {
        let plain = thread::scope(|scope| scope.spawn(|| one_kind(clock, section, count)).join());
        let plain = plain.ok().context("a thread panicked")??;
        let mut tiles = Tiles::configure();
        tiles.load_all(&tile::content(1));
        let amx = one_kind(clock, section, count)?;
        drop(tiles);
        report::spans_of(path, &format!("{group}.plain"), clock, &plain.spans);
        report::spans_of(path, &format!("{group}.amx"), clock, &amx.spans);
        let unit = clock.units()[0];
        report::values_of(path, &format!("{group}.begin"), unit, &plain.begins);
        report::values_of(path, &format!("{group}.end"), unit, &plain.ends);
    }
    Ok(())
}

/// The results for one kind of section: total cost, and the ticks of each begin and end.
struct Measured {
    spans: Vec<Values>,
    begins: Vec<u64>,
    ends: Vec<u64>,
}

/// Subtracts the cost of the same number of writes without a section.
fn one_kind(clock: &Clock, section: &str, count: usize) -> anyhow::Result<Measured> {
    let nothing = writes(clock, "nothing", count)?;
    let mut with = writes(clock, section, count)?;
    let own = typical(clock, &nothing.spans);
    for span in &mut with.spans {
        *span = less(span, &own);
    }
    for (ticks, own) in [
        (&mut with.begins, nothing.begins),
        (&mut with.ends, nothing.ends),
    ] {
        let own = own.into_iter().min().unwrap_or(0);
        for ticks in ticks {
            *ticks = ticks.saturating_sub(own);
        }
    }
    Ok(with)
}

fn writes(clock: &Clock, what: &str, count: usize) -> anyhow::Result<Measured> {
    let mut file = File::options().write(true).open(SAMPLE).context(SAMPLE)?;
    let mut measured = Measured {
        spans: Vec::new(),
        begins: Vec::new(),
        ends: Vec::new(),
    };
    // The first rounds fault in pages and warm cache lines for later ones.
    for round in 0..count + 4 {
        let mark = clock.mark();
        let written = file.write(what.as_bytes());
        let values = clock.since(&mark);
        written.with_context(|| format!("{what} to {SAMPLE}"))?;
        if round >= 4 {
            let text = fs::read_to_string(SAMPLE).context(SAMPLE)?;
            measured.spans.push(values);
            measured.begins.push(ticks(&text, "begin_ticks")?);
            measured.ends.push(ticks(&text, "end_ticks")?);
        }
    }
    Ok(measured)
}

fn ticks(text: &str, name: &str) -> anyhow::Result<u64> {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.with_context(|| format!("{SAMPLE} has no {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_have_names() {
        let text = "products 3\nbegin_ticks 183\nend_ticks 64\n";
        assert_eq!(ticks(text, "end_ticks").unwrap(), 64);
        assert!(ticks(text, "ticks").is_err());
    }
}
