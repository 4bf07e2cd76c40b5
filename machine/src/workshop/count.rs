// SPDX-License-Identifier: GPL-2.0
//! Counts how many tests passed, failed and were skipped, and keeps the reasons.

/// The results of tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    /// One line for each failure and each skip.
    pub remarks: Vec<String>,
    /// The tests, except passes without a name.
    pub cases: Vec<Case>,
}

/// One test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The name of a test that passed; otherwise the remark, which begins with the name.
    pub name: String,
    pub outcome: Outcome,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed,
    Skipped,
}

impl Count {
    /// Adds another count.
    pub fn add(&mut self, other: Count) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.remarks.extend(other.remarks);
        self.cases.extend(other.cases);
    }

    /// Counts a pass without a name.
    pub fn pass(&mut self) {
        self.passed += 1;
    }

    /// Counts a pass of the test `name`.
    pub fn pass_of(&mut self, name: impl Into<String>) {
        self.pass();
        self.cases.push(Case { name: name.into(), outcome: Outcome::Passed });
    }

    /// Counts a failure, with the reason.
    pub fn fail(&mut self, why: impl Into<String>) {
        self.failed += 1;
        self.remark(why.into(), Outcome::Failed);
    }

    /// Counts a skip, with the reason.
    pub fn skip(&mut self, why: impl Into<String>) {
        self.skipped += 1;
        self.remark(why.into(), Outcome::Skipped);
    }

    fn remark(&mut self, why: String, outcome: Outcome) {
        self.cases.push(Case { name: why.clone(), outcome });
        self.remarks.push(why);
    }

    /// How many tests there are.
    pub fn total(&self) -> usize {
        self.passed + self.failed + self.skipped
    }
}
