// SPDX-License-Identifier: GPL-2.0
//! Parses the output of the guest's two serial ports: lines of the kernel log on the first, and program output mixed
//! with the records of the guest's init on the second.

use std::io::Write;

use crate::workshop::progress::suspended;

/// The longest line or record, in bytes.
const LONGEST: usize = 1 << 16;
/// Starts a record, which ends with a line feed.
const RS: u8 = 0o36;

/// An event that the guest reported, by its second port or by the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Init has started.
    Ready,
    /// The agent waits for its job.
    Waiting,
    /// The agent could not start its job, with the reason.
    NoJob(String),
    /// The module is loaded and its transition complete.
    Loaded,
    /// insmod failed with this message.
    LoadFailed(String),
    /// The module was disabled and removed.
    Unloaded,
    /// rmmod failed with this message.
    UnloadFailed(String),
    /// A program starts.
    Begin(String),
    /// Bytes from a program's standard output; on the serial port also from its standard error.
    Output(Vec<u8>),
    /// Bytes from a program's standard error.
    Errors(Vec<u8>),
    /// A part of the archive of files that a program wrote.
    Files(Vec<u8>),
    /// A program ended with this status (128 + N if signal N killed it).
    End(String, i32),
    /// The number of memory areas of the size of an enlarged fpstate, before and after.
    Areas(u64, u64),
    /// The addresses of a module's sections, for a debugger: the module's file, then NAME=ADDRESS for each section.
    Sections(String),
    /// Everything is done; power-off follows.
    Done,
    /// An unknown record.
    Unknown(String),
}

impl Event {
    /// What went wrong with the job or the module, if this event says so.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Event::NoJob(why) => {
                let full = why.contains("No space") || why.contains("memory");
                let advice = if full { "; give the machine more memory with --memory" } else { "" };
                Some(format!("the program cannot be started in the machine: {why}{advice}"))
            }
            Event::LoadFailed(why) => Some(format!("the module cannot be loaded: {why}")),
            Event::UnloadFailed(why) => Some(format!("the module cannot be unloaded: {why}")),
            _ => None,
        }
    }
}

/// The results of a program whose output is shown to the user.
#[derive(Default)]
pub struct Shown {
    pub begun: bool,
    pub status: Option<i32>,
    pub trouble: Option<String>,
    /// The first error in showing its output, such as a full disk.
    pub lost: Option<std::io::Error>,
}

fn show(to: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    let mut shown = Ok(());
    suspended(|| shown = to.write_all(bytes).and_then(|()| to.flush()));
    shown
}

impl Shown {
    /// Prints output at once, and keeps the rest.
    pub fn take(&mut self, event: Event) {
        self.trouble = self.trouble.take().or(event.trouble());
        match event {
            Event::Output(bytes) => self.keep(show(&mut std::io::stdout().lock(), &bytes)),
            Event::Errors(bytes) => self.keep(show(&mut std::io::stderr().lock(), &bytes)),
            Event::Begin(_) => self.begun = true,
            Event::End(_, status) => self.status = Some(status),
            _ => {}
        }
    }

    fn keep(&mut self, shown: std::io::Result<()>) {
        self.lost = self.lost.take().or(shown.err());
    }
}

/// Splits the bytes of the second port into events.
#[derive(Default)]
pub struct Records {
    record: Option<Vec<u8>>,
}

impl Records {
    /// Takes any number of bytes, and passes on the events that they complete.
    pub fn push(&mut self, bytes: &[u8], mut event: impl FnMut(Event)) {
        let mut output = Vec::new();
        for &byte in bytes {
            match &mut self.record {
                Some(record) if byte == b'\n' || record.len() == LONGEST => {
                    event(self::record(&String::from_utf8_lossy(record)));
                    self.record = None;
                }
                Some(record) => record.push(byte),
                None if byte == RS => {
                    if !output.is_empty() {
                        event(Event::Output(std::mem::take(&mut output)));
                    }
                    self.record = Some(Vec::new());
                }
                None => output.push(byte),
            }
        }
        if !output.is_empty() {
            event(Event::Output(output));
        }
    }
}

