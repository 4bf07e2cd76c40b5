// SPDX-License-Identifier: GPL-2.0
//! The module's trace events. Their records are decoded using the format files in tracefs.

use super::event::{FirstUse, Verdict, What, Who};
use anyhow::Context;
use clap::ValueEnum;
use tracepoint_decode::{PerfByteReader, PerfEventFormat, PerfFieldFormat};

/// The module's trace events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Name {
    /// A first use
    #[value(name = "xfd_first_use")]
    FirstUse,
    /// A thread's buffer was reclaimed
    #[value(name = "xfd_reclaimed")]
    Reclaimed,
    /// A thread got its buffer back
    #[value(name = "xfd_regrown")]
    Regrown,
    /// A vCPU's buffer was enlarged
    #[value(name = "xfd_guest_grown")]
    GuestGrown,
}

impl Name {
    /// All of them.
    pub const ALL: [Name; 4] = [Name::FirstUse, Name::Reclaimed, Name::Regrown, Name::GuestGrown];

    /// Its name in the kernel.
    pub fn word(self) -> &'static str {
        match self {
            Name::FirstUse => "xfd_first_use",
            Name::Reclaimed => "xfd_reclaimed",
            Name::Regrown => "xfd_regrown",
            Name::GuestGrown => "xfd_guest_grown",
        }
    }

    /// Whether it is about the thread that writes it.
    pub fn is_of_writer(self) -> bool {
        matches!(self, Name::FirstUse | Name::GuestGrown)
    }

    fn fields(self) -> &'static [&'static str] {
        match self {
            Name::FirstUse => &[
                "xfd_err",
                "xfd_err_after",
                "permitted",
                "size_before",
                "size_after",
                "xfd_before",
                "xfd_after",
                "verdict",
                "tsc",
            ],
            Name::Reclaimed | Name::Regrown => &["tid", "tgid", "comm", "bytes"],
            Name::GuestGrown => &["xfeatures", "size_before", "size_after"],
        }
    }
}

/// The record format of one event.
#[derive(Debug)]
pub struct Format {
    name: Name,
    format: PerfEventFormat,
}

/// Records are in this machine's byte order.
const BYTES: PerfByteReader = PerfByteReader::new(cfg!(target_endian = "big"));

impl Format {
    /// Parses the text of a format file.
    ///
    /// # Errors
    ///
    /// Fails if it is not a format file, or lacks a field.
    pub fn parse(name: Name, text: &str) -> anyhow::Result<Self> {
        let format = PerfEventFormat::parse(true, "xfd", text).context("cannot parse its format file")?;
        let format = Self { name, format };
        for field in name.fields().iter().chain(&["common_pid"]) {
            format.field(field).with_context(|| format!("it has no field {field}"))?;
        }
        Ok(format)
    }

    /// The event's number, which begins each record.
    pub fn id(&self) -> u32 {
        self.format.id()
    }

    /// Decodes a record; `None` if it is too short.
    pub fn read(&self, record: &[u8]) -> Option<(Who, What)> {
        let number = |name: &str| number(self.field(name)?.get_field_bytes(record, BYTES)?);
        let id =
            |name: &str| Some(i32::from_ne_bytes(self.field(name)?.get_field_bytes(record, BYTES)?.try_into().ok()?));
        let mut who = Who { tid: id("common_pid")?, ..Who::default() };
        // In version 0.1.0 of the module, only the events that workers write name the thread.
        if let Some(comm) = self.field("comm") {
            let name = comm.get_field_bytes(record, BYTES)?;
            let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
            let comm = Some(String::from_utf8_lossy(name).into_owned());
            who = Who { tid: id("tid")?, tgid: Some(id("tgid")?), comm, cgroup: None };
        }
        let what = match self.name {
            Name::FirstUse => What::FirstUse(FirstUse {
                xfd_err: number("xfd_err")?,
                xfd_err_after: number("xfd_err_after")?,
                permitted: number("permitted")?,
                size_before: number("size_before")?,
                size_after: number("size_after")?,
                xfd_before: number("xfd_before")?,
                xfd_after: number("xfd_after")?,
                verdict: verdict(number("verdict")?),
                tsc: number("tsc")?,
            }),
            Name::Reclaimed => What::Reclaimed { bytes: number("bytes")? },
            Name::Regrown => What::Regrown { bytes: number("bytes")? },
            Name::GuestGrown => What::GuestGrown {
                xfeatures: number("xfeatures")?,
                size_before: number("size_before")?,
                size_after: number("size_after")?,
            },
        };
        Some((who, what))
    }

