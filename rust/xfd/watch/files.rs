// SPDX-License-Identifier: GPL-2.0
//! /sys/kernel/debug/xfd: one decimal number per file (files.c), the same as in /proc/xfd/counters.

use super::stats::{Counter, COUNTERS};
use crate::bindings;
use core::ptr;
use kernel::prelude::*;

/// What a file shows.
pub(crate) enum Number {
    /// The number of events since the module was loaded.
    Counter(&'static Counter),
    /// A current value.
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

/// The name of a file, and what it shows.
pub(crate) type Named = (&'static CStr, Number);

/// The names and values of the counters and `gauges`, for procfs. Each value is read when it is
/// reached.
#[cfg(MODULE)]
pub(crate) fn numbers(gauges: &'static [Named]) -> impl Iterator<Item = (&'static CStr, i64)> {
    [&COUNTERS, gauges]
        .into_iter()
        .flatten()
        .map(|(name, number)| (*name, number.value()))
}

/// The debugfs folder, which exists until this is dropped. An open file keeps the module loaded, so
/// the folder is created only once loading can no longer fail.
pub(crate) struct Files {
    dir: *mut bindings::dentry,
}

// SAFETY: debugfs does its own locking, so any thread may use a dentry.
unsafe impl Send for Files {}
// SAFETY: debugfs does its own locking.
unsafe impl Sync for Files {}

impl Files {
    /// Creates the folder with the counters and `gauges`. debugfs does not report errors: without
    /// debugfs there are no files, and the module still works. May sleep.
    pub(crate) fn new(gauges: &'static [Named]) -> Self {
        // SAFETY: this is process context. debugfs accepts an error pointer as a folder.
        let dir = unsafe { bindings::xfd_files_make() };
        for (name, number) in [&COUNTERS, gauges].into_iter().flatten() {
            // SAFETY: `dir` comes from debugfs. The name and the number are statics.
            unsafe { bindings::xfd_file_add(dir, name.as_char_ptr(), ptr::from_ref(number).cast()) }
        }
        Self { dir }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // SAFETY: `new` created it. This is process context, where it may sleep to wait for
        // readers.
        unsafe { bindings::xfd_files_remove(self.dir) }
    }
}

/// The number that a file created by [`Files::new`] shows now.
///
/// # Safety
///
/// `number` was passed to `xfd_file_add()`.
#[no_mangle]
unsafe extern "C" fn xfd_number(number: *const c_void) -> i64 {
    // SAFETY: by this function's contract it points to a static `Number`.
    unsafe { &*number.cast::<Number>() }.value()
}
