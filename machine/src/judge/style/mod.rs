// SPDX-License-Identifier: GPL-2.0
//! The formats in which test programs report their results.

pub mod ktap;
pub mod kvm;
pub mod x86;

use serde::Deserialize;

use crate::workshop::count::Count;

/// How a program reports its results.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    #[default]
    Ktap,
    /// Lines with `[OK]` and `[FAIL]`; the exit status is not trusted.
    KernelX86,
    /// One of the kernel's KVM tests: KTAP if it prints that, otherwise the exit status.
    KernelKvm,
}

impl Style {
    /// Counts the output of the program `name`, which ended with `status`; `None` if it did not end.
    pub fn count(self, name: &str, output: &str, status: Option<i32>) -> Count {
        match self {
            Style::Ktap => ktap::count(name, output, status),
            Style::KernelX86 => x86::count(name, output, status),
            Style::KernelKvm => kvm::count(name, output, status),
        }
    }
}
