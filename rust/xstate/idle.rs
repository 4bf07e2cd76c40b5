// SPDX-License-Identifier: GPL-2.0
//! Whether a task still needs its enlarged buffer.
//!
//! From time to time a scan checks the blocked tasks. If a task has no dynamic component in use,
//! the scan notes the time and the task's number of context switches. If a later scan finds the
//! same number, the task has not run since. So a buffer is reclaimed only if its task has been
//! blocked for a whole interval. If the task ran in between, however briefly, the interval starts
//! again.

use super::xfeature::Xfeatures;
use core::num::NonZeroU32;

/// A time in milliseconds, which wraps after 2^32. Never zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock(NonZeroU32);

impl Clock {
    /// The time `milliseconds`. A multiple of 2^32 becomes the millisecond after it.
    pub fn at(milliseconds: u64) -> Self {
        Self(NonZeroU32::new(milliseconds as u32).unwrap_or(NonZeroU32::MIN))
    }

    /// Milliseconds from `earlier` to this time.
    fn since(self, earlier: Self) -> u32 {
        self.0.get().wrapping_sub(earlier.0.get())
    }
}

/// What a scan remembers about an idle task until the next one.
///
/// It is stored as a word, wherever eight bytes are free. A word of 0 means that there is no note.
///
/// ```
/// use xstate::idle::{classify, Clock, Idleness, Note};
/// use xstate::xfeature::Xfeatures;
///
/// let none = Xfeatures::NONE;
/// let first = classify(none, Note::from_word(0), Clock::at(5000), 1000, 7);
/// let Idleness::IdleSince(note) = first else {
///     panic!("reclaimed at the first scan")
/// };
/// assert_ne!(note.word(), 0);
/// assert_eq!(Note::from_word(note.word()), Some(note));
/// assert_eq!(classify(none, Some(note), Clock::at(6000), 1000, 7), Idleness::Reclaimable);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Note {
    since: Clock,
    switches: u32,
}

impl Note {
    /// The note as a word, which is never 0.
    pub fn word(self) -> u64 {
        u64::from(self.switches) << 32 | u64::from(self.since.0.get())
    }

    /// The note in a word that [`Self::word`] returned, or `None` if the word is 0.
    pub fn from_word(word: u64) -> Option<Self> {
        NonZeroU32::new(word as u32).map(|since| Self {
            since: Clock(since),
            switches: (word >> 32) as u32,
        })
    }
}

/// What a scan finds out about a task's buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Idleness {
    /// Dynamic components are in use. An earlier note is no longer valid.
    InUse,
    /// No dynamic component is in use, and the task has been blocked since then. Store the note.
    IdleSince(Note),
    /// It has been idle for a whole interval. The buffer may be reclaimed.
    Reclaimable,
}

/// Classifies a blocked task at the time `now`. `in_use` are those of its dynamic components, of
/// any facility, that are not in their initial state. `noted` is an earlier scan's note. `interval`
/// is in milliseconds. `switches` is the task's number of context switches so far, which may wrap.
pub fn classify(
    in_use: Xfeatures,
    noted: Option<Note>,
    now: Clock,
    interval: u32,
    switches: u32,
) -> Idleness {
    if !in_use.is_empty() {
        return Idleness::InUse;
    }
    match noted {
        Some(note) if note.switches != switches => Idleness::IdleSince(Note {
            since: now,
            switches,
        }),
        Some(note) if now.since(note.since) >= interval => Idleness::Reclaimable,
        Some(note) => Idleness::IdleSince(note),
        None => Idleness::IdleSince(Note {
            since: now,
            switches,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TILES: Xfeatures = Xfeatures::USER_DYNAMIC;
    const NONE: Xfeatures = Xfeatures::NONE;

    fn note(milliseconds: u64, switches: u32) -> Note {
        Note {
            since: Clock::at(milliseconds),
            switches,
        }
    }

    #[test]
    fn a_buffer_is_reclaimed_at_the_second_scan() {
        let first = note(5000, 3);
        let second = Clock::at(6000);
        let since_first = Idleness::IdleSince(first);
        assert_eq!(classify(NONE, None, first.since, 1000, 3), since_first);
        assert_eq!(
            classify(NONE, Some(first), second, 1000, 3),
            Idleness::Reclaimable
        );
        assert_eq!(classify(NONE, Some(first), second, 1001, 3), since_first);
    }

    #[test]
    fn without_an_interval_the_second_scan_reclaims_it() {
        let now = Clock::at(5000);
        let first = note(5000, 3);
        assert_eq!(classify(NONE, None, now, 0, 3), Idleness::IdleSince(first));
        assert_eq!(
            classify(NONE, Some(first), now, 0, 3),
            Idleness::Reclaimable
        );
    }

    #[test]
    fn a_task_that_ran_in_between_begins_anew() {
        let first = note(5000, 3);
        let now = Clock::at(9000);
        for interval in [0, 1000] {
            let anew = Idleness::IdleSince(note(9000, 4));
            assert_eq!(classify(NONE, Some(first), now, interval, 4), anew);
        }
    }

    #[test]
    fn tiles_in_use_keep_it_and_void_the_note() {
        let first = note(1, 3);
        let now = Clock::at(9000);
        assert_eq!(classify(TILES, Some(first), now, 1000, 3), Idleness::InUse);
    }

    #[test]
    fn the_clock_wraps_and_is_never_zero() {
        assert_eq!(Clock::at(1 << 32), Clock::at(1));
        let late = note((1 << 32) - 500, 3);
        let now = Clock::at((1 << 32) + 500);
        assert_eq!(
            classify(NONE, Some(late), now, 1000, 3),
            Idleness::Reclaimable
        );
        let since_late = Idleness::IdleSince(late);
        assert_eq!(classify(NONE, Some(late), now, 1001, 3), since_late);
    }

    #[test]
    fn a_note_is_a_word() {
        assert_eq!(note(5, 7).word(), 7 << 32 | 5);
        assert_eq!(Note::from_word(7 << 32 | 5), Some(note(5, 7)));
        assert_eq!(Note::from_word(0), None);
        assert_eq!(Note::from_word(7 << 32), None);
    }

    proptest! {
        #[test]
        fn a_note_survives_as_a_word(milliseconds: u64, switches: u32) {
            let note = note(milliseconds, switches);
            prop_assert_ne!(note.word(), 0);
            prop_assert_eq!(Note::from_word(note.word()), Some(note));
        }

        /// A buffer is never reclaimed while its tiles are live, before its interval is over, or if
        /// its task ran in between.
        #[test]
        fn never_too_early(
            in_use: u64,
            noted: u64,
            now: u64,
            interval in 0u32..1 << 30,
            ran in 0u32..3,
        ) {
            let in_use = Xfeatures::from_bits(in_use);
            let noted = Note::from_word(noted);
            let switches = noted.map_or(0, |note| note.switches).wrapping_add(ran);
            if classify(in_use, noted, Clock::at(now), interval, switches) == Idleness::Reclaimable {
                prop_assert!(in_use.is_empty());
                let note = noted.unwrap();
                prop_assert!(Clock::at(now).since(note.since) >= interval);
                prop_assert_eq!(ran, 0);
            }
        }
    }
}
