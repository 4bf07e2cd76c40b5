// SPDX-License-Identifier: GPL-2.0
//! How many passed, failed and were skipped, and why.

/// The result of a test program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    /// One line for each failure and each skip.
    pub remarks: Vec<String>,
    /// Its tests, without passes that have no name.
    pub cases: Vec<Case>,
}

/// One test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The name of a pass, or the remark of another result, which begins with the name.
    pub name: String,
    pub outcome: Outcome,
}

/// How it ended.
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

    /// One pass.
    pub fn pass(&mut self) {
        self.passed += 1;
    }

    /// One pass of this name.
    pub fn pass_of(&mut self, name: impl Into<String>) {
        self.pass();
        self.cases.push(Case { name: name.into(), outcome: Outcome::Passed });
    }

    /// One failure, and why.
    pub fn fail(&mut self, why: impl Into<String>) {
        self.failed += 1;
        self.remark(why.into(), Outcome::Failed);
    }

    /// One skip, and why.
    pub fn skip(&mut self, why: impl Into<String>) {
        self.skipped += 1;
        self.remark(why.into(), Outcome::Skipped);
    }

    fn remark(&mut self, why: String, outcome: Outcome) {
        self.cases.push(Case { name: why.clone(), outcome });
        self.remarks.push(why);
    }

    /// How many tests it counts.
    pub fn total(&self) -> usize {
        self.passed + self.failed + self.skipped
    }
}
