// SPDX-License-Identifier: GPL-2.0
//! How many passed, failed and were skipped, and why.

/// What a test program's output amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    /// One line for each failure and each skip.
    pub remarks: Vec<String>,
}

impl Count {
    /// Adds another count.
    pub fn add(&mut self, other: Count) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.remarks.extend(other.remarks);
    }

    /// One pass.
    pub fn pass(&mut self) {
        self.passed += 1;
    }

    /// One failure, and why.
    pub fn fail(&mut self, why: impl Into<String>) {
        self.failed += 1;
        self.remarks.push(why.into());
    }

    /// One skip, and why.
    pub fn skip(&mut self, why: impl Into<String>) {
        self.skipped += 1;
        self.remarks.push(why.into());
    }

    /// How many tests it counts.
    pub fn total(&self) -> usize {
        self.passed + self.failed + self.skipped
    }
}
