// SPDX-License-Identifier: GPL-2.0
//! /sys/kernel/debug/xfd: one decimal number a file (files.c), the same as in /proc/xfd/counters.

use super::stats::{Counter, COUNTERS};
use crate::bindings;
use core::ptr;
use kernel::prelude::*;

/// What a file shows.
pub(crate) enum Number {
    /// Events since load.
    Counter(&'static Counter),
    /// A number that somebody keeps.
    Gauge(fn() -> i64),
}

impl Number {
    fn value(&self) -> i64 {
        match self {
            Self::Counter(counter) => counter.value(),
            Self::Gauge(value) => value(),
        }
    }
}

/// A file: its name, and what it shows.
pub(crate) type Named = (&'static CStr, Number);

/// The names and values of the counters and `gauges`, each read when it is its turn.
pub(crate) fn numbers(gauges: &'static [Named]) -> impl Iterator<Item = (&'static CStr, i64)> {
    [&COUNTERS, gauges]
        .into_iter()
        .flatten()
        .map(|(name, number)| (*name, number.value()))
}

/// The folder; it goes when this is dropped. A file that is open keeps the module loaded, so it is made
/// when loading cannot fail any more.
pub(crate) struct Files {
    dir: *mut bindings::dentry,
}

// SAFETY: debugfs has locks of its own.
unsafe impl Send for Files {}
// SAFETY: as above.
unsafe impl Sync for Files {}

impl Files {
    /// Makes the folder with the counters and `gauges`. debugfs swallows its errors: without it there
    /// are no files, and the module works. Sleeps.
    pub(crate) fn new(gauges: &'static [Named]) -> Self {
        // SAFETY: sleeping is allowed. An error is a value that debugfs takes for a folder.
        let dir = unsafe { bindings::xfd_files_make() };
        for (name, number) in [&COUNTERS, gauges].into_iter().flatten() {
            // SAFETY: `dir` is debugfs's; name and number are statics.
            unsafe { bindings::xfd_file_add(dir, name.as_char_ptr(), ptr::from_ref(number).cast()) }
        }
        Self { dir }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // SAFETY: `new` made it.
        unsafe { bindings::xfd_files_remove(self.dir) }
    }
}

/// What a file that [`Files::new`] made shows now.
///
/// # Safety
///
/// `number` is one that was given to `xfd_file_add()`.
#[no_mangle]
unsafe extern "C" fn xfd_number(number: *const c_void) -> i64 {
    // SAFETY: the caller vouches for it.
    unsafe { &*number.cast::<Number>() }.value()
}
