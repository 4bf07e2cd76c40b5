// SPDX-License-Identifier: GPL-2.0
//! The tries at one instruction, of which none has disturbed the path there yet.

use super::trial::Outcome;

/// How often to try again an instruction that the path did not reach, or where its pause ended before it was seen.
const AGAIN: u32 = 3;

/// How many there were, and what they say about the path's end.
#[derive(Debug, Default)]
pub(super) struct Tries {
    times: u32,
    /// Whether the path reached the instruction in one of them.
    reached: bool,
}

/// What follows from a try that did not disturb the path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Try again.
    Again,
    /// This instruction is missed; the path may continue beyond it.
    Missed,
    /// The path has ended before this instruction.
    Ended,
}

impl Tries {
    /// Counts a try with this outcome. `beyond` says whether the instruction is beyond the path's expected end. The path
    /// varies, so one short run does not mean that its end was reached.
    pub(super) fn count(&mut self, outcome: Outcome, beyond: bool) -> Next {
        self.times += 1;
        self.reached |= !matches!(outcome, Outcome::TooLate(_));
        if self.times <= AGAIN {
            return Next::Again;
        }
        match std::mem::take(self).reached || !beyond {
            true => Next::Missed,
            false => Next::Ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each of four tries with these outcomes leads to.
    fn after(outcomes: [Outcome; 4], beyond: bool) -> [Next; 4] {
        let mut tries = Tries::default();
        outcomes.map(|outcome| tries.count(outcome, beyond))
    }

    const SHORT: Outcome = Outcome::TooLate(100);

    #[test]
    fn four_short_runs_beyond_the_expected_end_are_the_end() {
        let end = [Next::Again, Next::Again, Next::Again, Next::Ended];
        assert_eq!(after([SHORT; 4], true), end);
    }

    #[test]
    fn four_short_runs_before_it_miss_the_instruction() {
        let missed = [Next::Again, Next::Again, Next::Again, Next::Missed];
        assert_eq!(after([SHORT; 4], false), missed);
    }

    #[test]
    fn a_path_that_was_paused_there_has_not_ended() {
        let missed = [Next::Again, Next::Again, Next::Again, Next::Missed];
        assert_eq!(after([Outcome::NotSeen, SHORT, SHORT, SHORT], true), missed);
    }

    #[test]
    fn each_instruction_gets_its_own_tries() {
        let mut tries = Tries::default();
        for outcome in [Outcome::NotSeen, SHORT, SHORT, SHORT] {
            tries.count(outcome, true);
        }
        let next = [SHORT; 4].map(|outcome| tries.count(outcome, true));
        assert_eq!(next[3], Next::Ended);
    }
}
