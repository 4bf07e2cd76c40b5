// SPDX-License-Identifier: GPL-2.0
//! The `xfd:xfd_first_use` trace event: one line per #NM that the module handled.

use crate::tracefs;
use anyhow::Context;
use std::collections::HashMap;
use std::fs;

/// This program's own tracing instance, so as not to disturb other users of tracing.
const INSTANCE: &str = "instances/xfd_demo";
const NAME: &str = "xfd_first_use";

/// One first use, as seen by the handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstUse {
    /// The thread.
    pub tid: u32,
    /// The CPU on which the handler finished.
    pub cpu: u32,
    /// `IA32_XFD_ERR` on entry.
    pub xfd_err: u64,
    /// `IA32_XFD_ERR` after the handler wrote it.
    pub xfd_err_after: u64,
    /// The features that the process may use, one bit per component.
    pub permitted: u64,
    /// Size in bytes of the thread's XSAVE buffer before.
    pub size_before: u64,
    /// Size in bytes of the thread's XSAVE buffer after.
    pub size_after: u64,
    /// `IA32_XFD` before.
    pub xfd_before: u64,
    /// `IA32_XFD` after.
    pub xfd_after: u64,
    /// `resume`, `sigill` or `sigsegv`.
    pub verdict: String,
    /// TSC ticks from entry to end.
    pub tsc: u64,
}

impl FirstUse {
    /// Whether the process may use all the features named by `IA32_XFD_ERR`.
    #[must_use]
    pub fn is_permitted(&self) -> bool {
        self.xfd_err & !self.permitted == 0
    }
}

/// Records first uses, from [`Recording::start`] until this is dropped.
pub struct Recording(());

impl Recording {
    /// Starts recording.
    ///
    /// # Errors
    ///
    /// The caller is not root, or there is no such event: the module is not loaded.
    pub fn start() -> anyhow::Result<Self> {
        let path = tracefs::path(INSTANCE);
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        let recording = Recording(());
        tracefs::write_line(&format!("{INSTANCE}/events/xfd/{NAME}/enable"), "1\n")
            .context("no trace event xfd:xfd_first_use: is the module loaded?")?;
        Ok(recording)
    }

    /// What was recorded, in order.
    ///
    /// # Errors
    ///
    /// The record cannot be read, or one of its lines cannot be parsed.
    pub fn read(&self) -> anyhow::Result<Vec<FirstUse>> {
        let text = tracefs::read(&format!("{INSTANCE}/trace"))?;
        text.lines().filter_map(parse).collect()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // An instance that cannot be removed is harmless; the next start will report it.
        let _ = tracefs::write_line(&format!("{INSTANCE}/events/xfd/{NAME}/enable"), "0\n");
        let _ = fs::remove_dir(tracefs::path(INSTANCE));
    }
}

/// The first use described by this line of the record; `None` for any other line.
fn parse(line: &str) -> Option<anyhow::Result<FirstUse>> {
    let (who, what) = line.split_once(&format!(": {NAME}: "))?;
    Some(parse_fields(who, what).with_context(|| format!("cannot parse: {line}")))
}

fn parse_fields(who: &str, what: &str) -> anyhow::Result<FirstUse> {
    // "            comm-123     [000] .....    12.345678"
    let (task, rest) = who.rsplit_once('[').context("no CPU")?;
    let (_, tid) = task.trim().rsplit_once('-').context("no thread")?;
    let (cpu, _) = rest.split_once(']').context("no CPU")?;
    // The name comes last, and may contain anything.
    let (what, _) = what.split_once(" comm=").unwrap_or((what, ""));
    let fields: HashMap<&str, &str> = what
        .split_whitespace()
        .filter_map(|field| field.split_once('='))
        .collect();
    let text = |name: &str| {
        fields
            .get(name)
            .copied()
            .with_context(|| format!("no {name}"))
    };
    let number = |name: &str| {
        let text = text(name)?;
        let number = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        number.with_context(|| format!("{name}={text}"))
    };
    Ok(FirstUse {
        tid: tid.trim().parse()?,
        cpu: cpu.trim().parse()?,
        xfd_err: number("xfd_err")?,
        xfd_err_after: number("xfd_err_after")?,
        permitted: number("permitted")?,
        size_before: number("size_before")?,
        size_after: number("size_after")?,
        xfd_before: number("xfd_before")?,
        xfd_after: number("xfd_after")?,
        verdict: text("verdict")?.to_owned(),
        tsc: number("tsc")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_record_is_understood() {
        let line = "        amx[1]-demo-81   [003] ...1.    12.345678: xfd_first_use: \
                    xfd_err=0x40000 xfd_err_after=0 permitted=0x602e7 size_before=2560 \
                    size_after=10752 xfd_before=0x40000 xfd_after=0 verdict=resume tsc=6700 \
                    tid=81 tgid=80 comm=amx[1]-demo tsc=1";
        let event = parse(line).unwrap().unwrap();
        assert_eq!((event.tid, event.cpu, event.permitted), (81, 3, 0x602e7));
        assert!(event.is_permitted());
        assert_eq!((event.xfd_err, event.xfd_err_after), (0x40000, 0));
        assert_eq!((event.size_before, event.size_after), (2560, 10752));
        assert_eq!((event.xfd_before, event.xfd_after), (0x40000, 0));
        assert_eq!((event.verdict.as_str(), event.tsc), ("resume", 6700));
    }

    #[test]
    fn a_permission_for_something_else_is_none() {
        let line = "amx-81 [000] ..... 1.0: xfd_first_use: xfd_err=0x40000 xfd_err_after=0 \
                    permitted=0x202e7 size_before=2560 size_after=2560 xfd_before=0x40000 \
                    xfd_after=0x40000 verdict=sigill tsc=900";
        assert!(!parse(line).unwrap().unwrap().is_permitted());
    }

    #[test]
    fn a_missing_field_is_an_error_that_names_it() {
        let line = "amx-81 [000] ..... 1.0: xfd_first_use: xfd_err=0x40000";
        let error = parse(line).unwrap().unwrap_err();
        assert!(
            format!("{error:#}").ends_with("no xfd_err_after"),
            "{error:#}"
        );
    }

    #[test]
    fn other_lines_are_passed_over() {
        assert!(parse("# tracer: nop").is_none());
        assert!(parse("amx-81 [000] ..... 1.0: xfd_other: a=1").is_none());
    }
}
