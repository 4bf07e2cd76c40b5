// SPDX-License-Identifier: GPL-2.0
//! /proc/xfd/tasks: what the module shows about each thread (Documentation/ABI/procfs-xfd).

use anyhow::{bail, ensure, Context};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::time::{Duration, Instant};
use std::{str::FromStr, thread};

/// The file.
pub const PATH: &str = "/proc/xfd/tasks";
const COLUMNS: &str =
    "pid tid state permitted guest_permitted bytes guest_bytes since_ms cgroup comm";
const STATES: [&str; 6] = ["none", "permitted", "running", "live", "idle", "reclaimed"];
const PATIENCE: Duration = Duration::from_secs(20);

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The process.
    pub pid: i32,
    /// The thread.
    pub tid: i32,
    /// One of the six states.
    pub state: String,
    /// The process's permission.
    pub permitted: u64,
    /// Its guest permission.
    pub guest_permitted: u64,
    /// The size of the thread's own buffer.
    pub bytes: u64,
    /// The size of the buffer of the vCPU it runs.
    pub guest_bytes: u64,
    /// Milliseconds since it was last scheduled in.
    pub since_ms: u64,
    /// The inode of its cgroup's folder.
    pub cgroup: u64,
    /// Its name, escaped.
    pub comm: String,
}

impl FromStr for Row {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let fields: Vec<&str> = line.splitn(10, ' ').collect();
        let &[pid, tid, state, permitted, guest, bytes, guest_bytes, since, cgroup, comm] =
            fields.as_slice()
        else {
            bail!("{} columns: {line:?}", fields.len());
        };
        ensure!(STATES.contains(&state), "state {state:?}");
        ensure!(pid != "0" && tid != "0", "a thread that is gone");
        Ok(Row {
            pid: pid.parse()?,
            tid: tid.parse()?,
            state: state.into(),
            permitted: mask(permitted)?,
            guest_permitted: mask(guest)?,
            bytes: bytes.parse()?,
            guest_bytes: guest_bytes.parse()?,
            since_ms: since.parse()?,
            cgroup: cgroup.parse()?,
            comm: comm.into(),
        })
    }
}

fn mask(text: &str) -> anyhow::Result<u64> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).with_context(|| format!("mask {text:?}"))
}

/// The file's lines, by thread.
///
/// # Errors
///
/// The file cannot be read, its header or another line is invalid, or a thread appears twice.
pub fn parsed(text: &str) -> anyhow::Result<BTreeMap<i32, Row>> {
    let mut lines = text.lines();
    ensure!(lines.next() == Some(COLUMNS), "the first line: {text:.100}");
    let mut rows = BTreeMap::new();
    for line in lines {
        let row: Row = line.parse().with_context(|| format!("line {line:?}"))?;
        if let Some(twice) = rows.insert(row.tid, row) {
            bail!("twice: {twice:?}");
        }
    }
    Ok(rows)
}

/// What the file shows the caller.
///
/// # Errors
///
/// As for [`parsed`].
pub fn all() -> anyhow::Result<BTreeMap<i32, Row>> {
    parsed(&fs::read_to_string(PATH).context(PATH)?)
}

/// What `file` shows, read `at_once` bytes at a time from its current position.
///
/// # Errors
///
/// As for [`parsed`].
pub fn in_pieces(mut file: File, at_once: usize) -> anyhow::Result<BTreeMap<i32, Row>> {
    let (mut text, mut piece) = (Vec::new(), vec![0; at_once]);
    loop {
        match file.read(&mut piece)? {
            0 => return parsed(std::str::from_utf8(&text)?),
            read => text.extend_from_slice(&piece[..read]),
        }
    }
}

/// Waits until the row for `tid` has `state`, and returns it.
///
/// # Errors
///
/// It never has that state.
pub fn wait_for(tid: i32, state: &str) -> anyhow::Result<Row> {
    let begin = Instant::now();
    loop {
        let row = all()?.remove(&tid);
        match row {
            Some(row) if row.state == state => return Ok(row),
            other if begin.elapsed() > PATIENCE => bail!("waited for {state}: {other:?}"),
            _ => thread::sleep(Duration::from_millis(1)),
        }
    }
}