/// Parses a record.
pub fn record(record: &str) -> Event {
    let record = record.trim_end_matches('\r');
    let (word, rest) = record.split_once(' ').unwrap_or((record, ""));
    let two = rest.rsplit_once(' ');
    match (word, two) {
        ("ready", _) => Event::Ready,
        ("waiting", _) => Event::Waiting,
        ("no-job", _) => Event::NoJob(rest.into()),
        ("loaded", _) => Event::Loaded,
        ("load-failed", _) => Event::LoadFailed(rest.into()),
        ("unloaded", _) => Event::Unloaded,
        ("unload-failed", _) => Event::UnloadFailed(rest.into()),
        ("begin", _) => Event::Begin(rest.into()),
        ("end", Some((name, status))) if status.parse::<i32>().is_ok() => {
            Event::End(name.into(), status.parse().unwrap_or(-1))
        }
        ("areas", Some((before, after))) => match (before.parse(), after.parse()) {
            (Ok(before), Ok(after)) => Event::Areas(before, after),
            _ => Event::Unknown(record.into()),
        },
        ("sections", _) => Event::Sections(rest.into()),
        ("done", _) => Event::Done,
        _ => Event::Unknown(record.into()),
    }
}

/// Splits bytes into complete lines.
#[derive(Default)]
pub struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Takes any number of bytes; `line` gets each complete line, without its line end.
    pub fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        for &byte in bytes {
            if byte == b'\n' || self.rest.len() == LONGEST {
                line(String::from_utf8_lossy(&self.rest).trim_end_matches('\r'));
                self.rest.clear();
            }
            if byte != b'\n' {
                self.rest.push(byte);
            }
        }
    }

    /// Passes on the last line if it has no line end.
    pub fn finish(&mut self, mut line: impl FnMut(&str)) {
        if !self.rest.is_empty() {
            line(String::from_utf8_lossy(&self.rest).trim_end_matches('\r'));
            self.rest.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(portions: &[&[u8]]) -> Vec<Event> {
        let (mut records, mut found) = (Records::default(), Vec::new());
        for portion in portions {
            records.push(portion, |event| found.push(event));
        }
        found
    }

    #[test]
    fn records_are_found_in_the_middle_of_output() {
        assert_eq!(
            events(&[b"\x1ebegin run\nno line end\x1eend run 139\n"]),
            [Event::Begin("run".into()), Event::Output(b"no line end".to_vec()), Event::End("run".into(), 139)]
        );
    }

    #[test]
    fn records_may_arrive_in_parts() {
        assert_eq!(events(&[b"\x1e", b"areas 3", b" 4\n\x1edo", b"ne\n"]), [Event::Areas(3, 4), Event::Done]);
        assert_eq!(events(&[b"\x1eend run 0"]), []);
    }

    #[test]
    fn malformed_records_are_unknown() {
        assert_eq!(events(&[b"\x1eend x\n\x1eareas a b\n\x1e\n"]).len(), 3);
        for event in events(&[b"\x1eend x\n\x1eareas a b\n\x1e\n"]) {
            assert!(matches!(event, Event::Unknown(_)), "{event:?}");
        }
    }

    #[test]
    fn the_first_trouble_is_kept() {
        let mut shown = Shown::default();
        for event in [Event::LoadFailed("a".into()), Event::UnloadFailed("b".into()), Event::End("run".into(), 3)] {
            shown.take(event);
        }
        assert_eq!(shown.trouble.as_deref(), Some("the module cannot be loaded: a"));
        assert_eq!(shown.status, Some(3));
    }

    #[test]
    fn what_has_no_end_is_passed_on_in_parts() {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        lines.push(&[b'a'; 3 * LONGEST], |l| found.push(l.len()));
        assert_eq!(found, [LONGEST; 2]);
        let mut records = vec![0o36];
        records.resize(3 * LONGEST, b'a');
        assert!(matches!(&events(&[&records])[0], Event::Unknown(text) if text.len() == LONGEST));
    }

    #[test]
    fn only_complete_lines_are_passed_on() {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for portion in [&b"a\r\nb"[..], b"c\nd"] {
            lines.push(portion, |l| found.push(l.to_owned()));
        }
        lines.finish(|l| found.push(l.to_owned()));
        assert_eq!(found, ["a", "bc", "d"]);
    }
}
