// SPDX-License-Identifier: GPL-2.0
//! Whether a task needs its enlarged buffer yet.
//!
//! A pass looks at the task's registers now and then. Nobody tells it of what happened between,
//! so a buffer is given up when two looks, an interval apart, both found its dynamic components
//! in their initial state, and none between them found otherwise. If the task used them meanwhile
//! and released them, it loses nothing but the time of one more first use.

use super::xfeature::Xfeatures;
use core::num::NonZeroU32;

/// Milliseconds of a clock that wraps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock(NonZeroU32);

impl Clock {
    /// The time `milliseconds`; one that is divisible by 2^32 is taken for the next.
    pub fn at(milliseconds: u64) -> Self {
        Self(NonZeroU32::new(milliseconds as u32).unwrap_or(NonZeroU32::MIN))
    }

    /// As a word that is not 0.
    pub fn word(self) -> u32 {
        self.0.get()
    }

    /// From [`Self::word`]; `None` from 0.
    pub fn from_word(word: u32) -> Option<Self> {
        NonZeroU32::new(word).map(Self)
    }

    /// Milliseconds from `earlier` to this.
    fn since(self, earlier: Self) -> u32 {
        self.word().wrapping_sub(earlier.word())
    }
}

/// What a look at a task says of its buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// Dynamic components are in use: what was noted is void.
    InUse,
    /// They are not, since this time: note it.
    IdleSince(Clock),
    /// They have not been for an interval: the buffer may go.
    Spare,
}

/// A look at `now` at a task, dynamic components `in_use` of which are not in their initial
/// state, and of which an earlier look `noted` that it was idle; `interval` is in milliseconds.
pub fn look(in_use: Xfeatures, noted: Option<Clock>, now: Clock, interval: u32) -> Look {
    if !(in_use & Xfeatures::USER_DYNAMIC).is_empty() {
        return Look::InUse;
    }
    match noted {
        Some(since) if now.since(since) >= interval => Look::Spare,
        Some(since) => Look::IdleSince(since),
        None => Look::IdleSince(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TILES: Xfeatures = Xfeatures::USER_DYNAMIC;
    const OTHERS: Xfeatures = Xfeatures::from_bits(0x202e7);

    #[test]
    fn a_buffer_goes_at_the_second_look() {
        let (first, second) = (Clock::at(5000), Clock::at(6000));
        assert_eq!(look(OTHERS, None, first, 1000), Look::IdleSince(first));
        assert_eq!(look(OTHERS, Some(first), second, 1000), Look::Spare);
        assert_eq!(
            look(OTHERS, Some(first), second, 1001),
            Look::IdleSince(first)
        );
    }

    #[test]
    fn tiles_in_use_keep_it_and_void_the_note() {
        let (first, second) = (Clock::at(1), Clock::at(9000));
        assert_eq!(look(OTHERS | TILES, Some(first), second, 1000), Look::InUse);
    }

    #[test]
    fn the_clock_wraps_and_is_never_zero() {
        assert_eq!(Clock::at(1 << 32).word(), 1);
        assert_eq!(Clock::from_word(0), None);
        let late = Clock::at((1 << 32) - 500);
        assert_eq!(
            look(OTHERS, Some(late), Clock::at((1 << 32) + 500), 1000),
            Look::Spare
        );
    }

    proptest! {
        /// No buffer with live tiles is given up, and none before its time.
        #[test]
        fn never_too_early(in_use: u64, noted: u32, now: u64, interval in 1u32..1 << 30) {
            let in_use = Xfeatures::from_bits(in_use);
            let noted = Clock::from_word(noted);
            if look(in_use, noted, Clock::at(now), interval) == Look::Spare {
                prop_assert!((in_use & TILES).is_empty());
                let waited = Clock::at(now).since(noted.unwrap());
                prop_assert!(waited >= interval);
            }
        }
    }
}
