// SPDX-License-Identifier: GPL-2.0
//! The kernel's data, by its symbols.

/// The address of the kernel symbol that is named. There is always one.
macro_rules! symbol {
    ($name:ident) => {
        Ok::<usize, super::refusal::Refusal>(&raw const crate::bindings::$name as usize)
    };
}
pub(crate) use symbol;