    fn field(&self, name: &str) -> Option<&PerfFieldFormat> {
        self.format.fields().iter().find(|field| field.name() == name)
    }
}

fn verdict(number: u64) -> Verdict {
    let known = usize::try_from(number).ok().and_then(|number| Verdict::KNOWN.get(number));
    known.copied().unwrap_or(Verdict::Unknown)
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(match *bytes {
        [a] => a.into(),
        [a, b] => u16::from_ne_bytes([a, b]).into(),
        [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]).into(),
        _ => u64::from_ne_bytes(bytes.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_are_read_by_the_format_file() {
        let format = Format::parse(Name::FirstUse, &fixture::format(fixture::FIRST_USE)).unwrap();
        assert_eq!(format.id(), 2001);
        let (who, what) = format.read(&fixture::first_use(130, 1, 1039)).unwrap();
        let What::FirstUse(first) = what else { panic!("{what:?}") };
        assert_eq!((who.tid, who.tgid, first.verdict, first.tsc), (130, None, Verdict::Sigill, 1039));
        assert_eq!((first.xfd_err, first.permitted, first.size_after), (0x40000, 0x60ae7, 2560));
        // Another version of the module may have different offsets.
        let moved = fixture::format(fixture::FIRST_USE).replace("u64 xfd_err;\toffset:8", "u64 xfd_err;\toffset:24");
        let format = Format::parse(Name::FirstUse, &moved).unwrap();
        let (_, what) = format.read(&fixture::first_use(130, 7, 1)).unwrap();
        let What::FirstUse(first) = what else { panic!("{what:?}") };
        assert_eq!((first.xfd_err, first.verdict), (0x60ae7, Verdict::Unknown));
    }

    #[test]
    fn an_event_names_its_thread() {
        let format = Format::parse(Name::FirstUse, &fixture::format(fixture::FIRST_USE_NAMED)).unwrap();
        let record = fixture::first_use_named(131, 129, "a] name", "old");
        let (who, _) = format.read(&record).unwrap();
        assert_eq!(who, Who { tid: 131, tgid: Some(129), comm: Some("a] name".into()), cgroup: None });
    }

    #[test]
    fn a_worker_writes_about_another_thread() {
        let format = Format::parse(Name::Reclaimed, &fixture::format(fixture::RECLAIMED)).unwrap();
        let (who, what) = format.read(&fixture::reclaimed(131, 130, "a b] c")).unwrap();
        let comm = Some("a b] c".to_owned());
        assert_eq!(who, Who { tid: 131, tgid: Some(130), comm, cgroup: None });
        assert_eq!(what, What::Reclaimed { bytes: 12288 });
    }

    #[test]
    fn a_field_that_is_missing_is_named() {
        let text = fixture::format(fixture::FIRST_USE).replace("u64 tsc", "u64 ticks");
        assert_eq!(Format::parse(Name::FirstUse, &text).unwrap_err().to_string(), "it has no field tsc");
        assert!(Format::parse(Name::FirstUse, "").is_err());
    }

    proptest! {
        #[test]
        fn no_record_panics(record in proptest::collection::vec(any::<u8>(), 0..130), id in 2001..2004_u16) {
            let name = if id == fixture::RECLAIMED { Name::Reclaimed } else { Name::FirstUse };
            let format = Format::parse(name, &fixture::format(id)).unwrap();
            prop_assert_eq!(format.read(&record).is_some(), record.len() >= fixture_size(id));
        }
    }

    fn fixture_size(id: u16) -> usize {
        match id {
            fixture::FIRST_USE => fixture::first_use(1, 0, 0).len(),
            fixture::FIRST_USE_NAMED => fixture::first_use_named(1, 1, "", "").len(),
            _ => fixture::reclaimed(1, 1, "").len(),
        }
    }
}
