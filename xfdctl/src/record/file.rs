// SPDX-License-Identifier: GPL-2.0
//! A record file: lines of JSON. The first line is a header and the last one an end marker; in between are events, as
//! printed by `xfdctl trace --json`. A file without an end marker was cut short.

use crate::events::{Event, What};
use crate::module::Module;
use crate::proc;
use anyhow::{bail, Context};
use nix::time::{clock_gettime, ClockId};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Write};
use std::path::Path;

/// The default name of the file.
pub const DEFAULT: &str = "xfdctl.record";
/// The format version, which changes when older programs would misread the file.
const FORMAT: u32 = 1;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub xfd_record: u32,
    /// The version of xfdctl.
    #[serde(default)]
    pub xfdctl: String,
    /// The kernel's release.
    #[serde(default)]
    pub kernel: String,
    /// The module's version, if it has one.
    #[serde(default)]
    pub module: Option<String>,
    /// The clock used for the events' times.
    #[serde(default)]
    pub clock: String,
    /// When the record began, in nanoseconds of that clock.
    #[serde(default)]
    pub began_ns: u64,
    /// When the record began, in nanoseconds of `CLOCK_REALTIME`.
    #[serde(default)]
    pub began_realtime_ns: u64,
    /// The number of CPUs online.
    #[serde(default)]
    pub cpus: u64,
    /// The recorded events.
    #[serde(default)]
    pub events: Vec<String>,
}

/// The last line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The number of events in the file.
    #[serde(default)]
    pub events: u64,
    /// The number of lost events, as far as the kernel knows.
    #[serde(default)]
    pub lost: u64,
    /// The number of events whose thread ended before it was known whether it was selected.
    #[serde(default)]
    pub unidentified: u64,
}

#[derive(Serialize, Deserialize)]
struct EndLine {
    end: End,
}

impl Header {
    /// The header of a record that begins now.
    pub fn now(root: &Path, events: Vec<&str>) -> Self {
        let module = Module::read(root);
        Self {
            xfd_record: FORMAT,
            xfdctl: env!("CARGO_PKG_VERSION").into(),
            kernel: proc::kernel_release(root),
            module: module.and_then(|module| module.version),
            clock: "CLOCK_MONOTONIC".into(),
            began_ns: now(ClockId::CLOCK_MONOTONIC),
            began_realtime_ns: now(ClockId::CLOCK_REALTIME),
            cpus: std::thread::available_parallelism().map_or(0, |cpus| cpus.get() as u64),
            events: events.into_iter().map(str::to_owned).collect(),
        }
    }
}

fn now(clock: ClockId) -> u64 {
    clock_gettime(clock)
        .ok()
        .and_then(|time| u64::try_from(std::time::Duration::from(time).as_nanos()).ok())
        .unwrap_or(0)
}

/// Writes a record.
pub struct Writer<W> {
    out: W,
    end: End,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    pub fn begin(out: W, header: &Header) -> io::Result<Self> {
        let mut writer = Self { out, end: End::default() };
        writer.write(&(serde_json::to_string(header)? + "\n"))?;
        Ok(writer)
    }

    /// Writes events. If the file is cut short, only the last line is incomplete.
    pub fn add(&mut self, events: &[Event]) -> io::Result<()> {
        let mut text = String::new();
        for event in events {
            match event.what {
                What::Lost { count } => self.end.lost += count,
                _ => self.end.events += 1,
            }
            text += &serde_json::to_string(event)?;
            text.push('\n');
        }
        self.write(&text)
    }

