// SPDX-License-Identifier: GPL-2.0
//! The runner's end of the channel to the agent in the guest (machine/guest/agent.c). Both sides send frames: a byte
//! with the kind, the number of bytes that follow (32 bits, little endian), and these bytes. A program's output is
//! preceded by its length, so it cannot be mistaken for anything else.

use std::fs::File;
use std::io::{self, Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::boot::console::{record, Event};

/// Frames to the guest.
const JOB_PART: u8 = b'j';
const JOB_END: u8 = b'J';
const INPUT: u8 = b'i';
const INPUT_END: u8 = b'I';
/// Frames from the guest.
const RECORD: u8 = b'r';
const OUT: u8 = b'o';
const ERR: u8 = b'e';
const FILES: u8 = b'f';

/// The size of a frame's header, in bytes.
const HEADER: usize = 5;
/// The largest payload that either side sends, in bytes.
const LARGEST: usize = 1 << 16;

/// Assembles the guest's bytes into events.
#[derive(Default)]
pub struct Frames {
    rest: Vec<u8>,
}

impl Frames {
    /// Takes any number of bytes, and passes on the events that they complete.
    ///
    /// # Errors
    ///
    /// No agent sends this. Nothing that follows can be understood.
    pub fn push(&mut self, bytes: &[u8], mut event: impl FnMut(Event)) -> Result<(), String> {
        self.rest.extend_from_slice(bytes);
        let mut at = 0;
        while let Some([kind, a, b, c, d]) = self.rest[at..].first_chunk::<HEADER>().copied() {
            let length = u32::from_le_bytes([a, b, c, d]) as usize;
            if length > LARGEST || ![RECORD, OUT, ERR, FILES].contains(&kind) {
                return Err(format!("a frame of kind {kind:#x} with {length} bytes"));
            }
            let Some(payload) = self.rest[at + HEADER..].get(..length) else { break };
            event(match kind {
                RECORD => record(&String::from_utf8_lossy(payload)),
                OUT => Event::Output(payload.to_vec()),
                ERR => Event::Errors(payload.to_vec()),
                _ => Event::Files(payload.to_vec()),
            });
            at += HEADER + length;
        }
        self.rest.drain(..at);
        Ok(())
    }
}

fn frame(to: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<()> {
    let mut whole = vec![kind];
    whole.extend((payload.len() as u32).to_le_bytes());
    whole.extend(payload);
    to.write_all(&whole)
}

/// What a restored machine needs to know: the time since 1970, and random bytes.
fn start() -> io::Result<[u8; 48]> {
    let mut start = [0; 48];
    File::open("/dev/urandom")?.read_exact(&mut start[16..])?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    start[..8].copy_from_slice(&now.as_secs().to_le_bytes());
    start[8..16].copy_from_slice(&u64::from(now.subsec_nanos()).to_le_bytes());
    Ok(start)
}

/// Sends the archive of a job, the time, then all of `input`, each part as soon as it is available.
///
/// # Errors
///
/// The machine is gone.
pub fn feed(to: &mut impl Write, job: &[u8], mut input: impl Read) -> io::Result<()> {
    for part in job.chunks(LARGEST) {
        frame(to, JOB_PART, part)?;
    }
    frame(to, JOB_END, &start()?)?;
    let mut buffer = [0; 4096];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => frame(to, INPUT, &buffer[..bytes])?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    frame(to, INPUT_END, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(portions: &[&[u8]]) -> Vec<Event> {
        let (mut frames, mut found) = (Frames::default(), Vec::new());
        for portion in portions {
            frames.push(portion, |event| found.push(event)).unwrap();
        }
        found
    }

    #[test]
    fn output_may_be_anything() {
        let awkward = b"\x1eend run 0\no\0\0\0\x01";
        let mut bytes = Vec::new();
        frame(&mut bytes, OUT, awkward).unwrap();
        frame(&mut bytes, ERR, b"").unwrap();
        frame(&mut bytes, RECORD, b"end run 3").unwrap();
        let expected = [Event::Output(awkward.to_vec()), Event::Errors(Vec::new()), Event::End("run".into(), 3)];
        assert_eq!(events(&[&bytes]), expected);
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(events(&single), expected);
    }

    #[test]
    fn an_incomplete_frame_waits() {
        assert_eq!(events(&[b"o\x02\0\0\0a"]), []);
        assert_eq!(events(&[b"o\x02\0\0"]), []);
    }

    #[test]
    fn what_no_agent_sends_is_an_error() {
        for odd in [&b"o\xff\xff\xff\xff"[..], b"o\x01\0\x01\0", b"x\0\0\0\0"] {
            assert!(Frames::default().push(odd, |_| ()).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn a_job_comes_before_the_input() {
        let mut sent = Vec::new();
        feed(&mut sent, &[7; LARGEST + 1], &b"in"[..]).unwrap();
        assert_eq!((sent[0], sent[HEADER + LARGEST], sent[2 * HEADER + LARGEST + 1]), (JOB_PART, JOB_PART, JOB_END));
        assert!(sent.ends_with(b"i\x02\0\0\0inI\0\0\0\0"));
    }

    #[test]
    fn each_start_has_the_time_and_other_random_bytes() {
        let (first, second) = (start().unwrap(), start().unwrap());
        let seconds = u64::from_le_bytes(*first.first_chunk().unwrap());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(now - seconds < 60, "{seconds}, and it is {now}");
        assert_ne!(first[16..], second[16..]);
    }
}
