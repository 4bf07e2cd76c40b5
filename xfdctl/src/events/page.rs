// SPDX-License-Identifier: GPL-2.0
//! A page of the ring buffer, as read from `per_cpu/cpuN/trace_pipe_raw`. `events/header_page` describes its layout,
//! and `events/header_event` that of the records in it, which is ABI (`include/linux/ring_buffer.h`).

use tracepoint_decode::PerfFieldFormat;

/// `type_len`: a record with its length in the first word.
const LONG_RECORD: u32 = 0;
/// The end of the data, or a gap.
const PADDING: u32 = 29;
/// A time difference of more than 27 bits.
const TIME_EXTEND: u32 = 30;
/// An absolute time, without its five highest bits.
const TIME_STAMP: u32 = 31;
const DELTA_BITS: u32 = 27;
const STAMP_BITS: u32 = 59;
/// The number of bytes in the `commit` field. The flags above it follow.
const COMMIT_MASK: u64 = (1 << 27) - 1;
const MISSED_EVENTS: u64 = 1 << 31;
/// The number of missed events is in a word after the last record.
const MISSED_STORED: u64 = 1 << 30;

/// The layout of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    commit: usize,
    data: usize,
    /// The size of a page.
    pub size: usize,
}

/// The contents of a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page<'a> {
    /// The time and bytes of each record, in order.
    pub records: Vec<(u64, &'a [u8])>,
    /// The number of events overwritten before these; 0 if the kernel does not know.
    pub lost: Option<u64>,
}

impl Layout {
    /// Parses the text of `events/header_page`.
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<_> = text.lines().filter_map(|line| PerfFieldFormat::parse(true, line)).collect();
        let field = |name: &str| fields.iter().find(|field| field.name() == name);
        let data = field("data")?;
        let (commit, at) = (usize::from(field("commit")?.offset()), usize::from(data.offset()));
        Some(Self { commit, data: at, size: at + usize::from(data.size()) })
    }

    /// Reads `page`, up to the first inconsistency.
    pub fn read<'a>(&self, page: &'a [u8]) -> Page<'a> {
        let mut found = Page::default();
        let (Some(mut now), Some(commit)) = (word64(page, 0), word64(page, self.commit)) else { return found };
        let data = page.get(self.data..).unwrap_or_default();
        let length = usize::try_from(commit & COMMIT_MASK).unwrap_or(usize::MAX).min(data.len());
        if commit & MISSED_EVENTS != 0 {
            let stored = commit & MISSED_STORED != 0;
            found.lost = Some(word64(data, length).filter(|_| stored).unwrap_or(0));
        }
        let mut rest = &data[..length];
        while let Some((stamp, record, after)) = next(rest, now) {
            now = stamp;
            found.records.extend(record.map(|record| (now, record)));
            rest = after;
        }
        found
    }
}

/// The time, a record if there is one, and the data that follows.
type Next<'a> = (u64, Option<&'a [u8]>, &'a [u8]);

fn next(data: &[u8], before: u64) -> Option<Next<'_>> {
    let header = word32(data, 0)?;
    let (kind, delta) = (header & 31, u64::from(header >> 5));
    let body = data.get(4..)?;
    match kind {
        PADDING if delta == 0 => None,
        PADDING => Some((before.wrapping_add(delta), None, body.get(size(word32(body, 0)?)..)?)),
        TIME_EXTEND | TIME_STAMP => {
            let time = (u64::from(word32(body, 0)?) << DELTA_BITS) | delta;
            let now = match kind {
                TIME_EXTEND => before.wrapping_add(time),
                _ => time & ((1 << STAMP_BITS) - 1) | before & !((1 << STAMP_BITS) - 1),
            };
            Some((now, None, body.get(4..)?))
        }
        LONG_RECORD => {
            // The length includes its own word.
            let length = size(word32(body, 0)?);
            Some((before.wrapping_add(delta), Some(body.get(4..length)?), body.get(length.next_multiple_of(4)..)?))
        }
        words => {
            let length = size(words) * 4;
            Some((before.wrapping_add(delta), Some(body.get(..length)?), body.get(length..)?))
        }
    }
}

fn size(number: u32) -> usize {
    // Any page is far smaller.
    usize::try_from(number).unwrap_or(usize::MAX).min(1 << 27)
}

fn word32(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(data.get(at..at + 4)?.try_into().ok()?))
}

fn word64(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(data.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{PageMaker, HEADER_PAGE};
    use super::*;
    use proptest::prelude::*;

    fn layout() -> Layout {
        Layout::parse(HEADER_PAGE).unwrap()
    }

    #[test]
    fn the_layout_is_parsed() {
        assert_eq!(layout(), Layout { commit: 8, data: 16, size: 4096 });
        assert_eq!(Layout::parse("no such file\n"), None);
    }

    #[test]
    fn records_have_their_times() {
        let mut page = PageMaker::at(1000);
        page.record(5, b"abcdefgh");
        page.extend((1 << 27) + 3);
        page.record(1, b"ijkl");
        page.long_record(2, &[7; 120]);
        page.stamp(5000);
        page.discarded(4, 8);
        page.record(1, b"mnop");
        let page = page.finish();
        let read = layout().read(&page);
        let after = 1005 + (1 << 27) + 4;
        let long = [7; 120];
        let want: [(u64, &[u8]); 4] = [(1005, b"abcdefgh"), (after, b"ijkl"), (after + 2, &long), (5005, b"mnop")];
        assert_eq!((read.records.as_slice(), read.lost), (want.as_slice(), None));
    }

    #[test]
    fn an_absolute_time_keeps_the_highest_bits() {
        let mut page = PageMaker::at(3 << 59);
        page.stamp(77);
        page.record(1, b"abcd");
        assert_eq!(layout().read(&page.finish()).records, [((3 << 59) + 78, b"abcd".as_slice())]);
    }

    #[test]
    fn lost_events_are_counted() {
        let mut page = PageMaker::at(1);
        page.record(1, b"abcd");
        page.lost = Some(12);
        assert_eq!(layout().read(&page.finish()).lost, Some(12));
        page.lost = Some(0);
        assert_eq!(layout().read(&page.finish()).lost, Some(0));
    }

    proptest! {
        #[test]
        fn nothing_panics(mut page in proptest::collection::vec(any::<u8>(), 0..400), commit in 0..500_u16) {
            if page.len() > 16 {
                page[8..10].copy_from_slice(&commit.to_ne_bytes());
            }
            let read = layout().read(&page);
            prop_assert!(read.records.len() <= page.len() / 4);
        }
    }
}