    /// Writes the end.
    pub fn end(mut self, unidentified: u64) -> io::Result<End> {
        self.end.unidentified = unidentified;
        let line = EndLine { end: self.end.clone() };
        self.write(&(serde_json::to_string(&line)? + "\n"))?;
        Ok(self.end)
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// A record that was read.
#[derive(Debug)]
pub struct Record {
    /// The header.
    pub header: Header,
    /// The events, in order.
    pub events: Vec<Event>,
    /// The end; `None` if the file was cut short.
    pub end: Option<End>,
}

impl Record {
    /// Reads a record written by any version of xfdctl with the same format.
    ///
    /// # Errors
    ///
    /// Fails if it is not a record, or has a newer format. The message contains the line number.
    pub fn read(mut text: impl BufRead) -> anyhow::Result<Self> {
        let (mut number, mut line) = (1_u64, Vec::new());
        let mut next = |line: &mut Vec<u8>| -> io::Result<bool> {
            line.clear();
            Ok(text.read_until(b'\n', line)? != 0)
        };
        next(&mut line)?;
        let header: Header = match serde_json::from_slice(&line) {
            Ok(header) => header,
            Err(_) => bail!("line 1: this is not a record of xfdctl"),
        };
        if header.xfd_record != FORMAT {
            bail!(
                "line 1: the record has format {}, and this xfdctl reads format {FORMAT}: use a newer one",
                header.xfd_record
            );
        }
        let mut record = Self { header, events: Vec::new(), end: None };
        while next(&mut line)? {
            number += 1;
            let is_whole = line.ends_with(b"\n");
            if record.end.is_some() {
                bail!("line {number}: there is more data after the end");
            }
            match serde_json::from_slice::<EndLine>(&line) {
                Ok(EndLine { end }) if is_whole => record.end = Some(end),
                _ => match serde_json::from_slice(&line) {
                    Ok(event) => record.events.push(event),
                    // The record was cut short in this line.
                    Err(_) if !is_whole => break,
                    Err(error) => Err(error).with_context(|| format!("line {number}: this is not an event"))?,
                },
            }
        }
        record.events.sort_by_key(|event| event.ns);
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::event::Who;
    use proptest::prelude::*;

    fn sample() -> (Vec<u8>, Vec<Event>) {
        let who = |tid| Who { tid, tgid: Some(1), comm: Some("a\nb".into()), cgroup: None };
        let events = vec![
            Event { ns: 1, cpu: 0, who: who(2), what: What::Reclaimed { bytes: 3 } },
            Event { ns: 2, cpu: 0, who: Who::default(), what: What::Lost { count: 4 } },
            Event { ns: 3, cpu: 1, who: who(5), what: What::Regrown { bytes: 6 } },
        ];
        let mut text = Vec::new();
        let mut writer = Writer::begin(&mut text, &Header::now(Path::new("/"), vec!["xfd_reclaimed"])).unwrap();
        writer.add(&events).unwrap();
        assert_eq!(writer.end(7).unwrap(), End { events: 2, lost: 4, unidentified: 7 });
        (text, events)
    }

    fn why(text: &[u8]) -> String {
        format!("{:#}", Record::read(text).unwrap_err())
    }

    #[test]
    fn what_is_written_is_read() {
        let (text, events) = sample();
        let record = Record::read(text.as_slice()).unwrap();
        assert_eq!((record.events, record.end.unwrap().unidentified), (events, 7));
        assert_eq!((record.header.xfd_record, record.header.clock.as_str()), (1, "CLOCK_MONOTONIC"));
    }

    #[test]
    fn a_record_that_is_cut_anywhere_is_read() {
        let (text, events) = sample();
        let first = text.iter().position(|&byte| byte == b'\n').unwrap();
        let ends: Vec<_> = (0..text.len()).filter(|&at| text[at] == b'\n').collect();
        for cut in first..text.len() {
            let record = Record::read(&text[..cut]).unwrap();
            assert!(record.end.is_none(), "{cut}");
            let whole = ends.iter().filter(|&&end| end <= cut).count() - 1;
            assert_eq!(record.events, events[..whole.min(3)], "{cut}");
        }
        assert!(why(&text[..first - 1]).starts_with("line 1: "));
    }

    #[test]
    fn garbage_has_a_line_number() {
        let (text, _) = sample();
        let text = String::from_utf8(text).unwrap();
        assert!(why(b"").starts_with("line 1: this is not a record"));
        assert!(why(b"{}\n").starts_with("line 1: this is not a record"));
        let newer = text.replacen("\"xfd_record\":1", "\"xfd_record\":2", 1);
        assert!(why(newer.as_bytes()).contains("format 2, and this xfdctl reads format 1"));
        let broken = text.replacen("xfd_regrown", "xfd_regrown\"\"", 1);
        assert!(why(broken.as_bytes()).starts_with("line 4: this is not an event: "), "{}", why(broken.as_bytes()));
        assert!(why(&[text.as_bytes(), b"more\n"].concat()).starts_with("line 6: there is more data"));
    }

    #[test]
    fn unknown_names_are_ignored() {
        let text =
            "{\"xfd_record\":1,\"new\":1}\n{\"ns\":1,\"cpu\":0,\"event\":\"xfd_dreamt\"}\n{\"end\":{\"more\":2}}\n";
        let record = Record::read(text.as_bytes()).unwrap();
        assert_eq!((record.events[0].what.clone(), record.end), (What::Other, Some(End::default())));
    }

    proptest! {
        #[test]
        fn nothing_panics(at in 0..600_usize, bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            let (mut text, _) = sample();
            let at = at.min(text.len());
            let end = (at + bytes.len()).min(text.len());
            text.splice(at..end, bytes);
            let _ = Record::read(text.as_slice());
        }
    }
}
